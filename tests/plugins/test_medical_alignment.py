"""Two dates of a patient: the motion between them is found, whatever the grids and the units are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from anomalib_lite_medical import alignment
from anomalib_lite_medical.__main__ import main
from numpy.typing import NDArray
from render_scans import render
from scipy.spatial.transform import Rotation
from test_medical_channels import opener

from anomalib_lite.data import find
from anomalib_lite.errors import DataError


def head(patient: int = 1, lesions: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    scan = render("mr", patient, lesions=lesions)
    affine = np.diag([2.0, 2, 5, 1])
    affine[:3, 3] = -96, -96, -50
    return np.ascontiguousarray(scan.values.transpose(2, 1, 0)), affine


def motion(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> NDArray[np.float64]:
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), shift
    return found


def at_second_date() -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """The same head with a lesion, elsewhere, on another grid, in other units; and how it was moved."""
    values, affine = head(lesions=3)
    moved, grid = motion((4, -3, 6), (6, -9, 4)), np.diag([2.5, 2.5, 4, 1])
    grid[:3, 3] = -100, -105, -45
    seen = alignment.resampled(values, affine, np.asarray(np.linalg.inv(moved)), (80, 80, 24), grid)
    return np.nan_to_num(1.3 * seen + 20, nan=20), grid, moved


def test_a_rigid_motion_is_found() -> None:
    fixed, affine = head()
    moving, grid, moved = at_second_date()
    found, alike = alignment.rigid(moving, grid, fixed, affine)
    places = np.argwhere(fixed > 50)[::20] @ affine[:3, :3].T + affine[:3, 3]
    off = np.linalg.norm(places @ (found - moved)[:3, :3].T + (found - moved)[:3, 3], axis=1)
    assert off.max() < 0.5  # millimetres, a quarter of a pixel
    assert alike > 0.9


def test_what_is_no_second_date_is_refused() -> None:
    fixed, affine = head()
    noise = np.random.default_rng(0).normal(50, 10, (60, 60, 20)).astype(np.float32)
    with pytest.raises(DataError, match="Give two dates of one patient"):
        alignment.rigid(noise, affine, fixed, affine)
    other, _ = head(patient=2)
    dark = np.where(fixed > 20, 160 - fixed, fixed)  # as T1 beside FLAIR
    for one in (other, dark):
        assert np.corrcoef(one.ravel(), fixed.ravel())[0, 1] > 0.7, "background makes any two heads alike"
        with pytest.raises(DataError, match="within the head or body"):
            alignment.rigid(one, affine, fixed, affine)
    with pytest.raises(DataError, match="one value all over"):
        alignment.rigid(np.zeros_like(fixed), affine, fixed, affine)


def test_the_command_writes_the_second_date_on_the_grid_and_in_the_units_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed, affine = head()
    moving, grid, _ = at_second_date()
    nibabel.save(nibabel.Nifti1Image(fixed, affine), tmp_path / "first.nii.gz")
    nibabel.save(nibabel.Nifti1Image(moving, grid), tmp_path / "second.nii.gz")
    given = [str(tmp_path / f"{name}.nii.gz") for name in ("second", "first")]
    main(["align", *given, "--out", str(tmp_path / "out/moved.nii.gz"), "--match"])
    assert "of it not shown by the other, and dark" in capsys.readouterr().out
    made: Any = nibabel.load(tmp_path / "out/moved.nii.gz")
    np.testing.assert_allclose(made.affine, affine)
    values = made.get_fdata()
    inside = (values > values.min()) & (fixed > 50)
    assert inside.sum() > 0.9 * (fixed > 50).sum()
    assert np.median(np.abs(values - fixed)[inside]) < 3, "a few units of 100, less than noise and interpolation"
    for wrong in ("nowhere.nii.gz", "first.txt"):
        (tmp_path / "first.txt").write_text("no volume")
        with pytest.raises(SystemExit) as caught:
            main(["align", given[0], str(tmp_path / wrong), "--out", str(tmp_path / "x.nii.gz")])
        assert caught.value.code == 3


def test_a_volume_on_its_own_grid_is_shown_as_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values, affine = head()
    turned = motion((0, 0, 20), (3, -7, 11)) @ affine
    values = values[:, :, 4:8]
    nibabel.save(nibabel.Nifti1Image(values, turned), tmp_path / "a.nii")
    main(["align", *[str(tmp_path / "a.nii")] * 2, "--out", str(tmp_path / "b.nii")])
    assert "dark" not in capsys.readouterr().out
    made: Any = nibabel.load(tmp_path / "b.nii")
    np.testing.assert_allclose(made.get_fdata(), values, atol=0.01 * float(np.ptp(values)))
    aside = alignment.resampled(values, turned, motion((0, 0, 0), (1, 0, 0)), values.shape, turned)
    assert np.isnan(aside).any(), "half a voxel beyond is not shown"
    for name, code, said in (("b.dcm", 2, "ends in .nii"), ("a.nii/b.nii", 3, "cannot be written")):
        with pytest.raises(SystemExit) as caught:
            main(["align", *[str(tmp_path / "a.nii")] * 2, "--out", str(tmp_path / name)])
        assert caught.value.code == code
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("axes", ["LPS", "PIR", "RAS"])
def test_the_result_is_stored_as_the_fixed_volume_is(tmp_path: Path, axes: str) -> None:
    values, affine = head()
    whole = nibabel.Nifti1Image(values, affine)
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(axes))
    nibabel.save(whole.as_reoriented(turn), tmp_path / "first.nii")
    nibabel.save(whole, tmp_path / "second.nii")
    main(["align", str(tmp_path / "second.nii"), str(tmp_path / "first.nii"), "--out", str(tmp_path / "out.nii")])
    made: Any = nibabel.load(tmp_path / "out.nii")
    first: Any = nibabel.load(tmp_path / "first.nii")
    np.testing.assert_allclose(made.affine, first.affine, atol=1e-4)
    np.testing.assert_allclose(made.get_fdata(), first.get_fdata(), atol=0.02 * float(np.ptp(values)))


def test_a_row_of_a_table_gives_each_slice_its_golden_one(tmp_path: Path) -> None:
    fixed, affine = head()
    for name in ("first", "second"):
        nibabel.save(nibabel.Nifti1Image(fixed[:, :, :3], affine), tmp_path / f"{name}.nii")
    (tmp_path / "pairs.csv").write_text("image,reference\nsecond.nii,first.nii")
    found = find(tmp_path / "pairs.csv", opener=opener())
    assert [(one.path.name, one.reference and one.reference.name) for one in found.samples] == [
        (f"second.nii#{one}", f"first.nii#{one}") for one in range(3)
    ]
