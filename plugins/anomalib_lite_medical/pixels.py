"""From values in units of their modality to pixels, the same for every file: a window, and what of a slice is body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ErrorCode, ImageError, MissingExtra
from anomalib_lite_medical.config import SIZES, VIEWS, Window, windows_of

Seen = TypeVar("Seen")
WHITE = 65535
THIN = 3  # of so many rows and columns one says which level is that of Otsu
BINS = 256
FEW, WHOLE = 16, 1e-3  # labels that a mask may have; how far off a whole number each may be, behind an interpolation
BODY, MOST = (0.01, 0.95), 0.99  # shares of a volume that can be body by its level, and by a mask at most


def sizes(spacing: tuple[float, float] | None, shape: tuple[int, int]) -> dict[str, float | None]:
    """What guards of sizes compare, in millimetres; None where they are not known.

    Args:
        spacing: From row to row and from column to column.
        shape: Numbers of rows and columns.
    """
    if spacing is None:
        return dict.fromkeys((*SIZES, *VIEWS))
    views = (step * count for step, count in zip(spacing, shape, strict=True))
    return dict(zip((*SIZES, *VIEWS), (*spacing, *views), strict=True))


def levelled(options: Any, planes: Callable[[], Iterable[NDArray[np.float32]]]) -> Any:
    """The options, with a level in the place of "otsu": that of a volume, of which `planes` gives all slices.

    Raises:
        ImageError: It would take nearly nothing or nearly everything as body.
    """
    if options.body != "otsu":
        return options
    values = np.concatenate([plane[::THIN, ::THIN].ravel() for plane in planes()])
    values = values[np.isfinite(values)]
    level = otsu(values) if values.size else 0.0
    share = float((values > level).mean()) if values.size else 0.0
    if not BODY[0] <= share <= BODY[1]:
        said = f"has {share:.1%} above {level:.4g}, the level that 'body=otsu' of the reader finds; expected 1 to 95 %"
        raise ImageError(f"{said} of body. Set a level, such as body=-300 for CT, or leave it out", "body")
    return SimpleNamespace(**vars(options) | {"body": level})


def nothing(options: Any) -> str:
    """Why a file without any body is refused."""
    return f"shows nothing above {options.body:g}, the option 'body' of the reader; set a lower level, or leave it out"


def of_body(slices: Iterable[tuple[int, Seen | None]], options: Any) -> Iterator[tuple[int, Seen]]:
    """The slices of a volume that show anything to inspect; those before and behind the body are passed over.

    Args:
        slices: Numbers, and what is seen; None where nothing is to be inspected.
        options: `body` of the reader's configuration; without it a mask says what is, and may leave out slices.

    Raises:
        ImageError: None shows any; or one shows no body and those beside do: it was lost, and is not free of lesions.
    """
    found, lost = False, list[int]()
    for number, seen in slices:
        if seen is None:
            lost.append(number)
            continue
        if found and lost and options.body is not None:
            which = f"slice {lost[0]} shows" if len(lost) == 1 else f"slices {lost[0]} to {lost[-1]} show"
            said = f"{which} nothing above {options.body:g}, the option 'body' of the reader, amid slices that do: were"
            raise ImageError(f"{said} they lost? Send the volume again, or set a lower level", "body")
        found, lost = True, []
        yield number, seen
    if not found:
        raise ImageError(nothing(options), "body")


def otsu(values: NDArray[np.float32]) -> float:
    """The level that divides values into two classes of the largest variance between them (Otsu, 1979)."""
    low, high = np.percentile(values, [0, 99.9]).astype(np.float64)
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, max(high, low + 1e-6)))
    below, total = np.cumsum(counts), counts.sum()
    summed = np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    inner = (below > 0) & (below < total)
    if not inner.any():
        return float(high)
    below, part = below[inner].astype(np.float64), summed[inner]
    between = (summed[-1] * below / total - part) ** 2 / (below * (total - below))
    return float(edges[1:][inner][int(np.argmax(between))])


def marked_by_labels(values: NDArray[np.float32], most: float = FEW) -> NDArray[np.bool_] | None:
    """What a volume of labels marks: all that is not 0; None where it is none, but a scan.

    Labels are whole numbers from 0 on, of which no more than `most` differ.
    """
    for some in (values.ravel()[::97], values):  # of most scans a few voxels say that they are none
        if not np.isfinite(some).all():
            return None
        whole = np.rint(some)
        if not (np.abs(some - whole) <= WHOLE).all() or whole.min() not in (0, 1) or len(np.unique(whole)) > most:
            return None
    return np.asarray(values > 0.5)


def refuse_few(values: NDArray[np.float32]) -> None:
    """Refuse what has as few values as a mask, from -1 to 1, and is none.

    Raises:
        ImageError: With what they are.
    """
    for some in (values.ravel()[::97], values):
        found = np.unique(some[np.isfinite(some)])
        if len(found) > FEW:
            return
    measured = bool(np.isfinite(values).all())
    if len(found) < 1 + measured or np.abs(found).max() > 1:  # empty, which is told where it is inspected; or a scan
        return
    run = f"{len(found)} value{'s' * (len(found) > 1)} from {found[0]:.4g} to {found[-1]:.4g}"
    lost = "" if measured else ", and some that are NaN or infinite"
    said = f"holds {run}{lost}: too few for a scan, and a mask has whole numbers, 0 where nothing is marked"
    raise ImageError(f"{said}. Write the mask anew, or send the scan again", "few_values")


def checked_mask(mask: NDArray[np.bool_], name: str) -> NDArray[np.bool_]:
    """A mask of what is to be inspected.

    Raises:
        ImageError: It is empty, or nearly everything.
    """
    share = float(mask.mean())
    if not 0 < share <= MOST:
        said = f"its mask {name} marks {share:.1%} of the volume, where more than 0 and at most {MOST:.0%} is expected"
        raise ImageError(f"{said}. Is it the right file? Make it again, or leave out the option 'mask'", "body")
    return mask


def shown(
    channels: Sequence[NDArray[np.float32]], options: Any, inside: NDArray[np.bool_] | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None] | None:
    """Pixels of a slice, and which of them are to be inspected.

    Args:
        channels: Each (H, W), in units of its modality.
        options: `window` and `body` of the reader's configuration; the first channel says what is body.
        inside: What is to be inspected, (H, W), where that is known.

    Returns:
        (H, W, C) uint16 with a window, else float32; and (H, W) bool, None for all. None where nothing is body.

    Raises:
        ImageError: Pixels that are to be inspected are NaN or infinite; or there are other channels than windows.
    """
    if options.body is not None:
        inside = body(channels[0], options.body)
    if inside is not None and not inside.any():
        return None
    windows: list[Window | None] = [*windows_of(options.window)]
    if len(windows) > 1 and len(windows) != len(channels):
        said = f"has {len(channels)} channels, and the option 'window' of the reader has {len(windows)} windows"
        raise ImageError(f"{said}: give one for all, or one for each", ErrorCode.WRONG_CHANNELS)
    each = (windows or [None]) * (1 if len(windows) > 1 else len(channels))
    plain = (_finite(values, inside) for values in channels)
    return np.stack([windowed(values, window) for values, window in zip(plain, each, strict=True)], axis=2), inside


def _finite(values: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Values of which those that are not finite are as the lowest, where they are background.

    Raises:
        ImageError: One is not: it was not measured, and the lowest value would say that it was.
    """
    finite = np.isfinite(values)
    if finite.all():
        return values
    if inside is None:
        said = "has values that are NaN or infinite; where they are background, set the option 'body' of the reader"
        raise ImageError(said, ErrorCode.NOT_FINITE)
    missing = int((inside & ~finite).sum())
    if missing or not finite.any():
        said = f"has {missing:,} pixels within what is to be inspected that are NaN or infinite, so not measured"
        raise ImageError(f"{said}; give a mask of what every channel shows, the option 'mask'", ErrorCode.NOT_FINITE)
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
