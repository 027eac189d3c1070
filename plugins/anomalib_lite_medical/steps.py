"""How the slices of a DICOM series follow each other: evenly, none lost, stacked along their axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ImageError

TILT = 0.5  # degrees between the axis of the slices and the direction in which they are stacked
UNEVEN = 0.1  # share by which a step from slice to slice may differ from the median
SAME = 1e-3  # millimetres
ASIDE = 0.1  # millimetres beside its line that a slice may lie, or UNEVEN of a step: positions are rounded
TOUCHING = ("CT", "PT")  # of which slices lie as far apart as they are thick, or closer


def step_of(ordered: Sequence[Any]) -> float | None:
    """Millimetres from slice to slice; of one alone what its header says; None where nothing says it.

    Args:
        ordered: What `placed` says of each, in the order of their positions.
    """
    first, last = (one["ImagePositionPatient"] for one in (ordered[0], ordered[-1]))
    if len(ordered) == 1:
        return ordered[0]["SpacingBetweenSlices"] or ordered[0]["SliceThickness"] or None
    return None if first is None else float(np.linalg.norm(np.subtract(last, first))) / (len(ordered) - 1)


def check_steps(headers: Sequence[Any], order: NDArray[np.intp], steps: NDArray[np.float64]) -> None:
    """Raise where slices lie where others lie, or are missing between others.

    Args:
        headers: What `placed` says of each.
        order: Their places, from the lowest to the highest.
        steps: Millimetres from each to the next.
    """
    if (steps < SAME).any():
        said = (
            f"{int((steps < SAME).sum()) + 1} slices of {len(headers)} lie where another lies: copies, echoes, phases "
            "or directions of diffusion. Put each of them into a folder of its own"
        )
        raise ImageError(said, "same_position")
    typical = float(np.sort(steps)[(len(steps) - 1) // 2])  # what is missing makes steps wider, none narrower
    widest = int(np.argmax(np.abs(steps - typical)))
    if abs(steps[widest] - typical) <= UNEVEN * typical:
        _check_numbers([headers[one] for one in order], typical)
        return
    numbers = [headers[order[one]]["InstanceNumber"] for one in (widest, widest + 1)]
    lost = round(float(steps[widest]) / typical) - 1
    missing = f"{lost} missing" if lost > 0 else "unevenly spaced"
    said = (
        f"slices are {typical:.3g} mm apart, but those with the numbers {numbers[0]} and {numbers[1]} "
        f"{steps[widest]:.3g} mm ({missing}). Send the series again"
    )
    raise ImageError(said, "missing_slices")


def _check_numbers(ordered: Sequence[Any], step: float) -> None:
    """Raise where every second slice alone is there, or every third: by their numbers and by what they say of steps.

    One of both proves nothing: echoes that were taken in turn have numbers with gaps, and slices may lie apart.
    """
    numbers, first = [one["InstanceNumber"] for one in ordered], ordered[0]
    if None in numbers:
        return
    jumps = {abs(int(after) - int(before)) for before, after in pairwise(numbers)}
    said = first["SpacingBetweenSlices"] or (first["SliceThickness"] if first["Modality"] in TOUCHING else 0)
    each = max(jumps)
    if len(jumps) == 1 and each > 1 and abs(step - each * said) <= UNEVEN * step:
        told = (
            f"slices are {step:.3g} mm apart, where they say {said:.3g} mm, and their numbers {each}: of {each} slices"
        )
        raise ImageError(f"{told} one alone is there. Send the series again", "missing_slices")


def check_straight(places: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    """Raise where slices are not stacked along their axis: positions (n, 3), in their order, and the axis."""
    stacked = places[-1] - places[0]
    angle = float(np.degrees(np.arccos(np.clip(stacked @ normal / np.linalg.norm(stacked), -1, 1))))
    if angle > TILT:
        said = (
            f"slices are stacked {angle:.1f} degrees off their axis: the gantry was tilted. Resample the series onto a "
            "plain grid, for instance with dcm2niix"
        )
        raise ImageError(said, "gantry_tilt")
    along = (places - places[0]) @ normal
    beside = np.linalg.norm(places - places[0] - np.outer(along / along[-1], stacked), axis=1)
    if beside.max() > max(ASIDE, UNEVEN * along[-1] / (len(places) - 1)):
        said = f"slices lie up to {beside.max():.3g} mm beside the line of the first and the last: they were moved"
        raise ImageError(f"{said}. Resample the series onto a plain grid, or send it again", "shifted_slices")
