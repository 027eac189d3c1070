"""Images and maps in another frame, linearly interpolated: block by block where a bend moves each pixel by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.views import opencv

Points: TypeAlias = NDArray[np.float64]  # (h, w, 2) x, y in pixels

BLOCK = 1024  # pixels: side of a block
LONGEST = 32_766  # pixels: OpenCV warps no longer images at once, in versions before 5


def warped(
    pixels: NDArray[Any],
    matrix: NDArray[np.floating[Any]],
    shape: tuple[int, ...],
    bend: Callable[[Points], Points] | None = None,
    *,
    nearest: bool = False,
    fill: float = 0.0,
) -> NDArray[Any]:
    """An image (H, W) or (H, W, C) on a frame of (height, width).

    Args:
        pixels: The image.
        matrix: From its pixels to those of the frame.
        shape: (height, width) of the frame.
        bend: From places of the frame to those that `matrix` takes to the image; None: the same.
        nearest: Take the nearest pixel instead of interpolating.
        fill: What stands where the image does not reach.
    """
    cv2 = opencv()
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    if bend is None and max(*shape[:2], *pixels.shape[:2]) <= LONGEST:
        found = cv2.warpPerspective(pixels, matrix, (shape[1], shape[0]), flags=how, borderValue=fill)
        return np.asarray(found).reshape(*shape[:2], *pixels.shape[2:])
    out = np.full((*shape[:2], *pixels.shape[2:]), fill, pixels.dtype)
    back = np.linalg.inv(matrix)
    for top in range(0, shape[0], BLOCK):
        for left in range(0, shape[1], BLOCK):
            place = slice(top, min(top + BLOCK, shape[0])), slice(left, min(left + BLOCK, shape[1]))
            points = np.stack(np.meshgrid(np.arange(left, place[1].stop), np.arange(top, place[0].stop)), 2).astype(
                float
            )
            there = cv2.perspectiveTransform(points if bend is None else bend(points), back)
            low = [max(0, int(there[..., axis].min()) - 1) for axis in (0, 1)]
            high = [max(0, int(there[..., axis].max()) + 3) for axis in (0, 1)]
            cut = pixels[low[1] : high[1], low[0] : high[0]]
            if cut.size:
                found = cv2.remap(cut, (there - low).astype(np.float32), None, how, borderValue=fill)
                out[place] = found.reshape(out[place].shape)
    return out
