"""`python -m anomalib_lite_medical`: the window of a training set; two dates on one grid; measures of lesions."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import AnomalibLiteError, ConfigError, DataError, ImageError
from anomalib_lite_medical import alignment, lesions
from anomalib_lite_medical.nifti import SUFFIXES
from anomalib_lite_medical.pixels import marked_by_labels
from anomalib_lite_medical.sampling import counted, slices
from anomalib_lite_medical.volumes import canonical, canonical_affine, checked_affine, opened, stored, voxels

DRAWN = 4096  # values of a slice
NEAR = 1e-2  # voxels by which the grids of a map and its mask may differ


def main(words: Sequence[str] | None = None) -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m anomalib_lite_medical", description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("window", help="percentiles of all values of the training images, as a fixed window")
    one.add_argument("folder", type=Path)
    one.add_argument("--low", type=float, default=1.0, help="percent of the values that are black")
    one.add_argument("--high", type=float, default=99.0, help="percent of the values that are not white")
    one.add_argument("--body", type=_level, help="count what is body alone: the option of the readers")
    one.add_argument("--mask", help="count what the mask beside each volume marks: the option of NIfTI")
    one.add_argument("--channels", default="", help="words with commas between them: the option of the readers")
    one.add_argument("--suv", action="store_true", help="PET as standardised uptake values: the option of DICOM")
    one.set_defaults(run=_window)
    other = commands.add_parser("lesions", help="measure maps (predict --write nifti_map) against masks of lesions")
    other.add_argument("maps", type=Path, help="a folder of maps, or of a folder of maps for each patient")
    other.add_argument("truth", type=Path, help="a folder of NIfTI masks, called as the maps or one of their folders")
    other.add_argument("--threshold", type=_number, help="of the map, for Dice and distances; default: the best")
    other.add_argument("--json", type=Path, help="write all numbers to this file")
    other.set_defaults(run=_lesions)
    third = commands.add_parser("align", help="one volume of a patient on the grid of another, moved as a rigid body")
    third.add_argument("moving", type=Path, help="a NIfTI volume, such as the second date")
    third.add_argument("fixed", type=Path, help="a NIfTI volume of the same patient and contrast, such as the first")
    third.add_argument("--out", type=Path, required=True, help="write the moved volume to this file")
    third.add_argument("--match", action="store_true", help="in the units of FIXED, by a gain and an offset: for MR")
    third.set_defaults(run=_align)
    asked = parser.parse_args(words)
    try:
        asked.run(asked)
    except AnomalibLiteError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from error


def _number(word: str) -> float:
    if not math.isfinite(found := float(word)):
        raise argparse.ArgumentTypeError(f"expected a number, not {word}")
    return found


def _level(word: str) -> float | str:
    return word if word == "otsu" else _number(word)


def _window(asked: argparse.Namespace) -> None:
    """Print the options that fix the window."""
    if not 0 <= asked.low < asked.high <= 100:
        said = f"--low={asked.low:g} --high={asked.high:g}: expected percent from 0 to 100, the first below the second."
        raise ConfigError(said)
    drawn: dict[tuple[str, str], list[NDArray[Any]]] = {}  # of a reader and units; each (n, C)
    for kind, found in slices(asked.folder, asked.body, asked.mask, asked.channels, suv=asked.suv):
        values = counted(found)
        step = max(1, len(values) // DRAWN)
        drawn.setdefault((kind, str(found.meta.get("units") or "")), []).append(values[::step])
    if not drawn:
        raise DataError(f"{asked.folder}: no slice of a DICOM or NIfTI file can be read; give the training images.")
    for (kind, units), some in drawn.items():
        ends = np.percentile(np.concatenate(some), [asked.low, asked.high], axis=0).T
        if (ends[:, 0] >= ends[:, 1]).any():
            said = f"{asked.low:g} and {asked.high:g} % of the values are one value; give more distant percentages"
            raise DataError(f"{asked.folder}: {said}, or say with --body what counts.")
        each = ",".join(f"[{low:.6g},{high:.6g}]" for low, high in ends)
        said = f"[{each}]" if len(ends) > 1 else each
        suv = " --set readers.dicom.suv=true" if asked.suv and kind == "dicom" else ""
        what = f", in {units}" if units else ""
        sys.stdout.write(f"--set readers.{kind}.window={said}{suv}  # of {len(some):,} slices{what}\n")


def _lesions(asked: argparse.Namespace) -> None:
    """Print all measures."""
    maps = sorted(one for one in asked.maps.rglob("*") if one.name.endswith(SUFFIXES))
    if not maps:
        raise DataError(f"{asked.maps}: holds no map; give the folder nifti_map that predict --write nifti_map wrote.")
    said = lesions.measured([_case(path, asked.maps, asked.truth) for path in maps], asked.threshold)
    if asked.json:
        with _written(asked.json):
            asked.json.write_text(json.dumps(said, indent=2, allow_nan=False), encoding="utf-8")
    sys.stdout.write(_told(said, chosen=asked.threshold is None))


def _case(path: Path, maps: Path, folder: Path) -> lesions.Case:
    """A map and its truth, both in the orientation that is closest to straight.

    Raises:
        DataError: There is no truth for it, on another grid, or none that is a mask; or one cannot be read.
    """
    names = [_stem(part) for part in path.relative_to(maps).parts]
    called = [folder / f"{name}{end}" for name in names[::-1] for end in SUFFIXES]
    truth = next((one for one in called if one.is_file()), None)
    if truth is None:
        raise DataError(f"{path}: no mask in {folder} is called {' or '.join(names[::-1])}, with .nii or .nii.gz.")
    (values, affine, _), (labels, where, _) = _scan(path), _scan(truth)
    whole = _on_grid(values, np.linalg.inv(where) @ affine, labels.shape)
    if whole is None:
        raise DataError(f"{truth}: lies on another grid than {path}. Resample it, without interpolation.")
    marked = marked_by_labels(labels, most=np.inf)
    if marked is None:
        raise DataError(
            f"{truth}: is no mask: its values run from {np.nanmin(labels):g} to {np.nanmax(labels):g}; expected whole "
            "numbers, 0 where nothing is, and 1 or other labels in lesions. Give the masks, not the scans."
        )
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    return lesions.Case(names[0], whole, marked, (float(steps[0]), float(steps[1]), float(steps[2])))


def _on_grid(
    values: NDArray[np.float32], there: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """A map on the grid of its mask, NaN where it has no slices: a series leaves out those without a body at its ends.

    Args:
        values: The map.
        there: (4, 4) from its voxels to those of the mask.
        shape: Of the mask.

    Returns:
        None where the map is no part of that grid.
    """
    first = np.rint(there[:3, 3]).astype(int)
    ends = there @ np.array([[0, 0, 0, 1], [*(np.array(values.shape) - 1), 1]]).T  # corners, in voxels of the mask
    off = np.abs(ends[:3] - np.stack([first, first + values.shape - 1], axis=1)).max()
    if off > NEAR or (first < 0).any() or (first + values.shape > shape).any():
        return None
    whole = np.full(shape, np.nan, np.float32)
    whole[tuple(slice(start, start + side) for start, side in zip(first, values.shape, strict=True))] = values
    return whole


def _stem(name: str) -> str:
    for end in (".nii.gz", ".nii", ".dcm"):
        name = name.removesuffix(end)
    return name


def _align(asked: argparse.Namespace) -> None:
    """Write the moved volume, and print how far it was moved."""
    if not asked.out.name.endswith(SUFFIXES):
        raise ConfigError(f"--out={asked.out}: expected a name that ends in .nii or .nii.gz.")
    moving, fixed = (_scan(path) for path in (asked.moving, asked.fixed))
    finite = [np.nan_to_num(values, posinf=0, neginf=0) for values, _, _ in (moving, fixed)]
    motion, alike = alignment.rigid(finite[0], moving[1], finite[1], fixed[1])
    values = alignment.resampled(moving[0], moving[1], motion, fixed[0].shape, fixed[1])
    if asked.match:
        values = alignment.in_units_of(values, fixed[0])
    unseen = ~np.isfinite(values)
    values[unseen] = np.nanmin(values)
    with _written(asked.out):
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(stored(values, fixed[2]), fixed[2])
        image.header.set_xyzt_units("mm")
        nibabel.save(image, asked.out)
    shift, angle = alignment.size(motion, fixed[0].shape, fixed[1])
    dark = f", {unseen.mean():.1%} of it not shown by the other, and dark" if unseen.any() else ""
    said = f"moved by {shift:.1f} mm, turned by {angle:.1f} degrees, correlation {alike:.3f} within head or body{dark}"
    sys.stdout.write(f"{asked.out}: {said}\n")


def _scan(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """A volume in the canonical orientation, its affine, and that of the volume as it is stored."""
    try:
        image = opened(path.read_bytes())
        affine = checked_affine(image)
        return canonical(voxels(image), affine), canonical_affine(affine, image.shape[:3]), affine
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Give a NIfTI volume.") from error
    except ImageError as error:
        raise DataError(f"{path}: {error}.") from error


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = f"{path}: cannot be written ({error.strerror or error}). Choose another place, or make room."
        raise DataError(said) from error


def _told(said: dict[str, Any], *, chosen: bool) -> str:
    """All measures in words."""
    how = "the best threshold, chosen on these volumes" if chosen else "the threshold that was given"
    pairs = said["intervals"].items()
    between = {name: f" (95 %: {pair[0]:.3f} to {pair[1]:.3f})" if pair else "" for name, pair in pairs}
    number, counted, missed = (said[name] for name in ("volumes", "hausdorff_volumes", "hausdorff_missed"))
    diagonal = f", {missed} of them missed: they count their diagonals" if missed else ""
    few = "" if said["patients"] >= lesions.ENOUGH else f", too few patients for intervals: {lesions.ENOUGH} are needed"
    each = [
        f"{'sensitivity, lesions' if not place else '':<23}{_shown(share)} at {rate}{between[f'froc_{float(rate):g}']}"
        for place, (rate, share) in enumerate(said["froc"].items())
    ]
    lines = [
        f"volumes                {number} of {said['patients']} patients, lesions {said['lesions']}{few}",
        f"average precision      {_shown(said['average_precision'])}{between['average_precision']}, all voxels",
        f"best Dice              {_shown(said['best_dice'])}{between['best_dice']}"
        f" at {_shown(said['best_threshold'], '.6g')}, chosen on these volumes",
        f"Dice per volume        {_shown(said['dice'])}{between['dice']} at {_shown(said['threshold'], '.6g')}, {how}",
        f"Hausdorff 95           {_shown(said['hausdorff_95_mm'], '.1f')} mm{between['hausdorff_95_mm']}, at the same,"
        f" mean of {counted} of {number} volumes{diagonal}",
        *each,
        " " * 23 + "false finds per volume",
    ]
    return "\n".join(lines) + "\n"


def _shown(number: float | None, how: str = ".3f") -> str:
    return "-" if number is None else format(number, how)


if __name__ == "__main__":
    main()
