"""Lesions of multiple sclerosis at two dates: golden volumes, the second date on their grid, truth, and a baseline.

    python tests/benchmarks/ms_change.py DIR OUT

DIR holds patients, each with study1_FLAIR.nii.gz, study2_FLAIR.nii.gz, study1_FLAIR_to_common_space.txt, and the masks
of the brain and of what changed in a common space. The first date is brought there by the transform of the data set,
the second by the registration of `medical`. Writes for each patient OUT/first and OUT/second (outside of the brain
0), OUT/truth, OUT/baseline: the absolute difference, the histogram of the second date matched to that of the first; and
OUT/smoothed, the same through a Gaussian of one pixel in each slice. OUT/golden.csv is to train on, OUT/pairs.csv to
judge: axial slices that show `LEAST` pixels of brain.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import nibabel
import numpy as np
from anomalib_lite_medical import alignment
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.exposure import match_histograms

LEAST = 5000
FLIP = np.diag([-1.0, -1, 1, 1])  # from left and back to right and front


def loaded(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A volume in the canonical orientation, and its affine."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asarray(image.dataobj, np.float32), image.affine


def transform(path: Path) -> NDArray[np.float64]:
    """(4, 4) of an ITK text file, in millimetres to the right, the front and upward."""
    lines = dict(line.split(": ", 1) for line in path.read_text().splitlines() if ": " in line)
    numbers = np.array(lines["Parameters"].split(), float)
    centre = np.array(lines["FixedParameters"].split(), float)
    motion = np.eye(4)
    motion[:3, :3] = numbers[:9].reshape(3, 3)
    motion[:3, 3] = numbers[9:] + centre - motion[:3, :3] @ centre
    return np.asarray(FLIP @ motion @ FLIP)


def patient(folder: Path, out: Path) -> list[str]:
    """All files of one; the names of its slices."""
    truth, affine = loaded(folder / "change_mask_common_space.nii.gz")
    brain = loaded(folder / "brainmask_common_space.nii.gz")[0] > 0
    motion = transform(folder / "study1_FLAIR_to_common_space.txt")
    whole = alignment.resampled(*loaded(folder / "study1_FLAIR.nii.gz"), motion, truth.shape, affine)
    second, of_second = loaded(folder / "study2_FLAIR.nii.gz")
    found, alike = alignment.rigid(second, of_second, np.nan_to_num(whole), affine)
    given = transform(folder / "study2_FLAIR_to_common_space.txt")
    places = np.argwhere(brain)[::50] @ affine[:3, :3].T + affine[:3, 3]
    off = np.linalg.norm(places @ (found - given)[:3, :3].T + (found - given)[:3, 3], axis=1)
    print(
        f"{folder.name}: correlation {alike:.3f}; {off.mean():.2f} mm (at most {off.max():.2f}) off the transform given"
    )
    moved = alignment.in_units_of(alignment.resampled(second, of_second, found, truth.shape, affine), whole)
    brain &= np.isfinite(whole) & np.isfinite(moved)
    difference = np.full(truth.shape, np.nan, np.float32)
    difference[brain] = np.abs(match_histograms(moved[brain], whole[brain]) - whole[brain])
    near = (1, 1, 0)
    weights = np.maximum(gaussian_filter(brain.astype(np.float32), near), 1e-6)
    smoothed = np.where(brain, gaussian_filter(np.nan_to_num(difference), near) / weights, np.nan)
    made = {"first": np.where(brain, whole, 0), "second": np.where(brain, moved, 0)}
    made |= {"baseline": difference, "smoothed": smoothed, "truth": truth.astype(np.uint8)}
    for name, values in made.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, affine), out / name / f"{folder.name}.nii.gz")
    return [f"{folder.name}.nii.gz#{one}" for one in np.flatnonzero(brain.sum((0, 1)) > LEAST)]


def main() -> None:
    """Write all."""
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    folders = sorted(one for one in root.iterdir() if (one / "study1_FLAIR.nii.gz").exists())
    names = [name for folder in folders for name in patient(folder, out)]
    for table, header in (("golden.csv", ["image"]), ("pairs.csv", ["image", "reference"])):
        with (out / table).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(header)
            rows.writerows([f"first/{one}"] if len(header) == 1 else [f"second/{one}", f"first/{one}"] for one in names)


if __name__ == "__main__":
    main()
