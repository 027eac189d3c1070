"""Where the slices of a DICOM source lie, for writers: positions and directions, in millimetres; what is marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import AnomalibLiteError, DataError, MissingExtra
from anomalib_lite_medical.frames import quiet
from anomalib_lite_medical.places import group_of
from anomalib_lite_medical.steps import UNEVEN

try:
    from pydicom import Dataset
    from pydicom.valuerep import DA, TM
except ImportError as missing:
    raise MissingExtra("pydicom", "medical", "DICOM") from missing

EVEN = 1e-2  # millimetres by which slices may lie off a grid sideways; along their axis `UNEVEN` of a step
KINDS = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
BLANK = (  # of a patient and a study: what has to be there, and may be empty
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Plane:
    """A slice: where its first pixel lies, and the steps to the next column and row; to the left, back and upward."""

    first: NDArray[np.float64]  # (3,)
    across: NDArray[np.float64]  # (3,)
    down: NDArray[np.float64]  # (3,)
    thick: float  # millimetres


def header_of(picture: Any, name: str) -> Dataset:
    """What the DICOM file of a picture says of it; where it says nothing plain of patient and study, empty values.

    Raises:
        DataError: It is of another file type.
    """
    if "header" not in picture.meta:
        raise DataError(f"{name}: comes from no DICOM file, and has no patient to lay a result over: write nifti_mask.")
    with quiet():
        found = Dataset.from_json(picture.meta["header"])
        for word in BLANK:
            if not _is_plain(word, found.get(word)):
                setattr(found, word, "")
        return found


def _is_plain(word: str, value: Any) -> bool:
    """Whether a value is one that DICOM has for its element."""
    if word == "PatientSex":
        return value in ("M", "F", "O")
    try:
        return value is not None and (word not in KINDS or KINDS[word](value) is not None)
    except ValueError:
        return False


@contextmanager
def over_source() -> Iterator[None]:
    """Whatever a header makes of what is written over it becomes a `DataError`, which says nothing of the header."""
    try:
        with quiet():
            yield
    except (AnomalibLiteError, OSError, MemoryError):
        raise
    except Exception as error:
        said = (
            f"its header is not what a result can be laid over ({type(error).__name__}). Use --heatmaps, or nifti_mask"
        )
        raise DataError(f"{said} after dcm2niix.") from error


def planes_of(pictures: Sequence[Any]) -> list[Plane]:
    """The planes of the slices of a series, or of the frames of a file.

    Raises:
        DataError: They say no position.
    """
    headers: dict[str, Dataset] = {}  # that of a file of several frames is read once
    for one in pictures:
        said = one.meta["header"]
        headers[said] = headers.get(said) or header_of(one, "the picture")
    return [_plane(headers[one.meta["header"]], int(one.meta["frame"]) - 1, one.spacing) for one in pictures]


def _plane(header: Dataset, frame: int, spacing: tuple[float, float] | None) -> Plane:
    position = said_of(header, frame, "PlanePositionSequence", "ImagePositionPatient")
    direction = said_of(header, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    if position is None or direction is None or spacing is None:
        raise DataError("the source says no position or no pixel spacing: it is no slice of a volume. Use --heatmaps.")
    turned = np.asarray(direction, np.float64)
    thick = float(said_of(header, frame, "PixelMeasuresSequence", "SliceThickness") or 1)
    return Plane(np.asarray(position, np.float64), turned[:3] * spacing[1], turned[3:] * spacing[0], thick)


def said_of(header: Dataset, frame: int, group: str, name: str) -> Any:
    """A value of the header itself, or of the functional groups of a file of several frames; None where neither."""
    found = group_of(header, frame, group)
    return (header if found is None else found).get(name)


def stacked(
    planes: Sequence[Plane], slices: Sequence[NDArray[Any]], fill: float
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Slices (H, W) as one volume (W, H, n), and the affine (4, 4) from its voxels to the right, front and upward.

    Slices that are missing between others are `fill`; one alone is as high as it is thick. Where the steps differ, as
    a reader allows, slices lie at even places.

    Raises:
        DataError: They do not lie on one grid.
    """
    normal = np.cross(planes[0].across, planes[0].down)
    normal /= np.linalg.norm(normal)
    heights = np.array([(plane.first - planes[0].first) @ normal for plane in planes])
    order = np.argsort(heights)
    steps = np.diff(heights[order])
    step = float(np.sort(steps)[(len(steps) - 1) // 2]) if len(steps) else planes[0].thick
    places = np.zeros(len(planes), int)
    places[order[1:]] = np.cumsum(np.rint(steps / max(step, EVEN)).astype(int))
    lowest, last = planes[int(order[0])], int(places.max())
    total = planes[int(order[-1])].first - lowest.first
    up = total / last if last else normal * step
    for plane, place in zip(planes, places, strict=True):
        off = lowest.first + place * up - plane.first
        aside = np.abs(off - off @ normal * normal).max()
        turned = np.abs(np.array([plane.across - lowest.across, plane.down - lowest.down])).max()
        if step < EVEN or max(aside, turned) > EVEN or abs(off @ normal) > max(UNEVEN * step, EVEN):
            raise DataError(
                f"its slices do not lie on one even grid, to {EVEN} mm sideways and a tenth of a step: NIfTI has no "
                "place for them. Write dicom_seg or dicom_map."
            )
    volume = np.full((slices[0].shape[1], slices[0].shape[0], last + 1), fill, slices[0].dtype)
    for place, values in zip(places, slices, strict=True):
        volume[:, :, place] = values.T
    affine = np.eye(4)
    affine[:3] = np.stack([lowest.across, lowest.down, up, lowest.first], axis=1)
    affine[:2] *= -1  # from left and back to right and front
    return volume, affine


def window_of(result: Any) -> tuple[float, float]:
    """Centre and width of the window through which a map is seen best: the threshold of NG is its middle."""
    review, reject = result.map_thresholds
    return reject, max(2 * abs(reject - review), abs(reject), 1e-6)


def is_unmeasured(result: Any) -> bool:
    """Whether an image could not be measured, so that its map is NaN."""
    return bool(result.verdict == "ERROR")


def inside(picture: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Values (H, W), 0 where a picture is not to be inspected."""
    return values if picture.valid is None else np.where(picture.valid, values, np.zeros_like(values))


def marked(result: Any, picture: Any, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """1 where a map (H, W) is above the threshold of the verdict, as regions are; nothing of an OK image."""
    if result.verdict not in ("NG", "REVIEW"):
        return np.zeros(values.shape, np.uint8)
    found = values > result.map_thresholds[1 if result.verdict == "NG" else 0]
    return np.asarray(inside(picture, found), np.uint8)
