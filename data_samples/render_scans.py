"""Phantoms of patients: heads as in MR (FLAIR), chests as in CT and PET, healthy or with lesions and their masks.

`python data_samples/render_scans.py --out DIR` writes heads as NIfTI volumes; `--kind ct`, `--kind pet`, and
`--format dicom` for series. Nothing of it is committed. numpy renders; nibabel or pydicom write.

    DIR/good/patient01.nii.gz      healthy                      or DIR/good/patient01/01.dcm ...
    DIR/lesions/patient41.nii.gz   with lesions                 or DIR/lesions/patient41/01.dcm ...
    DIR/truth/patient41.nii.gz     where they are, always NIfTI
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("mr", "ct", "pet")
SHAPE = (20, 96, 96)  # slices upward, rows from the front to the back, columns from the patient's right to the left
SPACING = {"mr": (5.0, 2.0, 2.0), "ct": (8.0, 4.0, 4.0), "pet": (8.0, 4.0, 4.0)}  # millimetres, in this order
FIRST_ILL = 41  # number of the first patient with lesions

Field = NDArray[np.float64]
Places = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scan:
    """One volume (slices, rows, columns), and where its lesions are."""

    kind: str
    patient: int
    values: NDArray[np.float32]  # arbitrary units of MR, Hounsfield units, or standardised uptake values
    lesions: NDArray[np.bool_]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres from slice to slice, row to row, column to column."""
        return SPACING[self.kind]


def render(kind: str, patient: int, *, lesions: int = 0) -> Scan:
    """A patient, whose anatomy its number seeds: the same in CT and PET.

    Args:
        kind: mr, ct or pet.
        patient: Its number.
        lesions: How many lesions it has.
    """
    random = np.random.default_rng([patient, kind == "mr"])
    grid = _grid(random)
    tissue, allowed = _head(grid, random) if kind == "mr" else _chest(grid, random, kind)
    found = _lesions(np.random.default_rng([patient, 7]), allowed, lesions, SPACING[kind])
    bright = {"mr": 45.0, "ct": 60.0, "pet": 7.0}[kind]
    values = np.where(found > 0, np.maximum(tissue, 40.0 if kind == "ct" else tissue) + bright * found, tissue)
    noise = np.random.default_rng([patient, KINDS.index(kind), 1])
    if kind == "mr":
        values = values * (1 + 0.12 * _smooth(noise, 1))  # the field of the coil
    spread = {"mr": 2.5, "ct": 18.0, "pet": 0.25}[kind]
    values = values + noise.normal(0, spread, SHAPE)
    if kind != "ct":
        values = np.abs(values)
    return Scan(kind, patient, np.round(values, 2).astype(np.float32), found > 0.5)


def _grid(random: np.random.Generator) -> tuple[Field, Field, Field]:
    """Coordinates from -1 to 1, bent a little: no two patients are alike."""
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    size = 1 + random.normal(0, 0.03, 3)
    bent = [axis * stretch + 0.035 * _smooth(random, 2) for axis, stretch in zip(axes, size, strict=True)]
    return bent[0], bent[1], bent[2]


def _smooth(random: np.random.Generator, waves: int) -> Field:
    """A smooth field of a few waves, about -1 to 1."""
    axes = np.meshgrid(*(np.linspace(0, np.pi, side) for side in SHAPE), indexing="ij")
    found = np.zeros(SHAPE)
    for _ in range(6):
        wave = random.normal(0, waves, 3)
        found += np.cos(sum(k * axis for k, axis in zip(wave, axes, strict=True)) + random.uniform(0, 2 * np.pi))
    return found / 3.5


def _ball(grid: tuple[Field, Field, Field], centre: tuple[float, ...], radii: tuple[float, ...]) -> Field:
    """1 inside an ellipsoid, 0 outside, with an edge of about a voxel."""
    far = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True))
    return np.asarray(1 / (1 + np.exp(25 * (np.sqrt(far) - 1))))


def _head(grid: tuple[Field, Field, Field], random: np.random.Generator) -> tuple[Field, Places]:
    """A head without its skull, as FLAIR shows it; and where lesions may be: in white matter."""
    brain = _ball(grid, (0, 0, 0), (0.95, 0.85, 0.7))
    folds = 0.06 * np.cos(9 * grid[1] + 3 * _smooth(random, 2)) * np.cos(9 * grid[2] + 3 * _smooth(random, 2))
    white = _ball((grid[0], grid[1] * (1 + folds), grid[2] * (1 + folds)), (0, 0, 0), (0.75, 0.68, 0.53))
    ventricles = _ball(grid, (0.1, 0, 0.13), (0.4, 0.3, 0.07)) + _ball(grid, (0.1, 0, -0.13), (0.4, 0.3, 0.07))
    ventricles = np.minimum(ventricles, 1)
    tissue = brain * (100 - 18 * white) * (1 - 0.75 * ventricles)
    tissue += brain * 3 * _smooth(random, 6)
    return tissue, (white > 0.9) & (ventricles < 0.1)


def _chest(grid: tuple[Field, Field, Field], random: np.random.Generator, kind: str) -> tuple[Field, Places]:
    """A chest in Hounsfield units, or in uptake values; and where lesions may be: in the lungs."""
    body = _ball(grid, (0, 0, 0), (3, 0.62, 0.85))
    inner = _ball(grid, (0, 0, 0), (3, 0.54, 0.76))
    left = _ball(grid, (0.1, -0.02, 0.38), (0.95, 0.4, 0.26))
    right = _ball(grid, (0.1, -0.02, -0.38), (0.95, 0.4, 0.26))
    lungs = np.minimum(left + right, 1)
    heart = _ball(grid, (-0.2, -0.12, 0.08), (0.35, 0.22, 0.2))
    liver = _ball(grid, (-1.0, -0.05, -0.3), (0.45, 0.42, 0.42))
    spine = _ball(grid, (0, 0.4, 0), (3, 0.11, 0.1))
    vessels = np.clip(_smooth(random, 12), 0, None) * lungs
    hardly = np.clip(1 - heart - liver, 0, 1)
    if kind == "ct":
        tissue = -1000 + 900 * body + 140 * inner
        tissue = tissue * (1 - lungs * hardly) + lungs * hardly * (-820 + 120 * vessels)
        tissue = tissue * (1 - heart) + 45 * heart
        tissue = tissue * (1 - liver * body) + 60 * liver * body
        tissue = tissue * (1 - spine) + 350 * spine
    else:
        uptake = random.uniform(2, 5)  # of the heart: from patient to patient
        tissue = body * (0.7 + 0.2 * inner) - 0.4 * lungs + uptake * heart + 2.2 * liver * body + 1.2 * spine
    return tissue, (lungs > 0.95) & (heart < 0.05) & (liver < 0.05)


def _lesions(random: np.random.Generator, allowed: Places, number: int, spacing: tuple[float, ...]) -> Field:
    """1 in the middle of each lesion, 0 where none is: irregular blobs of two to four voxels in radius."""
    found = np.zeros(SHAPE)
    places = np.argwhere(allowed)
    index = np.indices(SHAPE)
    for _ in range(number):
        centre = places[random.integers(len(places))]
        radius = random.uniform(2, 4) * spacing[1]
        steps = [(axis - c) * mm for axis, c, mm in zip(index, centre, spacing, strict=True)]
        far = np.sqrt(sum(step**2 for step in steps)) * (1 + 0.2 * _smooth(random, 4))
        blob = 1 / (1 + np.exp(3 * (far / radius - 1) * radius / min(spacing)))
        found = np.maximum(found, np.where(blob > 0.05, blob, 0))
    return found


def write_nifti(path: Path, scan: Scan, *, truth: bool = False) -> Path:
    """A volume, or where its lesions are, with millimetres to the right, to the front and upward."""
    import nibabel

    values = scan.lesions.astype(np.uint8) if truth else scan.values
    down, across = -scan.spacing[1], -scan.spacing[2]
    affine = np.diag([across, down, scan.spacing[0], 1.0])
    slices, rows, columns = values.shape
    affine[:3, 3] = -across * columns / 2, -down * rows / 2, -scan.spacing[0] * slices / 2
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(values.transpose(2, 1, 0)), affine), path)
    return path


def write_dicom(folder: Path, scan: Scan) -> Path:
    """A series of one slice a file; CT in Hounsfield units, PET in Bq/ml, MR as it is, in 16 bits."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    storage = UID("1.2.840.10008.5.1.4.1.1." + {"mr": "4", "ct": "2", "pet": "128"}[scan.kind])
    slope, intercept = {"mr": (0.01, 0), "ct": (1, -1024), "pet": (0.001, 0)}[scan.kind]
    folder.mkdir(parents=True, exist_ok=True)
    root = f"1.2.826.0.1.3680043.10.1.{scan.patient}.{KINDS.index(scan.kind) + 1}"
    down, across = scan.spacing[1:]
    for number, values in enumerate(scan.values, 1):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, UID(f"{root}.1.{number}")
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset(str(folder), {}, file_meta=meta, preamble=b"\0" * 128)
        made.SOPClassUID, made.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = root, f"{root}.1", f"{root}.2"
        made.PatientName, made.PatientID = f"Phantom^Number{scan.patient}", f"PH-{scan.patient:03}"
        made.PatientBirthDate, made.PatientSex, made.StudyDate = "19500101", "O", "20240102"
        made.StudyTime, made.StudyID, made.AccessionNumber, made.ReferringPhysicianName = "120000", "1", "", ""
        made.PositionReferenceIndicator = ""
        made.Modality = {"mr": "MR", "ct": "CT", "pet": "PT"}[scan.kind]
        made.SeriesNumber, made.InstanceNumber = 1, number
        made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        height = (number - 1 - len(scan.values) / 2) * scan.spacing[0]
        made.ImagePositionPatient = [-across * values.shape[1] / 2, -down * values.shape[0] / 2, height]
        made.PixelSpacing, made.SliceThickness = [down, across], scan.spacing[0]
        made.Rows, made.Columns = values.shape
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
        made.RescaleSlope, made.RescaleIntercept = slope, intercept
        made.PixelData = np.clip(np.rint((values - intercept) / slope), 0, 65535).astype("<u2").tobytes()
        if scan.kind == "pet":
            made.RescaleSlope = f"{slope * _injected(made, scan.patient):.10g}"
        made.save_as(folder / f"{number:02}.dcm", enforce_file_format=True)
    return folder


def _injected(made: Any, patient: int) -> float:
    """Say when a patient of which weight got which dose of fluorine-18, and return the Bq/ml that an SUV of 1 is."""
    from pydicom import Dataset

    weight, dose, waited, half_life = (
        48 + 7 * patient % 60,
        1.5e8 + 1e7 * (patient % 13),
        3007 + 61 * (patient % 40),
        6586.2,
    )
    drug, start = Dataset(), datetime(2024, 1, 2, 12) - timedelta(seconds=waited)
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = dose, half_life
    drug.RadiopharmaceuticalStartDateTime = f"{start:%Y%m%d%H%M%S}"
    made.RadiopharmaceuticalInformationSequence, made.PatientWeight = [drug], weight
    made.Units, made.CorrectedImage, made.DecayCorrection = "BQML", ["ATTN", "DECY"], "START"
    made.SeriesDate, made.SeriesTime, made.AcquisitionDate, made.AcquisitionTime = ("20240102", "120000") * 2
    return float(dose * 2 ** (-waited / half_life) / (1000 * weight))


def main() -> None:
    """Write healthy patients, and some with one to four lesions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, default="mr")
    parser.add_argument("--format", choices=("nifti", "dicom"), default="nifti")
    parser.add_argument("--healthy", type=int, default=30)
    parser.add_argument("--ill", type=int, default=10)
    asked = parser.parse_args()
    numbers = [*range(1, asked.healthy + 1), *range(FIRST_ILL, FIRST_ILL + asked.ill)]
    for patient in numbers:
        ill = patient >= FIRST_ILL
        scan, name = render(asked.kind, patient, lesions=1 + patient % 4 if ill else 0), f"patient{patient:02}"
        folder = asked.out / ("lesions" if ill else "good")
        if asked.format == "nifti":
            write_nifti(folder / f"{name}.nii.gz", scan)
        else:
            write_dicom(folder / name, scan)
        if ill:
            write_nifti(asked.out / "truth" / f"{name}.nii.gz", scan, truth=True)
    print(f"{len(numbers)} patients in {asked.out}")


if __name__ == "__main__":
    main()
