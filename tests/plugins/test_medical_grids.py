"""Where slices lie: masks and golden images of other places are refused, and none is joined by its number alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from anomalib_lite_medical import dicom, nifti
from anomalib_lite_medical.config import DicomOptions, NiftiOptions
from conftest import call
from numpy.typing import NDArray
from PIL import Image
from render_scans import Scan, render, write_dicom, write_nifti

from anomalib_lite.data import check_masks, find
from anomalib_lite.data.samples import Sample
from anomalib_lite.edge.golden.goldens import Goldens
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.kept import Kept
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import Reader
from anomalib_lite.edge.intake import Intake
from anomalib_lite.edge.manifest import GoldenRecord, ImageSpec
from anomalib_lite.edge.manifest.parsing import parsed, plain
from anomalib_lite.errors import DataError, ImageError
from anomalib_lite.pipeline.record import _guards

UP = np.diag([-2.0, -2.0, 8.0, 1.0])


def opener(**options: Any) -> Opener:
    volumes = Reader(read=nifti.read, gather=nifti.gather, options=NiftiOptions(**options).model_dump(mode="json"))
    series = Reader(
        read=dicom.read, gather=dicom.gather, guards=("modality",), options=DicomOptions().model_dump(mode="json")
    )
    return Opener({".nii.gz": volumes, ".nii": volumes, ".dcm": series})


def save(path: Path, values: NDArray[Any], affine: NDArray[np.float64] = UP) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def slices(path: Path, **options: Any) -> list[Picture]:
    known = opener(**options)
    return [known.read(one) for one in known.images([path])[0]]


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ASR", "SLP"])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("degrees", [0, 20])
def test_corners_are_where_the_pixels_say_that_they_lie(tmp_path: Path, axes: str, plane: str, degrees: int) -> None:
    """Of volumes, each voxel of which says how far to the left, back or up it lies."""
    turn, affine = np.radians(degrees), np.diag([1.0, 2, 3, 1])
    rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine[:3, :3] = rotation @ affine[:3, :3]
    affine[:3, 3] = 10, -20, 30
    wanted = nibabel.orientations.axcodes2ornt(axes)
    change = nibabel.orientations.ornt_transform([[0, 1], [1, 1], [2, 1]], wanted)
    said = []
    for row, sign in ((0, -1), (1, -1), (2, 1)):
        places = np.tensordot(affine[row, :3], np.indices((6, 7, 8)), 1) + affine[row, 3]
        turned = nibabel.Nifti1Image((sign * places).astype(np.float32), affine).as_reoriented(change)
        nibabel.save(turned, tmp_path / f"{row}.nii")
        said.append(slices(tmp_path / f"{row}.nii", plane=plane))
    for pictures in zip(*said, strict=True):
        ends = [[one.pixels[place][0] for one in pictures] for place in ((0, 0), (0, -1), (-1, 0))]
        ends.append([one[-1].pixels[0, 0][0] for one in said])
        np.testing.assert_allclose(np.array(pictures[0].corners), ends, atol=1e-4)


def test_a_series_says_the_same_places_as_a_volume_of_the_same_slices(tmp_path: Path) -> None:
    whole = render("mr", 1)
    scan = Scan("mr", 1, whole.values[8:12, 20:60, 10:80], whole.lesions[8:12, 20:60, 10:80])
    series = find(write_dicom(tmp_path / "series", scan), opener=opener())
    volume = slices(write_nifti(tmp_path / "scan.nii.gz", scan))
    for sample, one in zip(series.samples, volume, strict=True):
        same = series.opener.read(sample.path)
        np.testing.assert_allclose(np.array(same.corners), np.array(one.corners), atol=1e-6)


# ---- masks


def _moved(millimetres: float) -> NDArray[np.float64]:
    affine = UP.copy()
    affine[2, 3] = millimetres
    return affine


def _reoriented() -> tuple[NDArray[Any], NDArray[np.float64]]:
    image = nibabel.Nifti1Image(_lesion(), UP).as_reoriented([[1, -1], [2, 1], [0, -1]])
    return np.asarray(image.dataobj), image.affine


def _lesion() -> NDArray[np.uint8]:
    mask = np.zeros((12, 10, 4), np.uint8)
    mask[3:6, 4:6, 2] = 1
    return mask


MASKS: Mapping[str, tuple[NDArray[Any], NDArray[np.float64]]] = {
    "of the same grid": (_lesion(), UP),
    "stored in another order": _reoriented(),
    "moved by rounding": (_lesion(), _moved(0.005)),
}
FEWER = (_lesion()[..., :3], UP)
ELSEWHERE: Mapping[str, NDArray[np.float64]] = {
    "without the affine": np.eye(4),
    "mirrored": UP @ np.diag([-1.0, 1, 1, 1]),
    "three voxels aside": UP @ np.array([[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    "a slice higher": _moved(8),
    "by little": _moved(0.02),
    "of other steps": UP @ np.diag([1, 1, 0.5, 1]),
}


def masked(folder: Path, values: NDArray[Any], affine: NDArray[np.float64]) -> list[Any]:
    save(folder / "scan.nii", np.random.default_rng(0).normal(size=(12, 10, 4)).astype(np.float32))
    save(folder / "mask.nii", values, affine)
    (folder / "rows.csv").write_text("image,label,mask\nscan.nii,lesion,mask.nii\n")
    known = opener()
    return check_masks(find(folder / "rows.csv", opener=known).samples, known)[0]


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_on_the_grid_of_its_scan_is_taken_however_it_is_stored(tmp_path: Path, kind: str) -> None:
    assert [sample.is_good for sample in masked(tmp_path, *MASKS[kind])] == [True, True, False, True]


def test_a_mask_of_fewer_slices_is_refused(tmp_path: Path) -> None:
    """Those that were lost may have been the first ones, whatever its affine says."""
    with pytest.raises(DataError, match=r"lies elsewhere than scan.nii#0: .* up to 8 mm apart, \(.*16\) and \(.*24\)"):
        masked(tmp_path, *FEWER)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_mask_that_lies_elsewhere_is_refused(tmp_path: Path, kind: str) -> None:
    said = r"mask.nii#\d lies elsewhere than scan.nii#\d: their corners are up to \S+ mm apart, \(.*resample"
    with pytest.raises(DataError, match=said):
        masked(tmp_path, _lesion(), ELSEWHERE[kind])


def test_an_evaluation_refuses_it(model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError):
        masked(tmp_path, _lesion(), np.eye(4))
    assert call("evaluate", model_path, tmp_path / "rows.csv", "--out", tmp_path / "out") == 3
    assert "lies elsewhere than scan.nii#" in capsys.readouterr().err


def test_a_picture_that_says_no_place_is_a_mask_of_a_slice(tmp_path: Path) -> None:
    whole = render("ct", 1)
    write_dicom(tmp_path / "series", Scan("ct", 1, whole.values[8:9, :10, :12], whole.lesions[8:9, :10, :12]))
    Image.fromarray(_lesion()[..., 2].T * 255).save(tmp_path / "mask.png")
    (tmp_path / "rows.csv").write_text("image,label,mask\nseries/01.dcm,lesion,mask.png\n")
    known = opener()
    assert check_masks(find(tmp_path / "rows.csv", opener=known).samples, known)[0][0].masks


# ---- golden images


def intake(known: Opener, goldens: Goldens | None = None, **guards: Sequence[Any]) -> Intake:
    framing = Framing(ImageSpec(10, 12, 1, "float32", 1.0))
    return Intake(framing, known, goldens or Goldens({}), compares=True, guards=guards)


def dates(folder: Path, affine: NDArray[np.float64], first: int = 0) -> tuple[Path, Path]:
    """A volume, and another date of it, which says to lie so and begins with this slice."""
    values = np.random.default_rng(0).normal(size=(12, 10, 4)).astype(np.float32)
    return save(folder / "first.nii", values), save(folder / "second.nii", values[..., first:], affine)


@pytest.mark.parametrize("kind", [*ELSEWHERE, "begins a slice higher", "has fewer slices"])
def test_a_golden_slice_of_another_place_is_an_error(tmp_path: Path, kind: str) -> None:
    """By a table, an option or the edge, all of which ask for the same candidates; as a path and as a file."""
    start = int(kind not in ELSEWHERE)
    golden, second = dates(tmp_path, UP if kind == "has fewer slices" else ELSEWHERE.get(kind, _moved(8)), start)
    known = intake(opener())
    image = known.read(f"{second}#1")
    for reference in (Path(f"{golden}#1"), f"{golden}#1"):
        with pytest.raises(ImageError, match=r"golden image lies elsewhere than this one: .*Register") as caught:
            known.candidates(image, "x", reference)
        assert caught.value.code == "other_geometry"


def test_one_of_the_same_place_is_compared(tmp_path: Path) -> None:
    golden, second = dates(tmp_path, _moved(0.005))
    known = intake(opener())
    (view,) = known.candidates(known.read(f"{second}#1"), "x", f"{golden}#1")
    assert view.pixels.shape == (10, 12, 1)


def test_one_of_other_pixels_over_the_same_place_is_an_error(tmp_path: Path) -> None:
    golden, _ = dates(tmp_path, UP)
    fine = save(tmp_path / "fine.nii", np.ones((23, 19, 4), np.float32), UP @ np.diag([0.5, 0.5, 1, 1]))
    known = intake(opener())
    with pytest.raises(ImageError, match=r"those of 10 x 12 pixels, and of 19 x 23") as caught:
        known.candidates(known.read(f"{fine}#1"), "x", f"{golden}#1")
    assert caught.value.code == "other_geometry"


def test_of_golden_slices_that_a_model_carries_those_of_the_same_place_count(tmp_path: Path) -> None:
    """Their places travel with it: what it carries is bare pixels."""
    golden, second = dates(tmp_path, UP)
    carried = Goldens({f"first.nii#{one}": Path(f"{golden}#{one}") for one in (1, 2)}, opener=opener())
    record = GoldenRecord(tuple(carried.files), corners=carried.corners)
    again = parsed(GoldenRecord, plain(record))
    assert again == record
    travelled = {
        name.rpartition("/")[2]: Kept(name.rpartition("/")[2], content, corners=again.corners[name])
        for name, content in carried.files.items()
    }
    for goldens in (carried, Goldens(travelled)):
        known = intake(opener(), goldens)
        (view,) = known.candidates(known.read(f"{second}#2"), "x")
        assert "first.nii-2" in view.name
        with pytest.raises(ImageError, match=r"the golden image \(of 2: first.nii-1.npy\) lies elsewhere") as caught:
            known.candidates(known.read(f"{second}#3"), "x")
        assert caught.value.code == "other_geometry"
        photograph = replace(known.read(f"{second}#3"), corners=None)
        assert len(known.candidates(photograph, "x")) == 2, "what says no place is compared with all"


def test_a_golden_image_of_another_modality_is_an_error(tmp_path: Path) -> None:
    for kind in ("ct", "mr"):
        whole = render(kind, 1)
        write_dicom(tmp_path / kind, Scan(kind, 1, whole.values[8:9, :10, :12], whole.lesions[8:9, :10, :12]))
    known = intake(opener(), modality=("CT",))
    image = known.read(tmp_path / "ct/01.dcm")
    assert known.candidates(image, "x", tmp_path / "ct/01.dcm")
    with pytest.raises(ImageError, match="trained on images with modality 'CT', this one says 'MR'") as caught:
        known.candidates(image, "x", tmp_path / "mr/01.dcm")
    assert caught.value.code == "wrong_meta"


@pytest.mark.parametrize(("simulated", "kept"), [(False, ("CT", "MR")), (True, ("MR",))])
def test_what_golden_images_of_the_training_say_is_kept_too(
    tmp_path: Path, simulated: bool, kept: tuple[str, ...]
) -> None:
    """They are guarded likewise, and would be refused where they differ; simulated images are theirs."""
    for kind in ("ct", "mr"):
        whole = render(kind, 1)
        write_dicom(tmp_path / kind, Scan(kind, 1, whole.values[8:9, :10, :12], whole.lesions[8:9, :10, :12]))
    image, golden = tmp_path / "ct/01.dcm", tmp_path / "mr/01.dcm"
    facts = SimpleNamespace(facts={image: SimpleNamespace(meta={"modality": "CT"})})
    plan: Any = SimpleNamespace(
        fit=[Sample(image, "a", reference=golden)],
        held_out=[],
        intake=SimpleNamespace(opener=opener()),
        request=SimpleNamespace(golden=[]),
        simulated=simulated,
        survey=facts,
    )
    assert _guards(plan) == {"modality": kept}
