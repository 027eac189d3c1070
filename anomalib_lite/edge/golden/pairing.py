"""Pairs: an inspected image beside a golden one, in the golden frame; the same in training and on the device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden import alignment
from anomalib_lite.edge.golden.alignment import MIN_OVERLAP, Alignment
from anomalib_lite.edge.golden.light import match_light
from anomalib_lite.edge.golden.matching import alignment_failed, not_seen
from anomalib_lite.edge.golden.reach import ANY, REACHES
from anomalib_lite.edge.golden.views import View, opencv
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Frame, Framing
from anomalib_lite.errors import ErrorCode, ImageError

NAMED = 5  # golden images in a message
JITTER = 0.02  # of the shorter side: by so much the borders of two regions of one part may differ


@dataclass(frozen=True, eq=False)
class Pair:
    """An inspected image and a golden one as inputs of the graph."""

    frames: list[Frame]  # of the inspected image, in the golden frame where it was aligned
    references: list[Frame]
    framing: Framing  # narrowed to what the inspected image covers
    golden: NDArray[Any]  # (H, W, C)
    image: NDArray[Any]  # the inspected image, (H, W, C) in the golden frame where it was aligned
    alignment: Alignment | None  # None where the detector takes images as they are
    seen: float | None = None  # share of what has to be shown that the image shows; None where it was not aligned
    rival: Pair | None = None  # the same in another pose, which explains the image as well

    def to_source(
        self, anomaly_map: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A map and its mask (h, w) of the golden frame as those of the inspected image; as they are if not aligned.

        Where the golden frame does not reach, the map has its lowest valid value.

        Raises:
            ImageError: What is valid is smaller than a pixel of the inspected image (`wrong_size`).
        """
        if self.alignment is None:
            return anomaly_map, valid
        inside = self.alignment.to_source(valid.astype(np.float32), 0.0) > 0.5
        if not inside.any():
            raise ImageError(
                "nothing of the image is inside the region of interest, which is smaller than its pixels: paint a "
                "larger one in image.roi, or record the image as large as the golden one",
                ErrorCode.WRONG_SIZE,
            )
        lowest = float(anomaly_map[valid].min())
        back = self.alignment.to_source(anomaly_map, lowest)
        back[~inside] = lowest
        return back, inside

    @property
    def difference(self) -> float:
        """Mean absolute difference of the two over what is valid, in units of pixel values."""
        total = count = 0.0
        for frame, reference in zip(self.frames, self.references, strict=True):
            wrong = np.abs(frame.image.astype(np.float32) - reference.image.astype(np.float32)).mean(2)
            total, count = total + float(wrong[frame.valid].sum()), count + float(frame.valid.sum())
        return total / max(count, 1)


def pair(framing: Framing, pixels: NDArray[Any], golden: View, valid: NDArray[np.bool_] | None = None) -> Pair:
    """Put an inspected image beside a golden one.

    Args:
        framing: How images become inputs of the graph; with `align`, the inspected image is warped onto the golden
            frame, its light is matched, and a region of interest is one of the golden frame.
        pixels: The inspected image (H, W, C).
        golden: The golden image.
        valid: (H, W), what of the inspected image is to be inspected, where it is aligned; None for all of it.

    Raises:
        ImageError: Depth or channels are not the model's; tiles of images that differ in size (`wrong_size`); there is
            no alignment (`alignment_failed`), or one that shows too little of the region of interest (`not_seen`).
    """
    return _paired(framing, View(imaging.conform(pixels, framing.spec, convert=framing.convert)), golden, valid)


def _paired(framing: Framing, image: View, golden: View, valid: NDArray[np.bool_] | None) -> Pair:
    """`pair`, of an image that has the depth and the channels of the model."""
    try:
        reference = imaging.conform(golden.pixels, framing.spec, convert=framing.convert)
    except ImageError as error:
        raise ImageError(f"golden image: {error}", error.code) from error
    if not framing.align:
        _check_tiles_meet(framing, image.pixels, reference)
        return Pair(framing.frames(image.pixels), framing.frames(reference), framing, reference, image.pixels, None)
    view = golden if reference is golden.pixels else View(reference)
    reach, bends = (REACHES[framing.pose.reach], framing.pose.bend) if framing.pose else (ANY, False)
    aligned = alignment.align(image, view, reach, bends=bends)
    beside = _beside(framing, aligned, reference, valid, golden.valid)
    if aligned.rival is not None:
        with suppress(ImageError):
            return replace(beside, rival=_beside(framing, aligned.rival, reference, valid, golden.valid))
    return beside


def _beside(
    framing: Framing,
    aligned: Alignment,
    reference: NDArray[Any],
    own: NDArray[np.bool_] | None,
    golden: NDArray[np.bool_] | None,
) -> Pair:
    """An aligned image beside the golden one (H, W, C).

    What either says is not to be inspected is not judged. What the golden one says is, which is all where it says
    nothing, an image has to show, and to say itself, but for the `JITTER` of two regions: what nobody looked at is not
    good.

    Args:
        framing: How images become inputs of the graph.
        aligned: The image.
        reference: The golden image.
        own: What of the image is to be inspected, in its own pixels; None for all of it.
        golden: The same of the golden one.
    """
    inspected = aligned.valid if own is None else aligned.valid & aligned.to_frame(own)
    if golden is not None:
        framing = framing.within(golden)
    asked = framing.asked(*aligned.valid.shape)
    near = inspected if own is None or golden is None else aligned.valid & _grown(inspected)
    seen = float(near[asked].mean()) if asked.any() else 1.0
    if seen < MIN_OVERLAP:
        raise not_seen(seen, framing.pose.least) if framing.pose else _covers_too_little(seen)
    narrowed = framing.within(inspected)
    judged = inspected if golden is None else inspected & golden
    matched = match_light(aligned.pixels, reference, judged)
    shown = np.where(judged[..., None], matched, reference)  # else black would show beside what is not compared
    if judged is not aligned.valid:
        matched = np.where((aligned.valid & ~judged)[..., None], aligned.pixels, matched)
    return Pair(narrowed.frames(shown), narrowed.frames(reference), narrowed, reference, matched, aligned, seen)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W) by `JITTER` larger."""
    side = 2 * round(JITTER * min(mask.shape)) + 1
    return np.asarray(opencv().dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def _covers_too_little(share: float) -> ImageError:
    """What older versions say of an image that does not show enough of the region of interest."""
    return alignment_failed(
        f"the image covers {share:.0%} of the region of interest, needed are {MIN_OVERLAP:.0%}. Move the camera or "
        "the part so that all of the region is in view"
    )


def closest(
    framing: Framing, pixels: NDArray[Any], goldens: Sequence[View], valid: NDArray[np.bool_] | None = None
) -> Pair:
    """The image beside that golden one which it differs least from.

    Raises:
        ImageError: As `pairs`.
    """
    return min(pairs(framing, pixels, goldens, valid), key=lambda pair: pair.difference)


def _check_tiles_meet(framing: Framing, image: NDArray[Any], golden: NDArray[Any]) -> None:
    """Raise where tiles of two images (H, W, C) would be compared that show different places."""
    if framing.mode == "tile" and image.shape != golden.shape:
        found, taken = (f"{one.shape[1]} x {one.shape[0]}" for one in (image, golden))
        raise ImageError(
            f"the image is {found} pixels and the golden one {taken}, which cannot be compared tile by tile: "
            "record both with the same size",
            ErrorCode.WRONG_SIZE,
        )


def pairs(
    framing: Framing, pixels: NDArray[Any], goldens: Sequence[View], valid: NDArray[np.bool_] | None = None
) -> list[Pair]:
    """The inspected image beside every golden one that it can be aligned with, at least one.

    Raises:
        ImageError: There is none, or no golden image was given (`missing`).
    """
    if not goldens:
        raise ImageError(
            "this model compares with a golden image, and none was given: predict --reference, watch --golden",
            ErrorCode.MISSING,
        )
    image = View(imaging.conform(pixels, framing.spec, convert=framing.convert))  # its features are found once
    found: list[Pair] = []
    reasons: list[ImageError] = []
    for golden in goldens:
        try:
            found.append(_paired(framing, image, golden, valid))
        except ImageError as error:
            if error.code not in (ErrorCode.ALIGNMENT_FAILED, ErrorCode.NOT_SEEN):
                raise
            reasons.append(error)
    if not found:
        raise _named(reasons[0], [golden.name for golden in goldens if golden.name])
    return found


def _named(reason: ImageError, names: Sequence[str]) -> ImageError:
    """The reason with the golden images that were tried, which may be those of another product."""
    if not names:
        return reason
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ImageError(f"{reason} Tried: {', '.join(names[:NAMED])}{more}", reason.code)
