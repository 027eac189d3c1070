"""Thresholds with a guarantee from good images alone: the rule, what it certifies, and how that is said."""

from anomalib_lite.calibration.rule import ScoredImage, calibrate
from anomalib_lite.edge.manifest import Calibration, Exclusion

__all__ = ["Calibration", "Exclusion", "ScoredImage", "calibrate"]
