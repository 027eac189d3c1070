"""The size of pixels is a guard: a scan whose pixels are more than a quarter smaller or larger is not judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from anomalib_lite_medical.config import SIZES, STEP, VIEWS
from conftest import Once, call
from render_scans import Scan, render, write_dicom
from test_medical_reading import read, slices

from anomalib_lite import registry
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result

CHESTS = ["--set", "readers.dicom.window=[-1000, 400]", "--set", "readers.dicom.body=-300"]
SMALL = ["--max-false-reject", "60%", "--set", "image.height=48", "--set", "image.width=48", "--set", "gate.enabled=no"]


def chest(folder: Path, patient: int, **tags: Any) -> Path:
    """Two slices of a healthy chest, whose headers say this of their pixels."""
    whole = render("ct", patient)
    write_dicom(folder, Scan("ct", patient, whole.values[8:10], whole.lesions[8:10]))
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        for name, value in tags.items():
            delattr(header, name) if value is None else setattr(header, name, value)
        header.save_as(path)
    return folder


def head(path: Path, patient: int, sizes: Sequence[float]) -> Path:
    """Half a healthy head whose voxels are so large: across, to the back and upward."""
    values = render("mr", patient).values[:, 30:50].transpose(2, 1, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(values), np.diag([*sizes, 1.0])), path)
    return path


def trained(folder: Path, *further: str) -> None:
    """A model of what lies in `good` of a folder."""
    assert call("train", "gauss", folder / "good", "--all-good", "--out", folder / "model", *SMALL, *further) == 0


def judged(model: Path, path: Path, key: int) -> Result:
    """A slice of a file or of a folder of one series."""
    loaded = Model(model, readers=registry.load().readers)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    (name,) = {one.with_name(one.name.partition("#")[0]) for one in loaded.opener.images(files)[0]}
    return loaded.inspect(f"{name}#{key}")


@pytest.fixture(scope="module")
def chests(once: Once) -> Path:
    """A model of twelve chests, four of which have pixels of 1.1 mm, all others of 1 mm."""

    def make(folder: Path) -> None:
        for patient in range(1, 13):
            chest(folder / f"good/{patient}", patient, PixelSpacing=[1.0, 1.0] if patient % 3 else [1.1, 1.1])
        trained(folder, "--per", "part", *CHESTS)

    return once("medical_sizes_of_chests", make) / "model"


@pytest.fixture(scope="module")
def heads(once: Once) -> Path:
    """A model of coronal slices, of pixels of 2 mm upward and 1 mm across; they are 9 mm apart."""

    def make(folder: Path) -> None:
        for patient in range(1, 9):
            head(folder / f"good/{patient}.nii.gz", patient, (1.0, 9.0, 2.0))
        trained(folder, "--set", "readers.nifti.plane=coronal", "--set", "readers.nifti.window=[0,150]")

    return once("medical_sizes_of_heads", make) / "model"


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.1, 1.1), (0.81, 0.81), (1.37, 1.37), (0.9, 1.3)])
def test_pixels_of_about_the_size_of_the_training_are_judged(
    chests: Path, tmp_path: Path, spacing: tuple[float, float]
) -> None:
    assert judged(chests, chest(tmp_path / "x", 20, PixelSpacing=list(spacing)), 1).score is not None


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"PixelSpacing": [3.0, 3.0]}, "with pixel_height_mm 1 to 1.1, this one says 3, more than a quarter beyond; "),
        ({"PixelSpacing": [0.79, 0.79]}, "with pixel_height_mm 1 to 1.1, this one says 0.79, more than a quarter"),
        ({"PixelSpacing": [1.0, 1.4]}, "with pixel_width_mm 1 to 1.1, this one says 1.4, more than a quarter"),
        ({"PixelSpacing": None}, "with pixel_height_mm 1 to 1.1, this one says nothing of it; train another model"),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [2.0, 2.0]}, "this one says 2, more than a quarter beyond"),
    ],
)
def test_pixels_of_another_size_are_an_error(chests: Path, tmp_path: Path, tags: dict[str, Any], said: str) -> None:
    result = judged(chests, chest(tmp_path / "x", 20, **tags), 1)
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "wrong_meta")
    assert said in str(result.error)
    assert "train another model" in str(result.error)


@pytest.mark.parametrize("rows", [96, 60])
def test_a_part_of_a_slice_is_no_whole_one(chests: Path, tmp_path: Path, rows: int) -> None:
    """It would be stretched to the model's size, and all in it larger than life."""
    folder = chest(tmp_path / "x", 20, PixelSpacing=[1.0, 1.0])
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        header.PixelData = header.pixel_array[:rows].tobytes()
        header.Rows = rows
        header.save_as(path)
    result = judged(chests, folder, 1)
    assert (result.error_code == "wrong_meta") == (rows == 60)
    assert rows == 96 or "view_height_mm 96 to 105.6, this one says 60" in str(result.error)


@pytest.mark.parametrize(("apart", "fits"), [(8, True), (9, True), (16, False), (4, False)])
def test_slices_that_lie_farther_apart_or_closer_than_those_of_the_training_are_an_error(
    chests: Path, tmp_path: Path, apart: float, fits: bool
) -> None:
    folder = chest(tmp_path / "x", 20, PixelSpacing=[1.0, 1.0])
    for number, path in enumerate(sorted(folder.iterdir())):
        header = pydicom.dcmread(path)
        header.ImagePositionPatient = [*header.ImagePositionPatient[:2], apart * number]
        header.save_as(path)
    result = judged(chests, folder, 1)
    assert (result.score is not None) == fits
    assert fits or f"slice_step_mm 8, this one says {apart}, more than a quarter beyond" in str(result.error)


@pytest.mark.parametrize(
    ("said", "step"),
    [({}, 8), ({"SpacingBetweenSlices": 2.5}, 2.5), ({"SliceThickness": None}, None), ({"SliceThickness": ""}, None)],
)
def test_of_a_slice_alone_the_step_is_what_its_header_says(
    tmp_path: Path, said: dict[str, Any], step: float | None
) -> None:
    path = sorted(chest(tmp_path, 20, **said).iterdir())[0]
    assert read(path)[0][1].meta[STEP] == step


def test_a_manifest_keeps_the_lowest_and_the_highest(chests: Path) -> None:
    guards = json.loads((chests / "manifest.json").read_text())["guards"]
    assert [guards[key] for key in SIZES] == [[{"low": 1.0, "high": 1.1}]] * 2
    assert [guards[key] for key in VIEWS] == [[{"low": 96.0, "high": pytest.approx(105.6)}]] * 2
    assert guards["modality"] == ["CT"]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((1.0, 9.0, 2.0), ""),
        ((1.1, 9.0, 1.8), ""),
        ((1.0, 7.5, 2.0), ""),
        ((1.0, 18.0, 2.0), "slice_step_mm 9, this one says 18, more than a quarter beyond"),
        ((1.0, 3.0, 2.0), "slice_step_mm 9, this one says 3, more than a quarter beyond"),
        ((1.0, 9.0, 3.0), "pixel_height_mm 2, this one says 3, more than a quarter beyond"),
        ((2.0, 9.0, 2.0), "pixel_width_mm 1, this one says 2, more than a quarter beyond"),
    ],
)
def test_of_volumes_the_size_in_the_plane_that_is_looked_at_counts(
    heads: Path, tmp_path: Path, sizes: tuple[float, float, float], said: str
) -> None:
    result = judged(heads, head(tmp_path / "scan.nii.gz", 20, sizes), 10)
    assert (result.score is None) == bool(said)
    assert said in str(result.error)
    assert result.error_code == ("wrong_meta" if said else None)


def test_scans_that_say_no_size_are_judged_by_a_model_of_such(tmp_path: Path) -> None:
    for patient in range(1, 13):
        chest(tmp_path / f"good/{patient}", patient, PixelSpacing=None if patient % 2 else [1.0, 1.0])
    trained(tmp_path, "--per", "part", *CHESTS)
    known = json.loads((tmp_path / "model/manifest.json").read_text())["guards"][SIZES[0]]
    assert sorted(known, key=str) == [None, {"low": 1.0, "high": 1.0}]
    assert judged(tmp_path / "model", chest(tmp_path / "a", 20, PixelSpacing=None), 1).score is not None
    assert judged(tmp_path / "model", chest(tmp_path / "b", 20), 1).error_code == "wrong_meta"


def test_every_picture_says_the_size_of_its_pixels(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "ct", slices("ct", count=1)) / "01.dcm"
    assert [read(path)[0][1].meta[key] for key in SIZES] == [4.0, 4.0]
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5), np.uint8), np.diag([1.0, 2, 3, 1])), tmp_path / "mask.nii.gz")
    for plane, sizes in {"axial": [2.0, 1.0], "coronal": [3.0, 1.0], "sagittal": [3.0, 2.0]}.items():
        found = read(tmp_path / "mask.nii.gz", ".nii.gz", plane=plane)[0][1]
        assert [found.meta[key] for key in SIZES] == sizes
        assert found.meta[STEP] == {"axial": 3.0, "coronal": 2.0, "sagittal": 1.0}[plane]
        assert found.spacing == tuple(sizes)
