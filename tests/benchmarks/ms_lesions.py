"""Lesions of multiple sclerosis: what is trained on, what is found, and the baseline of matched intensities.

    python tests/benchmarks/ms_lesions.py DIR OUT [TRAINED TESTED]

DIR holds patient07 and patient26, or others, each with FLAIR.nii.gz and lesions.nii.gz on one grid.
Writes OUT/train.csv (coronal slices of patient 07 without any lesion, in blocks of neighbours), OUT/truth, and
OUT/baseline: FLAIR of patient 26, its histogram matched to that of patient 07, as an anomaly map.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from skimage.exposure import match_histograms

BRAIN, LEAST = 10.0, 500  # level of FLAIR above which is brain; voxels of it that a slice shows at least
BLOCK = 4  # slices, of which none is held out without the others


def loaded(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A volume in the canonical orientation, and its affine."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asarray(image.dataobj, np.float32), image.affine


def blocks(folder: Path) -> list[tuple[int, int]]:
    """Each coronal slice without lesions, and its block: neighbours are in one, at most `BLOCK` of them."""
    flair, lesions = loaded(folder / "FLAIR.nii.gz")[0], loaded(folder / "lesions.nii.gz")[0]
    free = np.flatnonzero(((flair > BRAIN).sum((0, 2)) > LEAST) & ~lesions.any((0, 2)))
    found: list[tuple[int, int]] = []
    number, size = 0, 0
    for before, one in zip([-2, *free], free, strict=False):
        if one != before + 1 or size == BLOCK:
            number, size = number + 1, 0
        found.append((int(one), number))
        size += 1
    return found


def main() -> None:
    """Write all three."""
    root, out = Path(sys.argv[1]).absolute(), Path(sys.argv[2])
    trained, tested = sys.argv[3:] or ("patient07", "patient26")
    for name in ("truth", "baseline"):
        (out / name).mkdir(parents=True, exist_ok=True)
    slices = blocks(root / trained)
    if not slices:
        sys.exit(f"{root / trained}: no coronal slice of its brain is without lesions: train on another patient")
    with (out / "train.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "group"])
        rows.writerows(
            [f"{root / trained / 'FLAIR.nii.gz'}#{one}", "good", f"block{block:02}"] for one, block in slices
        )
    print(f"{len(slices)} slices of {trained} in {slices[-1][1]} blocks")
    good, _ = loaded(root / trained / "FLAIR.nii.gz")
    flair, affine = loaded(root / tested / "FLAIR.nii.gz")
    brain = flair > BRAIN
    matched = np.full(flair.shape, np.nan, np.float32)
    matched[brain] = match_histograms(flair[brain], good[good > BRAIN])
    nibabel.save(nibabel.Nifti1Image(matched, affine), out / "baseline/FLAIR.nii.gz")
    truth, affine = loaded(root / tested / "lesions.nii.gz")
    nibabel.save(nibabel.Nifti1Image(truth.astype(np.uint8), affine), out / "truth/FLAIR.nii.gz")


if __name__ == "__main__":
    main()
