"""Slices of a DICOM series as one volume: their order along the axis, and what keeps them from being one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ImageError

TILT = 0.5  # degrees between the axis of the slices and the direction in which they are stacked
UNEVEN = 0.1  # share by which a step from slice to slice may differ from the median
SAME = 1e-3  # millimetres


def in_order(headers: Sequence[Any]) -> list[int]:
    """The places of slices, from the lowest along their axis to the highest; by number where none has a position.

    Raises:
        ImageError: They are not one volume of one patient; `code` says why.
    """
    _check_alike(headers)
    placed = [header.get("ImagePositionPatient") is not None for header in headers]
    if not any(placed):
        return sorted(range(len(headers)), key=lambda one: int(headers[one].get("InstanceNumber") or 0))
    if not all(placed):
        said = f"{placed.count(False)} of {len(placed)} slices of the series say no position; send the series again"
        raise ImageError(said, "no_position")
    rows, columns = directions(headers[0])
    normal = np.cross(rows, columns)
    places = np.array([np.asarray(header.ImagePositionPatient, np.float64) for header in headers])
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    _check_steps(headers, order, np.diff(heights[order]))
    _check_tilt(places[order], normal)
    return [int(one) for one in order]


def directions(header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row and along a column, to the left, to the back and upward.

    Raises:
        ImageError: They are missing, or not at right angles.
    """
    found = np.asarray(header.get("ImageOrientationPatient") or np.zeros(6), np.float64)
    along, down = found[:3], found[3:]
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(along @ down) > 1e-2:
        said = f"says that its rows and columns run along {found.tolist()}: expected two unit vectors at right angles"
        raise ImageError(said, "orientation")
    return along / lengths[0], down / lengths[1]


def _check_alike(headers: Sequence[Any]) -> None:
    """Raise where slices are of several patients, sizes, spacings or orientations. No name is told."""
    if len({(str(one.get("PatientID") or ""), str(one.get("PatientName") or "")) for one in headers}) > 1:
        said = "slices of several patients are in one series: its numbers were given twice. Send it again"
        raise ImageError(said, "several_patients")
    for what, code, tags in (
        ("modalities", "mixed_series", ("Modality",)),
        ("sizes", "mixed_series", ("Rows", "Columns")),
        ("orientations", "several_orientations", ("ImageOrientationPatient",)),
        ("pixel spacings", "mixed_series", ("PixelSpacing",)),
    ):
        kinds = {_rounded([one.get(tag) for tag in tags]) for one in headers}
        if len(kinds) > 1:
            said = (
                f"slices of {len(kinds)} {what} are in one series, such as a localizer's: they are no volume. Leave it "
                "out, or put each kind into a folder of its own"
            )
            raise ImageError(said, code)


def _rounded(values: Sequence[Any]) -> tuple[Any, ...]:
    """Values that are compared: numbers to the third digit."""
    found: list[Any] = []
    for one in values:
        numbers = [one] if one is None or isinstance(one, str | int) else list(one)
        found += [round(float(x), 3) + 0.0 if isinstance(x, float) else x for x in numbers]
    return tuple(found)


def _check_steps(headers: Sequence[Any], order: NDArray[np.intp], steps: NDArray[np.float64]) -> None:
    if (steps < SAME).any():
        said = (
            f"{int((steps < SAME).sum()) + 1} slices of {len(headers)} lie where another lies: copies, echoes, phases "
            "or directions of diffusion. Put each of them into a folder of its own"
        )
        raise ImageError(said, "same_position")
    typical = float(np.sort(steps)[(len(steps) - 1) // 2])  # what is missing makes steps wider, none narrower
    widest = int(np.argmax(np.abs(steps - typical)))
    if abs(steps[widest] - typical) <= UNEVEN * typical:
        return
    numbers = [headers[order[one]].get("InstanceNumber", "?") for one in (widest, widest + 1)]
    lost = round(float(steps[widest]) / typical) - 1
    missing = f"{lost} missing" if lost > 0 else "unevenly spaced"
    said = (
        f"slices are {typical:.3g} mm apart, but those with the numbers {numbers[0]} and {numbers[1]} "
        f"{steps[widest]:.3g} mm ({missing}). Send the series again"
    )
    raise ImageError(said, "missing_slices")


def _check_tilt(places: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    stacked = places[-1] - places[0]
    angle = float(np.degrees(np.arccos(np.clip(stacked @ normal / np.linalg.norm(stacked), -1, 1))))
    if angle > TILT:
        said = (
            f"slices are stacked {angle:.1f} degrees off their axis: the gantry was tilted. Resample the series onto a "
            "plain grid, for instance with dcm2niix"
        )
        raise ImageError(said, "gantry_tilt")
