"""A whole image in a few cells, from sums of whole numbers, so that all runtimes see the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images.picture import Pixels

SIDE = 128  # cells along each side
SEEN = 4  # pixels of a cell along each side that are looked at, or fewer than twice as many


def thumbnail(pixels: Pixels) -> NDArray[np.float64]:
    """Means (SIDE, SIDE, C) over the cells of an image (H, W, C); a side below SIDE has its pixels repeated."""
    steps = [max(1, length // (SEEN * SIDE)) for length in pixels.shape[:2]]
    rows, heights = _summed(pixels[:: steps[0], :: steps[1]])
    cells, widths = _summed(rows.swapaxes(0, 1))
    return np.asarray(cells.swapaxes(0, 1) / (heights[:, None, None] * widths[None, :, None]), np.float64)


def _summed(lines: Pixels) -> tuple[Pixels, NDArray[np.int64]]:
    """Sums (SIDE, ...) of neighbouring lines (n, ...), and of how many each."""
    n = len(lines)
    if n < SIDE:
        return lines[np.arange(SIDE) * n // SIDE], np.ones(SIDE, np.int64)
    wide = np.float64 if lines.dtype.kind == "f" else np.int32
    bounds = (np.arange(SIDE + 1) * n // SIDE).tolist()
    return np.stack([lines[a:b].sum(0, dtype=wide) for a, b in pairwise(bounds)]), np.diff(bounds)
