"""Files that hold more than a picture: rows of a table that name volumes, folders or channels; labels of slices."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from anomalib_lite.data.samples import GOOD, DataSet, Sample, count
from anomalib_lite.edge.images import readers
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.errors import DataError


def unfolded(dataset: DataSet, opener: Opener) -> DataSet:
    """The samples of a table: of a file or a folder that holds several images all of them.

    Each has its mask and its golden image. What holds none stays, to be told of where it is read. Which files are the
    channels of an image, the opener knows from here on.

    Raises:
        DataError: Channels are named for an image that can have none, or a mask or a golden volume is of another type.
    """
    plain = [not (one.channels or opener.suffix(one.path.name) or _is_folder(one.path)) for one in dataset.samples]
    if all(plain):
        return dataset
    known: dict[Path, Sequence[Path]] = {}
    samples: list[Sample] = []
    for sample, alone in zip(dataset.samples, plain, strict=True):
        if alone:
            samples.append(sample)
            continue
        for path in _images(sample, opener, known):
            added = os.fspath(path).removeprefix(os.fspath(sample.path))  # "#12", of a folder "/series.dcm#12"
            masks = tuple(_slice_of(mask, path, "mask", opener) for mask in sample.masks)
            golden = sample.reference and _slice_of(sample.reference, path, "reference", opener)
            group = sample.group if dataset.grouped else sample.name + added
            seen = replace(sample, path=path, name=sample.name + added, masks=masks, reference=golden, group=group)
            samples.append(seen)
    return replace(dataset, samples=samples)


def by_their_masks(samples: Sequence[Sample], blank: Collection[str], opener: Opener) -> tuple[list[Sample], list[str]]:
    """Samples by what is marked in each: the label of a volume is not that of each of its slices.

    Args:
        samples: Labelled; those without a mask, or with black ones alone, have none.
        blank: Names of those whose masks are black.
        opener: Knows which of them are of one file.

    Returns:
        The samples, good where nothing is marked in one image of a file, and something in another; and notes.
    """
    files = {one.name: file for one in samples if one.is_good is False and (file := opener.file_of(one.name))}
    marked = {files[one.name] for one in samples if one.masks and one.name in files}
    free = {name for name in blank if files.get(name) in marked}
    alike = {name for name, file in files.items() if file not in marked}
    found = [replace(one, label=GOOD) if one.name in free else one for one in samples]
    notes = []
    if free:
        said = "masks mark nothing in them, and something in another image of their file"
        notes.append(f"{count(len(free), 'image')} taken as good: {said}")
    if alike:
        said = "have the label of their file, and no mask says in which of them it shows"
        figures = "figures of images take each as defective, those of parts do not"
        notes.append(
            f"{count(len(alike), 'image')} of {count(len(set(files.values()) - marked), 'file')} {said}: {figures}"
        )
    return found, notes


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _images(sample: Sample, opener: Opener, known: dict[Path, Sequence[Path]]) -> list[Path]:
    """All that a row names."""
    if _is_folder(sample.path) and not sample.channels:
        return opener.photographs(sample.path) or [sample.path]
    path = _joined(sample, opener, known) if sample.channels else sample.path
    return opener.images([path])[0] or [path]


def _slice_of(volume: Path, image: Path, what: str, opener: Opener) -> Path:
    """What belongs to one of the images of a volume: that of the same number, where it is a volume, too.

    Raises:
        DataError: It is of another file type, which may number its images otherwise.
    """
    _, hash_, key = image.name.partition("#")
    own = opener.suffix(volume.name)
    if own is None or not hash_ or "#" in volume.name:
        return volume
    other = opener.suffix_at(image) or ""
    if not (own.startswith(other) or other.startswith(own)):
        said = f"its {what} is of another file type, {volume.name}, whose slices may count from another number."
        raise DataError(f"{image}: {said} Convert one of them, so that both are of one type.")
    return volume.with_name(f"{volume.name}#{key}")


def _joined(sample: Sample, opener: Opener, known: dict[Path, Sequence[Path]]) -> Path:
    """What an image is called of which the opener reads further files as further channels.

    Raises:
        DataError: Its reader takes one file for an image, or other rows name other channels of the same file.
    """
    own = opener.file_of(sample.path.name)  # of one of the images of a file
    name, files = _one(sample.path if own is None else sample.path.with_name(own), opener)
    suffix = opener.suffix_at(name)
    if suffix is None or readers.whole(opener.readers[suffix]).gather is None:
        raise DataError(
            f"{sample.path}: the column 'channels' is for files of readers that take several, such as NIfTI and DICOM. "
            "Leave it out, and give files that hold all channels."
        )
    files = [*files, *(file for channel in sample.channels for file in _one(channel, opener)[1])]
    if known.setdefault(name, files) != files:
        raise DataError(f"{sample.path}: two rows name other channels of the same image. Let all rows name the same.")
    opener.catalogue.series[name] = files
    return name if own is None else sample.path


def _one(path: Path, opener: Opener) -> tuple[Path, list[Path]]:
    """What a file or a folder of one series is called, and its files.

    Raises:
        DataError: A folder holds no series, or several.
    """
    if not _is_folder(path):
        return path, [path]
    series = opener.series([one for one in sorted(path.iterdir()) if one.is_file() and opener.finds(one)])
    if len(series) != 1:
        raise DataError(
            f"{path}: holds {len(series)} series or images, where the column 'channels' needs folders of one each."
        )
    ((name, files),) = series.items()
    return name, list(files)
