"""What masks say against their images, or against themselves: nothing is measured by such."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anomalib_lite.data.masks import Mask
from anomalib_lite.data.samples import TEST, Sample, count, some
from anomalib_lite.data.unfolding import by_their_masks
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.edge.images.picture import Corners, Header, elsewhere
from anomalib_lite.errors import DataError, ImageError


def check_masks(samples: Sequence[Sample], opener: Opener = PLAIN) -> tuple[list[Sample], list[str]]:
    """The samples, without the masks that are black, and notes on what masks are like; with masks, their orientation.

    Of a file that holds several images those in which nothing is marked are good.

    Raises:
        DataError: Masks that cannot be read, are not of their image's size or place, mark pixels of a good image, or
            have levels of which half of the range makes nothing or everything.
    """
    seen = [(sample, _looked_at(sample, opener)) for sample in samples]
    headers = {sample.name: _header(sample, opener) for sample in samples if sample.masks}
    problems = [problem for sample, looks in seen for problem in _problems(sample, looks, headers.get(sample.name))]
    if problems:
        raise DataError(
            f"{count(len(problems), 'mask')} cannot be used: {some(problems, 3)}. "
            "A mask has its image's size, is white (255) where the defect is and black (0) elsewhere. Correct the "
            "masks, or the labels."
        )
    checked = []
    for sample, looks in seen:
        header, is_bare = headers.get(sample.name), bool(looks) and all(look.is_empty for look in looks)
        orientation = header.orientation if header else 1
        checked.append(replace(sample, masks=() if is_bare else sample.masks, orientation=orientation))
    blank = {sample.name for sample, kept in zip(samples, checked, strict=True) if sample.masks and not kept.masks}
    checked, of_files = by_their_masks(checked, blank, opener)
    return checked, [*of_files, *_bare(checked), *_unusual(seen)]


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of a mask that was read."""

    path: Path
    size: tuple[int, int]  # height, width
    unreadable: str | None = None
    fault: str | None = None
    is_empty: bool = False
    levels: str | None = None  # in words, where they are other than black and white
    share: float = 0.0
    corners: Corners | None = None


def _looked_at(sample: Sample, opener: Opener) -> list[_Look]:
    looks = []
    for path in sample.masks:
        try:
            mask = Mask.read(path, opener)
        except ImageError as error:
            looks.append(_Look(path, (0, 0), unreadable=str(error)))
            continue
        size = (mask.marked.shape[0], mask.marked.shape[1])
        levels = None if mask.is_plain else mask.named()
        looks.append(_Look(path, size, None, mask.fault(), mask.is_empty, levels, mask.share, mask.corners))
    return looks


def _problems(sample: Sample, looks: Sequence[_Look], header: Header | None) -> Iterator[str]:
    """What masks say against their image, or against themselves."""
    taken_as_good = sample.is_good or (sample.label is None and sample.split != TEST)
    for look in looks:
        if look.unreadable is not None:
            yield look.unreadable
        elif taken_as_good and not look.is_empty:
            said = "is labelled good" if sample.is_good else "would be taken as good"
            yield f"{look.path} marks a defect in {sample.name}, which {said}"
        elif look.fault is not None:
            yield f"{look.path} {look.fault}"
        elif header is not None:
            yield from _of_another_size(sample, look, header)
            if apart := elsewhere(look.corners, header.corners):
                said = "resample the mask onto the grid of its image, and write it with the affine of that"
                yield f"{look.path} lies elsewhere than {sample.name}: their corners are {apart}; {said}"


def _header(sample: Sample, opener: Opener) -> Header | None:
    """Of an image; None where it cannot be read: its own problem, told where that is tried."""
    try:
        return opener.header(sample.path)
    except ImageError:
        return None


def _of_another_size(sample: Sample, look: _Look, header: Header) -> Iterator[str]:
    if (header.height, header.width) == look.size:
        return
    if header.orientation > 4 and (header.width, header.height) == look.size:
        yield (
            f"{look.path} is {look.size[1]} x {look.size[0]}, as {sample.name} is stored, and its EXIF orientation "
            f"turns it to {header.width} x {header.height}: turn the mask likewise, or save the image upright"
        )
    else:
        yield f"{look.path} is {look.size[1]} x {look.size[0]}, {sample.name} is {header.width} x {header.height}"


def _bare(samples: Sequence[Sample]) -> Iterator[str]:
    defective = [sample for sample in samples if sample.is_good is False]
    bare = [sample.name for sample in defective if not sample.masks]
    if bare:
        found = f"{len(bare)} of {count(len(defective), 'defective image')}"
        yield f"{found} without a mask, or with an empty one, left out of pixel metrics: {some(bare, 3)}"


def _unusual(seen: Sequence[tuple[Sample, Sequence[_Look]]]) -> Iterator[str]:
    looks = [look for _, several in seen for look in several]
    grey = [look for look in looks if look.levels]
    if grey:
        yield (
            f"{count(len(grey), 'mask')} other than black and white, as {grey[0].path}: {grey[0].levels}; what lies "
            "above half of the range counts as marked"
        )
    large = [f"{look.path} {look.share:.0%}" for look in looks if look.share > 0.5]
    if large:
        yield f"{count(len(large), 'mask')} marking more than half of the image, inverted perhaps: {some(large, 3)}"
