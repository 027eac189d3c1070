"""Thresholds with a guarantee from good images alone: the rule, what it certifies, and how that is said."""

from anomalib_lite.calibration.rule import calibrate
from anomalib_lite.calibration.units import ScoredImage
from anomalib_lite.edge.manifest import Calibration, Exclusion

__all__ = ["Calibration", "Exclusion", "ScoredImage", "calibrate"]
