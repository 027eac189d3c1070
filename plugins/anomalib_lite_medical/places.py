"""Where a frame of a DICOM data set lies: position, directions, sizes, as its header or functional groups say."""

from __future__ import annotations

from typing import Any

import numpy as np

from anomalib_lite.errors import ErrorCode, ImageError
from anomalib_lite_medical import patients

NUMBERS = {  # codes, and how many there are
    "ImagePositionPatient": ("no_position", 3), "ImageOrientationPatient": ("orientation", 6),
    "PixelSpacing": ("spacing", 2), "ImagerPixelSpacing": ("spacing", 2),
}  # fmt: skip


def frames_of(header: Any) -> int:
    """How many frames a data set says that it has.

    Raises:
        ImageError: That is no number.
    """
    try:
        return int(header.get("NumberOfFrames") or 1)
    except (TypeError, ValueError) as error:
        said = "says in the place of its number of frames what is no number"
        raise ImageError(said, ErrorCode.UNREADABLE) from error


def placed(header: Any, frame: int = 0) -> dict[str, Any]:
    """What orders the slices of a volume, and has to be the same of all, by its name in DICOM; None where not said."""
    several = frames_of(header) > 1
    position = group_of(header, frame, "PlanePositionSequence") or ({} if several else header)
    turned = group_of(header, frame, "PlaneOrientationSequence") or header
    measures = group_of(header, frame, "PixelMeasuresSequence") or header
    return {
        "ImagePositionPatient": _numbers(position, "ImagePositionPatient"),
        "ImageOrientationPatient": _numbers(turned, "ImageOrientationPatient"),
        "PixelSpacing": _numbers(measures, "PixelSpacing"),
        **{name: length(measures, name) for name in ("SpacingBetweenSlices", "SliceThickness")},
        "InstanceNumber": frame + 1 if several else header.get("InstanceNumber"),
        "Modality": header.get("Modality"),
        "Rows": header.get("Rows"),
        "Columns": header.get("Columns"),
        "PatientID": str(header.get("PatientID") or ""),
        "PatientName": patients.plain_name(header),
    }


def spacing_of(header: Any, frame: int) -> tuple[float, float] | None:
    """Millimetres from row to row and from column to column.

    Raises:
        ImageError: They are no distances.
    """
    measures = group_of(header, frame, "PixelMeasuresSequence") or header
    found = _numbers(measures, "PixelSpacing") or _numbers(header, "ImagerPixelSpacing")
    if not found:
        return None
    down, across = found
    if not (0 < down < 1e4 and 0 < across < 1e4):
        said = (
            f"says that its pixels are {down:g} x {across:g} mm apart: expected distances above 0. Correct the header"
        )
        raise ImageError(said, "spacing")
    return down, across


def facing(turned: list[float] | None) -> str | None:
    """Where rows and columns run to, as in PatientOrientation, of oblique ones the closest: LP for axial slices."""
    if turned is None:
        return None
    letters = ""
    for one in (turned[:3], turned[3:]):
        axis = int(np.argmax(np.abs(one)))
        letters += ("LR", "PA", "HF")[axis][one[axis] < 0]
    return letters


def group_of(header: Any, frame: int, name: str) -> Any:
    """What the functional groups of a file of several frames say of one of them; None where they say nothing."""
    for groups, place in ((header.get("PerFrameFunctionalGroupsSequence"), frame),
                          (header.get("SharedFunctionalGroupsSequence"), 0)):  # fmt: skip
        if groups and place < len(groups) and groups[place].get(name):
            return groups[place].get(name)[0]
    return None


def length(said: Any, name: str) -> float:
    """Millimetres; 0 where nothing, or no length, is said."""
    try:
        found = abs(float(said.get(name) or 0))
    except (TypeError, ValueError):
        return 0.0
    return found if np.isfinite(found) else 0.0


def _numbers(header: Any, name: str) -> list[float] | None:
    """An element of several numbers; None where it is not there, or empty.

    Raises:
        ImageError: It has more or fewer, or not all are finite.
    """
    values = header.get(name)
    if values is None or values == "" or values == []:
        return None
    code, count = NUMBERS[name]
    found = [float(one) for one in np.atleast_1d(np.asarray(values, np.float64))]
    if len(found) != count or not np.isfinite(found).all():
        raise ImageError(f"says {name} with {len(found)} values: expected {count} finite numbers; send it again", code)
    return found
