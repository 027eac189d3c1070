"""From values in units of their modality to pixels, the same for every file: a window, and what of a slice is body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ErrorCode, ImageError, MissingExtra
from anomalib_lite_medical.config import Window, windows_of

WHITE = 65535


def shown(
    channels: Sequence[NDArray[np.float32]], options: Any
) -> tuple[NDArray[Any], NDArray[np.bool_] | None] | None:
    """Pixels of a slice, and which of them are to be inspected.

    Args:
        channels: Each (H, W), in units of its modality.
        options: `window` and `body` of the reader's configuration; the first channel says what is body.

    Returns:
        (H, W, C) uint16 with a window, else float32; and (H, W) bool, None for all. None where nothing is body.

    Raises:
        ImageError: Pixels are NaN or infinite, and nothing says that they are background; or there are other channels
            than windows.
    """
    inside = None
    if options.body is not None:
        inside = body(channels[0], options.body)
        if not inside.any():
            return None
    windows: list[Window | None] = [*windows_of(options.window)]
    if len(windows) > 1 and len(windows) != len(channels):
        said = f"has {len(channels)} channels, and the option 'window' of the reader has {len(windows)} windows"
        raise ImageError(f"{said}: give one for all, or one for each", ErrorCode.WRONG_CHANNELS)
    each = (windows or [None]) * (1 if len(windows) > 1 else len(channels))
    plain = (_finite(values, masked=inside is not None) for values in channels)
    return np.stack([windowed(values, window) for values, window in zip(plain, each, strict=True)], axis=2), inside


def _finite(values: NDArray[np.float32], *, masked: bool) -> NDArray[np.float32]:
    """Values of which those that are not finite are as the lowest, where background is told from the rest.

    Raises:
        ImageError: It is not, or none is finite.
    """
    finite = np.isfinite(values)
    if finite.all():
        return values
    if not masked or not finite.any():
        said = "has values that are NaN or infinite; where they are background, set the option 'body' of the reader"
        raise ImageError(said, ErrorCode.NOT_FINITE)
    return np.where(finite, values, values[finite].min())


def windowed(values: NDArray[np.float32], window: Window | None) -> NDArray[Any]:
    """0 at the lower end of the window and below, 65,535 at its upper end and above, uint16; without one, as it is."""
    if window is None:
        return values
    low, high = window
    share = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    return np.asarray(np.rint(share * WHITE), np.uint16)


def body(values: NDArray[np.float32], level: float) -> NDArray[np.bool_]:
    """The largest connected piece above a level, with its holes: (H, W) bool, all False where nothing is above."""
    try:
        from scipy.ndimage import binary_fill_holes, label
    except ImportError as error:
        raise MissingExtra("scipy", "medical", "The option 'body'") from error
    pieces, number = label(np.nan_to_num(values, nan=-np.inf, posinf=-np.inf) > level)
    if not number:
        return np.zeros(values.shape, bool)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(binary_fill_holes(pieces == sizes.argmax()))
