"""How well a model tells good from defective, streamed and in numpy alone."""

from anomalib_lite.metrics.evaluation import Evaluation
from anomalib_lite.metrics.scores import PixelMetrics, Rate, auroc, average_precision

__all__ = ["Evaluation", "PixelMetrics", "Rate", "auroc", "average_precision"]
