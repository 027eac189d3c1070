"""Pairs masks with images by name, and refuses masks that say nothing true of their image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from anomalib_lite.data.samples import TEST, Sample, count, some
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.errors import DataError, ImageError


def pair_masks(root: Path, samples: Sequence[Sample], masks: Sequence[str], opener: Opener = PLAIN) -> list[Sample]:
    """Give each test sample its mask of the MVTec layout: test/KIND/NAME.* and ground_truth/KIND/NAME[_mask].*.

    Args:
        root: What all names are relative to.
        samples: Samples of the layout.
        masks: Names of all files below ground_truth.
        opener: Its suffixes may have several dots.

    Raises:
        DataError: A mask belongs to no image or to several, or an image has several masks.
    """
    by_stem: dict[str, list[str]] = {}
    for mask in masks:
        by_stem.setdefault(_stem(mask, opener), []).append(mask)
    owners: dict[str, str] = {}
    paired = []
    for sample in samples:
        stem = _stem(sample.name, opener)
        found = [*by_stem.get(f"{stem}_mask", []), *by_stem.get(stem, [])] if sample.split == TEST else []
        if len(found) > 1:
            raise DataError(f"{root}: {sample.name} has several masks: {some(found)}. Keep one.")
        for mask in found:
            if mask in owners:
                raise DataError(f"{root}: {mask} could belong to {owners[mask]} or {sample.name}. Rename one of them.")
            owners[mask] = sample.name
        paired.append(replace(sample, mask=root / found[0]) if found else sample)
    orphans = sorted(set(masks) - set(owners))
    if orphans:
        raise DataError(
            f"{root}: {count(len(orphans), 'mask')} without an image: {some(orphans)}. "
            "ground_truth/KIND/NAME_mask.png belongs to test/KIND/NAME.*: add the image, or remove the mask."
        )
    return paired


def _stem(name: str, opener: Opener) -> str:
    """A name without its first folder and its suffix."""
    below = PurePosixPath(*PurePosixPath(name).parts[1:])
    suffix = opener.suffix(name)
    return below.with_suffix("").as_posix() if suffix is None else below.as_posix()[: -len(suffix)]


def check_masks(samples: Sequence[Sample], opener: Opener = PLAIN) -> tuple[list[Sample], list[str]]:
    """The samples, without the masks that mark nothing, and notes on defects that then have none.

    Raises:
        DataError: Masks that cannot be read, are not of their image's size, or mark pixels of a good image.
    """
    problems: list[str] = []
    empty: list[str] = []
    for sample in samples:
        if sample.mask is None:
            continue
        try:
            pixels = opener.read(sample.mask).pixels
        except ImageError as error:
            problems.append(str(error))
            continue
        problems += _contradictions(sample, pixels.shape[:2], opener, marks=bool(pixels.any()))
        empty += [] if pixels.any() else [sample.name]
    if problems:
        raise DataError(
            f"{count(len(problems), 'mask')} cannot be used: {some(problems)}. "
            "A mask has its image's size, and pixels other than 0 where the defect is."
        )
    without = set(empty)
    checked = [replace(sample, mask=None) if sample.name in without else sample for sample in samples]
    return checked, _notes(checked)


def _contradictions(sample: Sample, size: tuple[int, ...], opener: Opener, *, marks: bool) -> list[str]:
    """What a mask of that size (height, width) says against its image."""
    if marks and sample.is_good:
        return [f"{sample.mask} marks a defect in {sample.name}, which is labelled good"]
    try:
        header = opener.header(sample.path)
    except ImageError:
        return []  # its own problem, told where the image is read
    if (header.height, header.width) != size:
        return [f"{sample.mask} is {size[1]} x {size[0]}, {sample.name} is {header.width} x {header.height}"]
    return []


def _notes(samples: Sequence[Sample]) -> list[str]:
    defective = [sample for sample in samples if sample.is_good is False]
    bare = [sample.name for sample in defective if sample.mask is None]
    if not bare:
        return []
    found = f"{len(bare)} of {count(len(defective), 'defective image')}"
    return [f"{found} without a mask, or with an empty one, left out of pixel metrics: {some(bare, 3)}"]
