"""NIfTI volumes: slices along an axis of the closest canonical orientation.

Rows and columns of a slice run as in DICOM: axial ones from the front to the back and from the patient's right to the
left, coronal ones from top to bottom and from right to left, sagittal ones from top to bottom and from front to back.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from anomalib_lite import Picture
from anomalib_lite.errors import ImageError, MissingExtra
from anomalib_lite_medical.channels import arranged, beside, word_in
from anomalib_lite_medical.config import STEP
from anomalib_lite_medical.pixels import checked_mask, levelled, marked_by_labels, of_body, refuse_few, shown, sizes
from anomalib_lite_medical.volumes import Volume, volume_of

try:
    from nibabel.orientations import io_orientation
except ImportError as missing:
    raise MissingExtra("nibabel", "medical", "NIfTI") from missing

AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}  # of canonical volumes (x to the right, y to the front, z upward)
SUFFIXES = (".nii.gz", ".nii")


def gather(paths: Sequence[Path], options: Any = None) -> Iterator[tuple[Path, list[Path]]]:
    """Each volume; with the option `channels` the files that differ in a word alone, called after the first of them.

    What has none of the words is left out, and so is what belongs to a volume that is not asked for. With the option
    `mask` a volume has its mask behind it, and masks are no volumes of their own.
    """
    words = list(dict.fromkeys(options.channels)) if options is not None else []
    mask = options.mask if options is not None else None
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(paths):
        if mask is not None and word_in(path.name, [mask]):
            continue
        if not words:
            beneath = mask and (beside(_stem(path) + "\0", f"_{mask}", SUFFIXES) or _in_folder(path, mask))
            yield path, [path, beneath] if beneath else [path]
        elif told := word_in(path.as_posix(), words):
            found[told[1]][told[0]] = path
    for pattern, known in found.items():
        there = [file for word in words if (file := known.get(word) or beside(pattern, word, SUFFIXES))]
        beneath = mask and (beside(pattern, mask, SUFFIXES) or _in_folder(there[0], mask))
        if there[0] in known.values():
            yield there[0], [*there, beneath] if beneath else there


def _stem(path: Path) -> str:
    return next((path.as_posix()[: -len(end)] for end in SUFFIXES if path.name.lower().endswith(end)), path.as_posix())


def _in_folder(path: Path, word: str) -> Path | None:
    """The only file of a word in the folder of a volume: WORD.nii.gz."""
    return beside(f"{path.parent.as_posix()}/\0", word, SUFFIXES)


def read(files: Sequence[BinaryIO] | BinaryIO, options: Any) -> Iterator[tuple[int, Picture]]:
    """The slices of a volume, or of several as channels; keys count voxels along the axis of the canonical orientation.

    They begin with 0. A volume of few labels is a mask, whatever the options: every slice of it, 0 and 255.

    Raises:
        ImageError: It is no NIfTI volume, or none that can be looked at slice by slice; a channel or a mask is missing,
            or lies on another grid; or nothing is to be inspected.
    """
    given = list(files) if isinstance(files, Sequence) else [files]
    first = volume_of(given[0])
    axis, spacing = AXIS[options.plane], _spacing(first.affine, AXIS[options.plane])
    meta = {"affine": json.dumps(first.affine.tolist()), "shape": json.dumps(first.shape), "plane": options.plane}
    down, across = _seen(first.values, axis, 0).shape
    meta |= sizes(spacing, (down, across)) | {STEP: _sizes(first.affine)[axis]}
    if (labelled := marked_by_labels(first.values)) is not None:
        note = "; ".join(filter(None, ["holds a few whole numbers: a mask of labels, and no scan", first.note]))
        for number in range(first.values.shape[axis]):
            plane = np.ascontiguousarray(_seen(labelled, axis, number), np.uint8) * np.uint8(255)
            corners = first.corners_of(axis, number)
            yield number, Picture(plane[..., None], None, spacing, meta | {"slice": number}, note=note, corners=corners)
        return
    refuse_few(first.values)
    inside = None if options.mask is None else _masked(given, first, options.mask)
    volumes = _channels(given, first, options)
    options = levelled(options, lambda: np.moveaxis(volumes[0].values, axis, 0))
    for number, (plane, valid) in of_body(_slices(volumes, inside, axis, options), options):
        said, corners = meta | {"slice": number}, first.corners_of(axis, number)
        yield number, Picture(plane, None, spacing, said, valid, first.note, corners)


def _slices(
    volumes: Sequence[Volume], inside: NDArray[np.bool_] | None, axis: int, options: Any
) -> Iterator[tuple[int, tuple[NDArray[Any], NDArray[np.bool_] | None] | None]]:
    """What is seen of each slice; None where nothing is to be inspected."""
    for number in range(volumes[0].values.shape[axis]):
        planes = [np.ascontiguousarray(_seen(one.values, axis, number), np.float32) for one in volumes]
        within = None if inside is None else np.ascontiguousarray(_seen(inside, axis, number))
        try:
            yield number, shown(planes, options, within)
        except ImageError as error:
            raise ImageError(f"slice {number} {error}", error.code) from error


def _channels(files: Sequence[BinaryIO], first: Volume, options: Any) -> list[Volume]:
    """The volumes of all channels, in order.

    Raises:
        ImageError: One is missing, or lies on another grid than the first.
    """
    words = list(dict.fromkeys(options.channels))
    named = [None if (told := word_in(_name(one), words)) is None else told[0] for one in files]
    order = arranged(files, named, words) if words else list(range(len(files)))
    read_already = {0: first} | {place: volume_of(one) for place, one in enumerate(files) if place}
    found = [read_already[place] for place in order]
    for other in found[1:]:
        found[0].refuse_other(other)
    return [found[words.index(word)] for word in options.channels] or found


def _masked(files: list[BinaryIO], first: Volume, word: str) -> NDArray[np.bool_]:
    """What is to be inspected of a volume, by the mask among its files, which is taken out of them.

    Raises:
        ImageError: There is none, it lies on another grid, or marks nothing or nearly everything.
    """
    place = next((one for one, file in enumerate(files) if word_in(_name(file), [word])), None)
    if place is None:
        here = PurePath(_name(files[0])).name
        said = f"has no mask: beside {here} lies no file whose name says '{word}', as the option 'mask' of the reader"
        raise ImageError(f"{said} asks for. Make one, or name it in the column 'channels' of a table", "missing_mask")
    mask = volume_of(files.pop(place))
    first.refuse_other(mask)
    return checked_mask(mask.values > 0, mask.name)


def _name(file: BinaryIO) -> str:
    return PurePath(str(getattr(file, "name", ""))).as_posix()


def _seen(volume: NDArray[Any], axis: int, number: int) -> NDArray[Any]:
    """A slice (H, W) of a canonical volume as it is shown."""
    return np.asarray(np.moveaxis(volume, axis, 0)[number].T[::-1, ::-1])  # a view: np.take would copy the volume


def unseen(plane: NDArray[Any]) -> NDArray[Any]:
    """The inverse for one slice: (H, W) to two axes of a canonical volume."""
    return plane.T[::-1, ::-1]


def _spacing(affine: NDArray[np.float64], axis: int) -> tuple[float, float]:
    """Millimetres from row to row and from column to column of a slice."""
    across, down = (size for one, size in enumerate(_sizes(affine)) if one != axis)
    return down, across


def _sizes(affine: NDArray[np.float64]) -> list[float]:
    """Millimetres from voxel to voxel along the axes of the canonical orientation."""
    own = np.linalg.norm(affine[:3, :3], axis=0)
    along = {int(target): float(size) for size, (target, _) in zip(own, io_orientation(affine), strict=True)}
    return [along[one] for one in range(3)]
