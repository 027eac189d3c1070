"""Masks that grow: the margin of a region, and what joins its parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def halves(reach: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(before, after) along columns and rows: two parts that both grow so meet where they lie `reach` apart."""
    return (reach[0] // 2, reach[0] - reach[0] // 2), (reach[1] // 2, reach[1] - reach[1] // 2)


def grown(mask: NDArray[np.bool_], by: tuple[tuple[int, int], tuple[int, int]]) -> NDArray[np.bool_]:
    """A mask (h, w) with all that lies within (before, after) pixels of it, along columns and along rows."""
    for axis, (before, after) in ((1, by[0]), (0, by[1])):
        length = mask.shape[axis]
        total = np.insert(np.cumsum(mask, axis=axis, dtype=np.int32), 0, 0, axis=axis)
        place = np.arange(length)
        last, first = np.minimum(place + before + 1, length), np.maximum(place - after, 0)
        mask = total.take(last, axis) > total.take(first, axis)
    return mask


def in_map(pixels: float, scale: tuple[float, float]) -> tuple[int, int]:
    """A length in source pixels as (columns, rows) of the map."""
    return round(pixels / scale[0]), round(pixels / scale[1])
