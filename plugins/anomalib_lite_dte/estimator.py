"""The estimator for vectors, by its public name."""

from anomalib_lite_dte.vectors.estimator import BATCH, MAX_DIMENSIONS, DiffusionTimeEstimator

__all__ = ["BATCH", "MAX_DIMENSIONS", "DiffusionTimeEstimator"]
