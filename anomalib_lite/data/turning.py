"""Images that their EXIF orientation turns upright, and masks that were drawn on the pixels as they are stored.

Pixels are read upright. A program that ignores the orientation draws a mask on the stored pixels: where the sizes agree
nothing but the content can tell. The outline of a defect shows in the image, so the one place is taken where the
gradient along the border of the mask is larger; over several images, where chance would hardly give it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data.masks import union
from anomalib_lite.data.samples import Sample, count, some
from anomalib_lite.edge.images.imaging import turned
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.errors import ImageError

CHANCE = 0.05  # probability of as many masks that fit better unturned where neither place is the right one
WAYS = {
    2: "mirrored", 3: "by 180 degrees", 4: "upside down, mirrored", 5: "by 90 degrees to the left, mirrored",
    6: "by 90 degrees to the right", 7: "by 90 degrees to the right, mirrored", 8: "by 90 degrees to the left",
}  # fmt: skip


def said_of(orientations: Iterable[int]) -> list[str]:
    """How many images are turned upright, and how; nothing where none is."""
    ways = Counter(WAYS[one] for one in orientations if one in WAYS)
    if not ways:
        return []
    each = ", ".join(f"{way} {number:,}" for way, number in ways.most_common())
    found = f"{count(ways.total(), 'image')} turned upright, as the EXIF orientation says ({each})"
    return [f"{found}; masks have to be drawn on the turned image"]


def drawn_unturned(samples: Sequence[Sample], opener: Opener = PLAIN) -> tuple[Mapping[str, int], str]:
    """Samples whose masks lie on the image as it is stored, and not on the upright one.

    Args:
        samples: As `check_masks` returns them.
        opener: Opens them.

    Returns:
        Name -> EXIF orientation, empty where it may be chance; and what to say of it.
    """
    unfit: dict[str, int] = {}
    compared = 0
    for sample in samples:
        fits_unturned = _fits_unturned(sample, opener)
        compared += fits_unturned is not None
        if fits_unturned:
            unfit[sample.name] = sample.orientation
    if not unfit or _chance(len(unfit), compared) > CHANCE:
        return {}, ""
    return unfit, (
        f"the masks of {len(unfit):,} of {count(compared, 'image')} that EXIF turns fit better on the image as it is "
        f"stored: {some(sorted(unfit), 3)}. Turn these masks as their images, or save the images upright, without EXIF "
        "orientation"
    )


def _fits_unturned(sample: Sample, opener: Opener) -> bool | None:
    """Whether the mask fits the stored image better; None where there is nothing to compare."""
    if not sample.masks or sample.orientation == 1:
        return None
    try:
        pixels, mask = opener.read(sample.path).pixels, union(sample.masks, opener)
    except (ImageError, ValueError):  # told elsewhere, masks of several sizes too
        return None
    if mask is None or mask.shape != pixels.shape[:2] or mask.all() or not mask.any():
        return None
    likewise = turned(mask, sample.orientation)
    if likewise.shape != mask.shape or (likewise == mask).all():
        return None
    steps = _steps(pixels)
    return _along(steps, likewise) > _along(steps, mask)


def _steps(pixels: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
    """The largest difference of each pixel from its neighbours to the right and below, (H, W)."""
    grey = pixels.astype(np.float32).mean(axis=2)
    right = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    below = np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    steps: NDArray[np.float32] = np.maximum(right, below)
    return steps


def _along(steps: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Mean step within a pixel of the border of a mask."""
    border = np.zeros_like(mask)
    border[:, :-1] |= mask[:, 1:] ^ mask[:, :-1]
    border[:-1] |= mask[1:] ^ mask[:-1]
    near = border.copy()
    near[:, 1:] |= border[:, :-1]
    near[:, :-1] |= border[:, 1:]
    near[1:] |= border[:-1]
    near[:-1] |= border[1:]
    return float(steps[near].mean())


def _chance(unfit: int, compared: int) -> float:
    """Probability of so many or more where each mask fits either place as well."""
    return float(sum(math.comb(compared, k) for k in range(unfit, compared + 1)) / 2**compared)
