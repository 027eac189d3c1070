"""Synthetic anomalies and masks that detectors train on, shared by all of them."""

from anomalib_lite.synthesis.masks import discs, grid_cells, squares, strokes

__all__ = ["discs", "grid_cells", "squares", "strokes"]
