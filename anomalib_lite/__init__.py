"""Anomaly and change detection for industrial and medical images."""

from anomalib_lite.version import __version__

__all__ = ["__version__"]
