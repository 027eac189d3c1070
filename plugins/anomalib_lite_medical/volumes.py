"""A NIfTI volume: opened within limits, checked, in the orientation that is closest to straight; and its grid."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ErrorCode, ImageError, MissingExtra
from anomalib_lite_medical.channels import OTHER_GRID

try:
    import nibabel
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
except ImportError as missing:
    raise MissingExtra("nibabel", "medical", "NIfTI") from missing

BYTES = 1 << 30  # of a volume, unpacked
CHUNK = 1 << 20
UNITS = {1: 1e3, 3: 1e-3}  # millimetres of metres and micrometres; what is not said is millimetres
CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])
SKEW = 1e-2  # cosine of the angle between two axes, above which they are not at right angles
HEADERS = {348: nibabel.Nifti1Image, 540: nibabel.Nifti2Image}
EVEN = 1e-2  # millimetres by which the grids of two channels may differ


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume as it is stored, and its values in the canonical orientation."""

    name: str
    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    shape: list[int]
    note: str = ""

    @property
    def grid(self) -> str:
        """Where its voxels lie, in words."""
        sizes = " x ".join(f"{size:.4g}" for size in np.linalg.norm(self.affine[:3, :3], axis=0))
        first = ", ".join(f"{one:.6g}" for one in self.affine[:3, 3])
        return f"{' x '.join(map(str, self.shape))} voxels of {sizes} mm from ({first})"

    def refuse_other(self, other: Volume) -> None:
        """Refuse a volume that lies elsewhere.

        Raises:
            ImageError: With both grids.
        """
        if other.values.shape != self.values.shape or np.abs(other.corners() - self.corners()).max() > EVEN:
            said = (
                f"{other.name} lies on another grid than {self.name}: {other.grid}, and {self.grid}. Register it, and"
            )
            raise ImageError(
                f"{said} resample it onto that of {self.name}, as flirt -usesqform -applyxfm does", OTHER_GRID
            )

    def corners(self) -> NDArray[np.float64]:
        """Where the corners of the canonical volume lie, in millimetres: (3, 8), by its shape alone."""
        turned = canonical_affine(self.affine, self.shape)
        ends = np.array([[0, side - 1] for side in self.values.shape])
        places = np.stack(np.meshgrid(*ends, indexing="ij")).reshape(3, 8)
        return np.asarray(turned[:3, :3] @ places + turned[:3, 3:])

    def corners_of(self, axis: int, number: int) -> Any:
        """`Picture.corners` of a slice along an axis of the canonical volume: to the left, back and upward, as DICOM.

        A slice is seen from below, from the front or from the patient's left: both of its axes run backward.
        """
        across, down = (one for one in range(3) if one != axis)
        places = np.zeros((4, 3))
        places[:, axis] = number
        places[3, axis] = self.values.shape[axis] - 1
        places[:, across], places[:, down] = self.values.shape[across] - 1, self.values.shape[down] - 1
        places[1, across] = places[2, down] = 0
        turned = canonical_affine(self.affine, self.shape)
        return tuple(map(tuple, ((places @ turned[:3, :3].T + turned[:3, 3]) * (-1, -1, 1)).tolist()))


def volume_of(file: BinaryIO) -> Volume:
    """The volume that a file holds.

    Raises:
        ImageError: It is no NIfTI volume, or none that can be looked at slice by slice.
    """
    image = opened(file.read())
    affine = checked_affine(image)
    name = PurePath(str(getattr(file, "name", "")) or "the volume").name
    return Volume(name, canonical(voxels(image), affine), affine, list(image.shape[:3]), _unsaid(image.header))


def _unsaid(header: Any) -> str:
    """What a header leaves open of where a volume lies."""
    if int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0:
        return ""
    return "says not which side is left: its voxels are taken to run from right to left, to the front and upward"


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
    rest = _taken(stream, size - len(head))
    _check_end(stream)
    try:
        return kind.from_bytes(head + rest)
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


def _check_end(stream: Any) -> None:
    """Read what is behind a volume: gzip compares its checksum at the end alone.

    Raises:
        ImageError: It is another, or there is too much.
    """
    for _ in range(BYTES // CHUNK):
        try:
            if not stream.read(CHUNK):
                return
        except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
            raise ImageError(f"is damaged ({error}); copy it again", ErrorCode.TRUNCATED) from error
    raise ImageError(f"has more than {BYTES:,} bytes behind its volume; convert it again", ErrorCode.TOO_LARGE)


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
        how = "Give the whole volume" if len(shape) < 3 else "Split a series in time, for instance with fslsplit"
        said = f"has {what}: expected one volume of three. {how}"
        raise ImageError(said, "not_a_volume")
    sizes = np.abs(np.asarray(header["pixdim"][1:4], np.float64))
    if int(header["sform_code"]) <= 0 and not (sizes > 0).all():
        said = f"says that voxels are {' x '.join(f'{size:g}' for size in sizes)} mm large; set the spacing, with fslhd"
        raise ImageError(said, "spacing")
    if any(side < 1 for side in shape):
        raise ImageError(f"has a volume of {' x '.join(map(str, shape))} voxels: it is empty", ErrorCode.EMPTY)


def checked_affine(image: Any) -> NDArray[np.float64]:
    """(4, 4) from voxels to millimetres, to the right, to the front and upward.

    Raises:
        ImageError: Voxels have no size, or axes are not at right angles, so that slices have no spacing.
    """
    affine = np.asarray(image.affine, np.float64).copy()
    affine[:3] *= UNITS.get(int(image.header["xyzt_units"]) & 7, 1.0)
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
