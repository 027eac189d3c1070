"""From values in units of their modality to pixels, the same for every file: a window, and what of a slice is body."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ErrorCode, ImageError, MissingExtra

WHITE = 65535


def shown(values: NDArray[np.float32], options: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None] | None:
    """Pixels of a slice, and which of them are to be inspected.

    Args:
        values: (H, W) in units of the modality.
        options: `window` and `body` of the reader's configuration.

    Returns:
        (H, W, 1) uint16 with a window, else float32; and (H, W) bool, None for all. None where nothing is body.

    Raises:
        ImageError: Pixels are NaN or infinite, and nothing says that they are background.
    """
    inside = None
    if options.body is not None:
        inside = body(values, options.body)
        if not inside.any():
            return None
        values = np.where(np.isfinite(values), values, np.float32(options.body))
    elif not np.isfinite(values).all():
        said = "has values that are NaN or infinite; where they are background, set the option 'body' of the reader"
        raise ImageError(said, ErrorCode.NOT_FINITE)
    return windowed(values, options.window)[..., None], inside


def windowed(values: NDArray[np.float32], window: Any) -> NDArray[Any]:
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
