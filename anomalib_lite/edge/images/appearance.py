"""What a whole image looks like, in a few numbers: light, focus, noise, and a coarse picture of 8 x 8 cells.

Sums of whole numbers, so that every runtime finds the same ones: `deploy/inspection.mjs` computes them, too. Large
images are seen in bands of 8 rows, evenly over their height, so that it costs about the same for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images.picture import Pixels
from anomalib_lite.edge.images.resampling import luma

SIDE = 8  # pixels of a band, and cells of the coarse picture along each side
PIXELS = 1 << 18  # that are looked at, or less than a band more
QUIET = 16  # of the 64 cells, ordered by their spread, the one that tells how even the even parts are

WHOLE = {"uint8": np.int16, "uint16": np.int32, "int16": np.int32}  # that hold the sum of 8 x 8 pixels


@dataclass(frozen=True, slots=True)
class Appearance:
    """One image (H, W, C). Levels and differences in units of its pixels, of the grey of a coloured one.

    Of differences, the mean over the two thirds of the bands with the smallest ones: a defect is in few bands.
    """

    height: int
    width: int
    mean: float
    dark: float  # level that 5 % of the pixels do not exceed
    middle: float  # likewise 50 %
    bright: float  # likewise 95 %
    darkest: float  # share of the pixels that have the lowest level of all: clipped ones, mostly
    brightest: float  # likewise the highest
    steps: tuple[float, float, float, float]  # difference of neighbours: pixels, then blocks of 2, 4 and 8
    across: float  # likewise of blocks of 4, from column to column alone
    grain: float  # difference of differences within 2 x 2 pixels
    quiet: float  # standard deviation within the cell that a quarter of the cells are more even than
    red: float  # mean of red less mean of green; 0 without three channels
    blue: float  # likewise blue
    coarse: NDArray[np.float64]  # (8, 8) mean of each cell


def appearance(pixels: Pixels) -> Appearance:
    """The appearance of an image (H, W, C). Up to seven columns on the right and rows at the bottom are not seen."""
    seen = _bands(pixels)  # (n, 8, W, C)
    plane = _grey(seen)
    sums, squares = _cells(plane), _cells(plane.astype(_wide(plane)) ** 2)
    count = plane.size
    mean, cell = float(sums.sum()) / count, count // SIDE**2
    coarse = sums / cell
    within = np.sort(np.sqrt(np.maximum(squares / cell - coarse**2, 0)), axis=None)
    steps, across = _steps(plane)
    grain = _typical(np.abs(np.diff(np.diff(plane, axis=2), axis=1)))
    dark, middle, bright, darkest, brightest = _levels(plane)
    red, green, blue = (_mean(seen[..., one]) for one in range(3)) if seen.shape[3] == 3 else (0.0, 0.0, 0.0)
    return Appearance(
        height=pixels.shape[0], width=pixels.shape[1],
        mean=mean, dark=dark, middle=middle, bright=bright, darkest=darkest, brightest=brightest,
        steps=steps, across=across, grain=grain, quiet=float(within[QUIET]),
        red=red - green, blue=blue - green, coarse=coarse,
    )  # fmt: skip


def _bands(pixels: Pixels) -> Pixels:
    """Bands of 8 rows (n, 8, W, C), W a multiple of 8; what is smaller than a band is continued by its edge."""
    missing = [(0, max(0, SIDE - side)) for side in pixels.shape[:2]]
    if any(after for _, after in missing):
        pixels = np.pad(pixels, (*missing, (0, 0)), mode="edge")
    height, width = (side // SIDE * SIDE for side in pixels.shape[:2])
    step = -(-height * width // PIXELS)
    return pixels[:height, :width].reshape(height // SIDE, SIDE, width, -1)[::step]


def _grey(seen: Pixels) -> Pixels:
    """The grey (n, 8, W) of bands: luma of three channels, the mean of others; whole numbers stay whole."""
    channels = seen.shape[3]
    if channels not in (1, 3):
        return np.asarray(seen.mean(axis=3, dtype=np.float64))
    plane = (luma(seen) if channels == 3 else seen)[..., 0]
    return np.asarray(plane.astype(WHOLE.get(plane.dtype.name, np.float64)))


def _cells(plane: Pixels) -> NDArray[np.float64]:
    """Sums (8, 8) over cells of equal size."""
    rows = plane.reshape(SIDE, -1, plane.shape[2])
    cells = rows.reshape(SIDE, rows.shape[1], SIDE, -1)
    return np.asarray(cells.sum(axis=1, dtype=_wide(plane)).sum(axis=2), np.float64)


def _steps(plane: Pixels) -> tuple[tuple[float, float, float, float], float]:
    """Differences of neighbours at four sizes, and at the third from column to column alone."""
    found, block, across = [], plane, 0.0
    for size in (1, 2, 4, 8):
        if size > 1:
            rows, columns = block.shape[1] // 2, block.shape[2] // 2
            block = block.reshape(len(block), rows, 2, columns, 2).sum(axis=(2, 4), dtype=block.dtype)
        sideways = _typical(np.abs(np.diff(block, axis=2))) / size**2
        across = sideways if size == 4 else across
        found.append(sideways + _typical(np.abs(np.diff(block, axis=1))) / size**2)  # blocks of 8: one row a band
    return (found[0], found[1], found[2], found[3]), across


def _typical(differences: Pixels) -> float:
    """Mean over two thirds of the bands (n, rows, columns), those with the smallest; 0 where they have no columns."""
    sums = np.sort(differences.sum(axis=(1, 2), dtype=_wide(differences)))
    kept = sums[: -(-2 * len(sums) // 3)]
    count = len(kept) * int(differences.shape[1]) * int(differences.shape[2])
    return float(kept.sum()) / max(count, 1)


def _levels(plane: Pixels) -> tuple[float, float, float, float, float]:
    """Three quantiles, and the shares of the lowest and the highest level."""
    flat = plane.ravel()
    ranks = [-(-flat.size * percent // 100) - 1 for percent in (5, 50, 95)]
    if flat.dtype.kind == "f":
        low, high = flat.min(), flat.max()
        dark, middle, bright = np.partition(flat, ranks)[ranks]
        ends = np.count_nonzero(flat == low), np.count_nonzero(flat == high)
    else:
        low = int(flat.min())
        counts = np.bincount(flat - low)
        dark, middle, bright = np.searchsorted(np.cumsum(counts), np.array(ranks) + 1) + low
        ends = counts[0], counts[-1]
    return float(dark), float(middle), float(bright), float(ends[0] / flat.size), float(ends[1] / flat.size)


def _mean(values: Pixels) -> float:
    """0 where there are none."""
    return float(values.sum(dtype=_wide(values))) / max(values.size, 1)


def _wide(values: Pixels) -> type[np.float64] | type[np.int64]:
    return np.float64 if values.dtype.kind == "f" else np.int64
