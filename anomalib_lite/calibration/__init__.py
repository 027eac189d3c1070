"""Thresholds with a guarantee from good images alone: the rule, what it certifies, and how that is said."""

from anomalib_lite.calibration.certificate import Calibration, Exclusion, Threshold
from anomalib_lite.calibration.rule import CalibrationRequest, ScoredImage, calibrate

__all__ = ["Calibration", "CalibrationRequest", "Exclusion", "ScoredImage", "Threshold", "calibrate"]
