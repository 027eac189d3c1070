"""Slices of a DICOM series as one volume: their order along the axis, and what keeps them, or channels, from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ErrorCode, ImageError
from anomalib_lite_medical.channels import OTHER_GRID, arranged, word_in
from anomalib_lite_medical.config import DICOM
from anomalib_lite_medical.places import placed
from anomalib_lite_medical.steps import SAME, check_steps, check_straight

NO_POSITION = "no_position"
SLICED = ("CT", "MR", "PT")
MODALITIES = {one: one for one in ("CR", "CT", "DX", "MG", "MR", "NM", "PT", "US", "XA")} | {"MRI": "MR", "PET": "PT"}
EVEN = 1e-2  # millimetres by which the slices of two channels may lie apart


@dataclass(frozen=True)
class Series:
    """Files of one series, and the word of the channel that it is."""

    uid: str
    word: str
    files: list[Path]


def word_of(folder: Path, header: Any, words: Sequence[str]) -> tuple[str, str] | None:
    """The word of a series, and what it shares with the other channels of its image; None where it has none.

    Where all words are modalities, its own is the word, and its study what is shared; else its folder tells both.
    """
    asked = [MODALITIES.get(word.upper()) for word in words]
    if None in asked:
        return word_in(f"{folder.as_posix()}/", words)
    modality = str(header.get("Modality") or "")
    return (words[asked.index(modality)], str(header.get("StudyInstanceUID"))) if modality in asked else None


def channels_of(files: Sequence[BinaryIO], headers: Sequence[Any], channels: Sequence[str]) -> list[list[int]]:
    """The places of slices, in their order, of each channel; of a single series where there are no others.

    Args:
        files: Of all series; their names say of which channel each is.
        headers: Of the files.
        channels: The option of the reader.

    Raises:
        ImageError: They are not one volume of one patient each, or not on one grid; or a channel is missing.
    """
    series = defaultdict[str, list[int]](list)
    for place, header in enumerate(headers):
        series[str(header.get("SeriesInstanceUID"))].append(place)
    found, words = list(series.values()), list(dict.fromkeys(channels))
    if words:
        firsts = [files[places[0]] for places in found]
        folders = [Path(str(getattr(one, "name", ""))).parent for one in firsts]
        said_of = [word_of(folder, headers[some[0]], words) for folder, some in zip(folders, found, strict=True)]
        order = arranged(firsts, [None if one is None else one[0] for one in said_of], words)
        found = [found[order[words.index(word)]] for word in channels]
    elif len({int(header.get("NumberOfFrames") or 1) for header in headers}) == len(found) == 1:
        return [in_order([placed(one) for one in headers])]
    if any(int(header.get("NumberOfFrames") or 1) > 1 for header in headers):
        said = "has several frames in a file: channels are series of a file for each slice. Divide it, or convert all"
        raise ImageError(f"{said} to NIfTI, with dcm2niix", ErrorCode.SEVERAL_FRAMES)
    told = [placed(one) for one in headers]
    _check_patient(told)
    ordered = [[places[one] for one in in_order([told[place] for place in places])] for places in found]
    grids = [_Grid.of([told[place] for place in places]) for places in ordered]
    for other in grids[1:]:
        if not other.fits(grids[0]):
            said = f"its series lie on several grids: {grids[0]}, and {other}. Register them, and resample all onto the"
            raise ImageError(f"{said} grid of one", OTHER_GRID)
    return ordered


@dataclass(frozen=True, eq=False)
class _Grid:
    """Where the pixels of the slices of a series lie."""

    what: str
    size: tuple[int, int]  # rows, columns
    steps: tuple[float, ...]  # from row to row, from column to column, in millimetres
    places: NDArray[np.float64]  # (n, 3); NaN where nothing says it
    turned: NDArray[np.float64]  # (6,)

    @classmethod
    def of(cls, headers: Sequence[Any]) -> _Grid:
        first, nowhere = headers[0], [np.nan] * 3
        places = np.array([one["ImagePositionPatient"] or nowhere for one in headers], np.float64)
        turned = np.array(first["ImageOrientationPatient"] or [1, 0, 0, 0, 1, 0], np.float64)
        steps = tuple(map(float, first["PixelSpacing"] or (0, 0)))
        return cls(str(first["Modality"]), (int(first["Rows"]), int(first["Columns"])), steps, places, turned)

    def fits(self, other: _Grid) -> bool:
        """Whether pixels lie where those of another grid lie."""
        if self.size != other.size or len(self.places) != len(other.places):
            return False
        far = np.nan_to_num(np.abs(self.places - other.places)).max() + np.isnan(self.places - other.places).any() * (
            np.isnan(self.places).all() != np.isnan(other.places).all()
        )
        reach = max(self.size) * np.abs(np.array(self.steps) - np.array(other.steps)).max()
        bent = max(self.size) * max(self.steps) * np.abs(self.turned - other.turned).max()
        return bool(max(far, reach, bent) <= EVEN)

    def __str__(self) -> str:
        rows, columns = self.size
        first = ", ".join(f"{one:.6g}" for one in self.places[0])
        apart = np.linalg.norm(np.diff(self.places, axis=0), axis=1)
        step = f", {np.median(apart):.4g} mm apart" if len(apart) else ""
        down, across = self.steps
        return (
            f"{self.what} has {len(self.places)} slices of {rows} x {columns} pixels of {down:.4g} x {across:.4g} mm"
            f"{step}, from ({first})"
        )


def in_order(headers: Sequence[Any]) -> list[int]:
    """The places of slices, from the lowest along their axis to the highest; by number where none has a position.

    Args:
        headers: What `placed` says of each slice, or of each frame of a file.

    Raises:
        ImageError: They are not one volume of one patient; `code` says why.
    """
    _check_alike(headers)
    if len(headers) == 1:
        return [0]
    there = [one["ImagePositionPatient"] is not None for one in headers]
    if not any(there):
        return _numbered(headers)
    if not all(there):
        said = f"{there.count(False)} of {len(there)} slices of the series say no position; send the series again"
        raise ImageError(said, NO_POSITION)
    rows, columns = directions(headers[0])
    normal = np.cross(rows, columns)
    places = np.array([np.asarray(one["ImagePositionPatient"], np.float64) for one in headers])
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    check_steps(headers, order, np.diff(heights[order]))
    check_straight(places[order], normal)
    return [int(one) for one in order]


def is_unplaced(slices: Sequence[dict[str, Any]]) -> bool:
    """Whether slices or frames, as `placed` tells of them, say no position, though their modality records volumes."""
    first = slices[0]
    return len(slices) > 1 and first["Modality"] in SLICED and first["ImagePositionPatient"] is None


def mixed(files: Sequence[BinaryIO]) -> list[str]:
    """What is to be said where the files of a series have several suffixes: some may have come from elsewhere."""
    ends = (Path(str(getattr(file, "name", ""))).suffix.lower() for file in files)
    found = sorted({one if one in DICOM else "none" for one in ends})
    return [f"its series is of files with several suffixes: {', '.join(found)}"] if len(found) > 1 else []


def _numbered(headers: Sequence[Any]) -> list[int]:
    """The places of slices that say no position, by their numbers.

    Raises:
        ImageError: These tell no order; or numbers are missing of what is recorded in slices.
    """
    numbers = [int(one["InstanceNumber"] or 0) for one in headers]
    if len(set(numbers)) < len(numbers):
        said = "slices of the series say no position, and several have the same number, so that nothing tells their"
        raise ImageError(f"{said} order; send the series again", NO_POSITION)
    lost = max(numbers) - min(numbers) + 1 - len(numbers)
    if lost and headers[0]["Modality"] in SLICED:
        said = f"slices of the series say no position, and {lost} of their numbers are missing, from {min(numbers)} to"
        raise ImageError(f"{said} {max(numbers)}; send the series again", "missing_slices")
    return sorted(range(len(headers)), key=lambda one: numbers[one])


def directions(header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row and along a column, to the left, to the back and upward.

    Raises:
        ImageError: They are missing, or not at right angles.
    """
    found = np.asarray(header["ImageOrientationPatient"] or np.zeros(6), np.float64)
    along, down = found[:3], found[3:]
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(along @ down) > 1e-2:
        said = f"says that its rows and columns run along {found.tolist()}: expected two unit vectors at right angles"
        raise ImageError(said, "orientation")
    return along / lengths[0], down / lengths[1]


def _check_alike(headers: Sequence[Any]) -> None:
    """Raise where slices are of several patients, sizes, spacings or orientations. No name is told."""
    _check_patient(headers)
    for what, code, tags in (
        ("modalities", "mixed_series", ("Modality",)),
        ("sizes", "mixed_series", ("Rows", "Columns")),
        ("orientations", "several_orientations", ("ImageOrientationPatient",)),
        ("pixel spacings", "mixed_series", ("PixelSpacing",)),
    ):
        kinds = _kinds([[one[tag] for tag in tags] for one in headers])
        if kinds > 1:
            said = (
                f"slices of {kinds} {what} are in one series, such as a localizer's: they are no volume. Leave it "
                "out, or put each kind into a folder of its own"
            )
            raise ImageError(said, code)


def _check_patient(headers: Sequence[Any]) -> None:
    if len({(one["PatientID"], one["PatientName"]) for one in headers}) > 1:
        said = "slices of several patients are in one series, or in its channels: its numbers were given twice, or the"
        raise ImageError(f"{said} wrong files named. Send it again", "several_patients")


def _kinds(values: Sequence[Sequence[Any]]) -> int:
    """How many values differ: numbers by more than a thousandth, which no rounding makes."""
    found: list[Sequence[Any]] = []
    for one in values:
        if not any(all(map(_is_alike, one, other)) for other in found):
            found.append(one)
    return len(found)


def _is_alike(one: Any, other: Any) -> bool:
    if one is None or other is None or isinstance(one, str | int):
        return bool(one == other)
    return len(one) == len(other) and bool(np.abs(np.subtract(one, other, dtype=np.float64)).max() <= SAME)
