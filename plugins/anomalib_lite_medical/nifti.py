"""NIfTI volumes: slices along an axis of the closest canonical orientation.

Rows and columns of a slice run as in DICOM: axial ones from the front to the back and from the patient's right to the
left, coronal ones from top to bottom and from right to left, sagittal ones from top to bottom and from front to back.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from anomalib_lite import Picture
from anomalib_lite.errors import ErrorCode, ImageError, MissingExtra
from anomalib_lite_medical.channels import OTHER_GRID, arranged, beside, word_in
from anomalib_lite_medical.pixels import shown

try:
    import nibabel
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
except ImportError as missing:
    raise MissingExtra("nibabel", "medical", "NIfTI") from missing

AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}  # of canonical volumes (x to the right, y to the front, z upward)
SUFFIXES = (".nii.gz", ".nii")
EVEN = 1e-2  # millimetres by which the grids of two channels may differ
BYTES = 1 << 30  # of a volume, unpacked
CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])
SKEW = 1e-2  # cosine of the angle between two axes, above which they are not at right angles
HEADERS = {348: nibabel.Nifti1Image, 540: nibabel.Nifti2Image}


def gather(paths: Sequence[Path], options: Any = None) -> Iterator[tuple[Path, list[Path]]]:
    """Each volume; with the option `channels` the files that differ in a word alone, called after the first of them.

    What has none of the words is left out, and so is what belongs to a volume that is not asked for.
    """
    words = list(dict.fromkeys(options.channels)) if options is not None else []
    if not words:
        yield from ((path, [path]) for path in sorted(paths))
        return
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(paths):
        if told := word_in(path.as_posix(), words):
            found[told[1]][told[0]] = path
    for pattern, known in found.items():
        there = [file for word in words if (file := known.get(word) or beside(pattern, word, SUFFIXES))]
        if there[0] in known.values():
            yield there[0], there


def read(files: Sequence[BinaryIO] | BinaryIO, options: Any) -> Iterator[tuple[int, Picture]]:
    """The slices of a volume, or of several as channels; keys count voxels along the axis of the canonical orientation.

    They begin with 0. Zeros and ones are a mask, whatever the options: every slice of it, 0 and 255.

    Raises:
        ImageError: It is no NIfTI volume, or none that can be looked at slice by slice; a channel is missing, or lies
            on another grid.
    """
    given = list(files) if isinstance(files, Sequence) else [files]
    first = _volume(given[0])
    mask = len(given) == 1 and bool(((first.values == 0) | (first.values == 1)).all())
    volumes = [first] if mask else _channels(given, first, options)
    axis, spacing = AXIS[options.plane], _spacing(first.affine, AXIS[options.plane])
    meta = {"affine": json.dumps(first.affine.tolist()), "shape": json.dumps(first.shape), "plane": options.plane}
    for number in range(first.values.shape[axis]):
        planes = [np.ascontiguousarray(_seen(one.values, axis, number), np.float32) for one in volumes]
        of_slice = meta | {"slice": number}
        if mask:
            yield number, Picture((planes[0][..., None] * 255).astype(np.uint8), None, spacing, of_slice)
            continue
        try:
            found = shown(planes, options)
        except ImageError as error:
            raise ImageError(f"slice {number} {error}", error.code) from error
        if found is not None:
            yield number, Picture(found[0], None, spacing, of_slice, found[1])


@dataclass(frozen=True, eq=False)
class _Volume:
    """A volume as it is stored, and its values in the canonical orientation."""

    name: str
    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    shape: list[int]

    @property
    def grid(self) -> str:
        """Where its voxels lie, in words."""
        sizes = " x ".join(f"{size:.4g}" for size in np.linalg.norm(self.affine[:3, :3], axis=0))
        first = ", ".join(f"{one:.6g}" for one in self.affine[:3, 3])
        return f"{' x '.join(map(str, self.shape))} voxels of {sizes} mm from ({first})"

    def corners(self) -> NDArray[np.float64]:
        """Where the corners of the canonical volume lie, in millimetres: (3, 8), by its shape alone."""
        turned = canonical_affine(self.affine, self.shape)
        ends = np.array([[0, side - 1] for side in self.values.shape])
        places = np.stack(np.meshgrid(*ends, indexing="ij")).reshape(3, 8)
        return np.asarray(turned[:3, :3] @ places + turned[:3, 3:])


def _volume(file: BinaryIO) -> _Volume:
    image = opened(file.read())
    affine = checked_affine(image)
    name = PurePath(str(getattr(file, "name", "")) or "the volume").name
    return _Volume(name, canonical(voxels(image), affine), affine, list(image.shape[:3]))


def _channels(files: Sequence[BinaryIO], first: _Volume, options: Any) -> list[_Volume]:
    """The volumes of all channels, in order.

    Raises:
        ImageError: One is missing, or lies on another grid than the first.
    """
    words = list(dict.fromkeys(options.channels))
    named = [(word_in(PurePath(str(getattr(one, "name", ""))).as_posix(), words) or (None,))[0] for one in files]
    order = arranged(files, named, words) if words else list(range(len(files)))
    read_already = {0: first} | {place: _volume(one) for place, one in enumerate(files) if place}
    found = [read_already[place] for place in order]
    for other in found[1:]:
        if other.values.shape != found[0].values.shape or np.abs(other.corners() - found[0].corners()).max() > EVEN:
            said = f"{other.name} lies on another grid than {found[0].name}: {other.grid}, and {found[0].grid}"
            remedy = f"Register it, and resample it onto that of {found[0].name}, as flirt -usesqform -applyxfm does"
            raise ImageError(f"{said}. {remedy}", OTHER_GRID)
    return [found[words.index(word)] for word in options.channels] or found


def opened(content: bytes) -> Any:
    """The image of nibabel, of a file of which header and size were checked before anything is unpacked.

    Raises:
        ImageError: It is none, is not whole, or is too large.
    """
    stream: Any = BytesIO(content)
    if content[:2] == b"\x1f\x8b":
        stream = gzip.GzipFile(fileobj=stream)
    head = _taken(stream, 4)
    sizes = {int.from_bytes(head, order) for order in ("little", "big")} & set(HEADERS)
    if not sizes:
        said = "is no NIfTI file: its header is of neither version, 1 or 2; convert it, for instance with mri_convert"
        raise ImageError(said, ErrorCode.UNREADABLE)
    kind = HEADERS[sizes.pop()]
    head += _taken(stream, kind.header_class.sizeof_hdr - 4)
    try:
        header = kind.header_class(head, check=False)
        shape, dtype, offset = header.get_data_shape(), header.get_data_dtype(), int(header["vox_offset"])
    except Exception as error:
        raise ImageError(f"has a damaged header ({error}); convert it again", ErrorCode.UNREADABLE) from error
    _check(header, shape, dtype)
    size = max(offset, 0) + int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    if size > BYTES:
        said = f"has {' x '.join(map(str, shape))} voxels of {dtype}: more than {BYTES:,} bytes. Crop or resample it"
        raise ImageError(said, ErrorCode.TOO_LARGE)
    try:
        return kind.from_bytes(head + _taken(stream, size - len(head)))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"cannot be decoded ({error}); convert it again", ErrorCode.UNREADABLE) from error


def _taken(stream: Any, size: int) -> bytes:
    try:
        content = stream.read(size)
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise ImageError(f"cannot be unpacked ({error}); copy it again", ErrorCode.TRUNCATED) from error
    if len(content) < size:
        said = f"ends {size - len(content):,} bytes before its header says; copy it again"
        raise ImageError(said, ErrorCode.TRUNCATED)
    return bytes(content)


def _check(header: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse what is no volume of plain numbers.

    Raises:
        ImageError: It is not.
    """
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        what = "colours" if dtype.fields else f"{dtype} numbers"
        said = (
            f"holds {what}: expected one plain number per voxel. Convert it, for instance with mri_convert -odt float"
        )
        raise ImageError(said, ErrorCode.WRONG_DTYPE)
    if bytes(header["magic"])[:2] in (b"ni", b"\0\0"):
        said = "is the header of a pair .hdr and .img, or Analyze: expected one file .nii. Convert it with mri_convert"
        raise ImageError(said, ErrorCode.UNREADABLE)
    if len(shape) < 3 or any(side > 1 for side in shape[3:]):
        what = f"{len(shape)} dimensions, {' x '.join(map(str, shape))}"
        said = f"has {what}: expected one volume of three. Split a series in time, for instance with fslsplit"
        raise ImageError(said, "not_a_volume")
    if any(side < 1 for side in shape):
        raise ImageError(f"has a volume of {' x '.join(map(str, shape))} voxels: it is empty", ErrorCode.EMPTY)


def checked_affine(image: Any) -> NDArray[np.float64]:
    """(4, 4) from voxels to millimetres, to the right, to the front and upward.

    Raises:
        ImageError: Voxels have no size, or axes are not at right angles, so that slices have no spacing.
    """
    affine = np.asarray(image.affine, np.float64)
    columns = affine[:3, :3]
    sizes = np.linalg.norm(columns, axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if not (sizes > 1e-6).all():
        said = f"says that voxels are {' x '.join(f'{size:g}' for size in sizes)} mm large; set the spacing, with fslhd"
        raise ImageError(said, "spacing")
    cosines = (columns / sizes).T @ (columns / sizes) - np.eye(3)
    if np.abs(cosines).max() > SKEW:
        said = (
            f"has axes that are not at right angles (cosine {np.abs(cosines).max():.2f}): a gantry tilt, or a shear "
            "of a registration. Resample it onto a plain grid, for instance with flirt -applyisoxfm"
        )
        raise ImageError(said, "sheared")
    return affine


def voxels(image: Any) -> NDArray[np.float32]:
    """The values of a volume (X, Y, Z), scaled as its header says, as stored."""
    return np.asarray(image.dataobj, np.float32).reshape(image.shape[:3])


def canonical(volume: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """The volume, its axes those closest to the right, the front and upward."""
    return np.asarray(apply_orientation(volume, io_orientation(affine)))


def stored(volume: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """The inverse of `canonical`."""
    return np.asarray(apply_orientation(volume, ornt_transform(CANONICAL, io_orientation(affine))))


def canonical_affine(affine: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """(4, 4) from the voxels of the canonical volume to millimetres."""
    return np.asarray(affine @ inv_ornt_aff(io_orientation(affine), shape))


def _seen(volume: NDArray[Any], axis: int, number: int) -> NDArray[Any]:
    """A slice (H, W) of a canonical volume as it is shown."""
    return np.asarray(np.take(volume, number, axis).T[::-1, ::-1])


def unseen(plane: NDArray[Any]) -> NDArray[Any]:
    """The inverse for one slice: (H, W) to two axes of a canonical volume."""
    return plane.T[::-1, ::-1]


def _spacing(affine: NDArray[np.float64], axis: int) -> tuple[float, float]:
    """Millimetres from row to row and from column to column of a slice."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    canonical_sizes = np.zeros(3)
    for one, (target, _) in enumerate(io_orientation(affine)):
        canonical_sizes[int(target)] = sizes[one]
    across, down = (canonical_sizes[one] for one in range(3) if one != axis)
    return float(down), float(across)
