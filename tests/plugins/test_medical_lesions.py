"""Measures of lesions, by hand and beside those of scikit-learn; the two commands of the plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from anomalib_lite_medical import lesions
from anomalib_lite_medical.__main__ import main
from render_scans import Scan, render, write_dicom, write_nifti
from sklearn.metrics import average_precision_score, f1_score

SPACING = (2.0, 2.0, 4.0)


def case(values: Any, truth: Any, patient: str = "a") -> lesions.Case:
    return lesions.Case(patient, np.asarray(values, np.float32), np.asarray(truth, bool), SPACING)


def test_average_precision_is_that_of_scikit_learn_with_ties() -> None:
    random = np.random.default_rng(0)
    truth = random.random(500) < 0.1
    values = np.round(random.normal(size=500) + truth, 1).astype(np.float32)
    assert lesions.average_precision(values, truth) == pytest.approx(average_precision_score(truth, values), abs=1e-12)
    assert np.isnan(lesions.average_precision(values, np.zeros(500, bool)))


def test_what_was_not_measured_is_lowest() -> None:
    truth = np.array([True, True, False, False])
    assert lesions.average_precision(np.array([3, np.nan, 1, np.nan], np.float32), truth) == 0.5 * 1 + 0.5 * 2 / 4
    assert lesions.best_dice(np.array([3, np.nan, 1, np.nan], np.float32), truth)[0] == pytest.approx(2 / 3)


def test_the_best_dice_is_that_of_its_threshold_and_of_no_other() -> None:
    random = np.random.default_rng(1)
    truth = random.random(300) < 0.2
    values = (random.normal(size=300) + 2 * truth).astype(np.float32)
    best, threshold = lesions.best_dice(values, truth)
    assert best == pytest.approx(f1_score(truth, values > threshold))
    assert best == pytest.approx(max(f1_score(truth, values > one) for one in values))


def test_dice_and_hausdorff_by_hand() -> None:
    one, other = np.zeros((2, 12, 12, 4), bool)
    one[2:5, 2:5, 1] = True
    other[2:5, 4:7, 1] = True  # two voxels, 4 mm, to the side
    assert lesions.dice(one, other) == pytest.approx(2 * 3 / 18)
    assert lesions.hausdorff_95(one, other, SPACING) == pytest.approx(4)
    assert lesions.hausdorff_95(one, one, SPACING) == 0
    assert lesions.dice(~one & one, ~one & one) == 1
    assert np.isnan(lesions.hausdorff_95(one, ~one & one, SPACING))


def two_lesions() -> tuple[Any, Any]:
    values, truth = np.zeros((40, 40, 6), np.float32), np.zeros((40, 40, 6), bool)
    truth[5:8, 5:8, 2], truth[30:32, 30:32, 3] = True, True
    return values, truth


def test_finds_are_local_maxima_and_hit_what_they_touch() -> None:
    values, truth = two_lesions()
    values[6, 6, 2] = 9
    values[7, 6, 2] = 8  # of the same find
    values[33, 30, 3] = 5  # 4 mm beside the second lesion
    values[20, 20, 3] = 7  # nothing is there
    values[20, 30, 3] = 6
    found = lesions.finds(case(values, truth))
    assert found.lesions.tolist() == [9, 5]
    assert found.false[:2].tolist() == [7, 6]
    values[33, 30, 3], values[36, 30, 3] = 0, 5  # 10 mm beside it
    assert lesions.finds(case(values, truth)).lesions.tolist()[0] == 9
    assert lesions.finds(case(values, truth)).lesions.tolist()[1] < 5


@pytest.mark.parametrize("step", [0.8, 1.6, 0.4, 0.1, 1.0])
def test_a_find_is_the_highest_for_8_mm_whatever_the_size_of_voxels(step: float) -> None:
    voxels = round(8 / step)
    values = np.zeros((3 * voxels, 1, 1), np.float32)
    values[2, 0, 0], values[2 + voxels, 0, 0] = 9, 5
    size = float(np.float32(step))  # as a header stores it
    found = lesions.finds(lesions.Case("a", values, values < 0, (size, 9.0, 9.0)))
    assert 5 not in found.false.tolist(), "8 mm beside a higher one"
    values[2 + voxels, 0, 0], values[3 + voxels, 0, 0] = 0, 5
    assert 5 in lesions.finds(lesions.Case("a", values, values < 0, (size, 9.0, 9.0))).false.tolist()


def test_sensitivity_at_false_finds_by_hand() -> None:
    some = [
        lesions.Finds(np.array([6.0, 1.0]), np.array([9.0, 5.0])),
        lesions.Finds(np.array([4.0]), np.array([3.0, -np.inf])),
    ]
    at = dict(zip(lesions.RATES, lesions.froc(some), strict=True))
    assert at[0.125] == 0.25  # none of the false ones: above 6
    assert at[0.5] == 0.5  # one of them: above 4
    assert at[1.0] == 0.75  # two: above 1
    assert at[8.0] == 0.75  # what nothing hits is never found


def test_intervals_are_over_patients_and_need_some() -> None:
    values, truth = two_lesions()
    values[6, 6, 2] = 9
    some = [case(values + number, truth, f"p{number}") for number in range(5)]
    said = lesions.measured(some, threshold=5)
    assert said["lesions"] == 10
    low, high = said["intervals"]["froc_1"]
    assert low <= said["froc"]["1.0"] <= high
    assert set(said["intervals"]) == {
        "average_precision", "best_dice", "dice", "hausdorff_95_mm", *(f"froc_{rate:g}" for rate in lesions.RATES)
    }  # fmt: skip
    for name, between in said["intervals"].items():
        number = said["froc"][str(float(name[5:]))] if name.startswith("froc") else said[name]
        assert between[0] - 1e-9 <= number <= between[1] + 1e-9, name
    assert set(lesions.measured(some[:4])["intervals"].values()) == {None}


def test_volumes_of_one_patient_are_one_patient() -> None:
    values, truth = two_lesions()
    values[6, 6, 2] = 9
    said = lesions.measured([case(values, truth, f"p{number // 2}") for number in range(8)])
    assert (said["volumes"], said["patients"]) == (8, 4)
    assert set(said["intervals"].values()) == {None}


def test_levels_of_intervals_measure_what_all_voxels_measure() -> None:
    random = np.random.default_rng(0)
    truth = random.random((40, 40, 10)) < 0.05
    some = [case(random.normal(size=truth.shape) + truth, truth, f"p{number}") for number in range(5)]
    said = lesions.measured(some)
    for name in ("average_precision", "best_dice"):
        low, high = said["intervals"][name]
        assert low < said[name] < high
        assert high - low < 0.05, "five patients that are alike"


def test_a_volume_in_which_nothing_was_found_counts_its_diagonal() -> None:
    values, truth = two_lesions()
    missed, empty = case(values, truth), case(values, truth & False)
    said = lesions.measured([case(truth, truth), missed, missed, empty], threshold=0.5)
    diagonal = float(np.linalg.norm(np.array(truth.shape) * SPACING))
    assert said["hausdorff_95_mm"] == pytest.approx(2 / 3 * diagonal)
    assert (said["hausdorff_volumes"], said["hausdorff_missed"]) == (3, 2)
    said = lesions.measured([empty], threshold=0.5)
    assert said["hausdorff_95_mm"] is None
    assert said["average_precision"] is None
    json.dumps(said | lesions.measured([case(values * np.nan, truth)]), allow_nan=False)


# ---- commands


def few(patient: int) -> Scan:
    whole = render("mr", patient, lesions=2)
    return Scan("mr", patient, whole.values[6:14], whole.lesions[6:14])


def test_maps_are_measured_against_masks_of_the_same_name(tmp_path: Path, capsys: Any) -> None:
    for patient in (41, 42):
        write_nifti(tmp_path / f"maps/p{patient}/1.2.3.dcm.nii.gz", few(patient))  # the scan itself as the map
        write_nifti(tmp_path / f"truth/p{patient}.nii.gz", few(patient), truth=True)
    main(["lesions", str(tmp_path / "maps"), str(tmp_path / "truth"), "--json", str(tmp_path / "all.json")])
    told = capsys.readouterr().out
    assert "chosen on these volumes" in told
    said = json.loads((tmp_path / "all.json").read_text())
    assert said["volumes"] == 2
    assert said["best_dice"] > 0.7, "lesions are the brightest of all"
    assert said["dice"] > 0.6


def test_a_series_without_its_ends_is_measured_on_the_whole_mask(tmp_path: Path, capsys: Any) -> None:
    """As predict leaves out slices without a body; the slices that are left out count as below everything."""
    scan = few(41)
    write_nifti(tmp_path / "truth/a.nii.gz", scan, truth=True)
    write_nifti(tmp_path / "whole.nii.gz", scan)
    whole: Any = nibabel.load(tmp_path / "whole.nii.gz")
    (tmp_path / "maps").mkdir()
    nibabel.save(whole.slicer[:, :, 1:-2], tmp_path / "maps/a.nii.gz")
    main(["lesions", str(tmp_path / "maps"), str(tmp_path / "truth"), "--json", str(tmp_path / "all.json")])
    told = capsys.readouterr().out
    assert "volumes                1 of 1 patients" in told
    assert "too few patients for intervals: 5 are needed" in told
    assert json.loads((tmp_path / "all.json").read_text())["best_dice"] > 0.5
    nibabel.save(whole.slicer[1:, :, :], tmp_path / "truth/a.nii.gz")
    with pytest.raises(SystemExit):
        main(["lesions", str(tmp_path / "maps"), str(tmp_path / "truth")])
    assert "another grid" in capsys.readouterr().err


def test_files_that_cannot_be_read_or_written_are_told(tmp_path: Path, capsys: Any) -> None:
    for name in ("maps", "truth"):
        write_nifti(tmp_path / f"{name}/a.nii.gz", few(41), truth=name == "truth")
    given = [str(tmp_path / "maps"), str(tmp_path / "truth")]
    with pytest.raises(SystemExit) as caught:
        main(["lesions", *given, "--json", str(tmp_path / "nowhere/all.json")])
    assert caught.value.code == 3
    assert "cannot be written" in capsys.readouterr().err
    for name in ("truth", "maps"):
        path = tmp_path / name / "a.nii.gz"
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(SystemExit) as caught:
            main(["lesions", *given])
        assert caught.value.code == 3
        assert str(path) in capsys.readouterr().err


def test_a_mask_on_another_grid_is_refused(tmp_path: Path, capsys: Any) -> None:
    write_nifti(tmp_path / "maps/a.nii.gz", few(41))
    with pytest.raises(SystemExit) as caught:
        main(["lesions", str(tmp_path / "maps"), str(tmp_path)])
    assert caught.value.code == 3
    assert "no mask in" in capsys.readouterr().err
    write_nifti(tmp_path / "a.nii.gz", render("ct", 41), truth=True)
    with pytest.raises(SystemExit):
        main(["lesions", str(tmp_path / "maps"), str(tmp_path)])
    assert "another grid" in capsys.readouterr().err


def test_what_is_no_mask_is_no_truth(tmp_path: Path, capsys: Any) -> None:
    write_nifti(tmp_path / "maps/a.nii.gz", few(41))
    write_nifti(tmp_path / "a.nii.gz", few(41))  # the scan beside it, not its mask
    with pytest.raises(SystemExit) as caught:
        main(["lesions", str(tmp_path / "maps"), str(tmp_path)])
    assert caught.value.code == 3
    assert "a.nii.gz: is no mask: its values run from" in capsys.readouterr().err
    (tmp_path / "a.nii.gz").write_bytes(b"no volume")
    with pytest.raises(SystemExit):
        main(["lesions", str(tmp_path / "maps"), str(tmp_path)])
    assert "a.nii.gz: is no NIfTI file" in capsys.readouterr().err


def test_the_window_is_of_all_training_images(tmp_path: Path, capsys: Any) -> None:
    scans = [few(1), few(2)]
    write_nifti(tmp_path / "one.nii.gz", scans[0])
    write_nifti(tmp_path / "two.nii.gz", scans[1])
    write_dicom(tmp_path / "three", scans[1])
    main(["window", str(tmp_path), "--high", "100", "--low", "0", "--body", "10"])
    nifti, dicom = capsys.readouterr().out.splitlines()
    assert nifti.startswith("--set readers.nifti.window=[")
    assert dicom.startswith("--set readers.dicom.window=[")
    low, high = json.loads(nifti.partition("=")[2].partition(" ")[0])
    assert 0 <= low < 10  # holes in the body count, too
    assert 0.9 * max(one.values.max() for one in scans) < high <= max(one.values.max() for one in scans) + 0.01


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--low", "-5"], 2, "percent from 0 to 100"),
        (["--low", "99", "--high", "1"], 2, "percent from 0 to 100"),
        (["--low", "nan"], 2, "percent from 0 to 100"),
        (["--body", "inf"], 2, "a number"),
        ([], 3, "a.nii.gz: is a mask, and no scan"),
        (["--low", "0", "--high", "0.001"], 3, "one value"),
        (["--channels", "a/b"], 2, "--channels"),
        (["--body", "1", "--mask", "m"], 2, "not both"),
    ],
)
def test_a_window_that_the_readers_refuse_is_not_printed(
    tmp_path: Path, capsys: Any, words: list[str], code: int, said: str
) -> None:
    write_nifti(tmp_path / "a.nii.gz", few(1), truth=not words)
    with pytest.raises(SystemExit) as caught:
        main(["window", str(tmp_path), *words])
    assert caught.value.code == code
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


@pytest.mark.parametrize("words", [["--body", "otsu"], ["--mask", "m"]])
def test_a_window_is_of_what_the_readers_inspect(tmp_path: Path, capsys: Any, words: list[str]) -> None:
    whole = render("mr", 1)
    write_nifti(tmp_path / "a.nii.gz", whole)
    if "m" in words:
        write_nifti(tmp_path / "a_m.nii.gz", Scan("mr", 1, whole.values, whole.values > 50), truth=True)
    main(["window", str(tmp_path), *words])
    low, _ = json.loads(capsys.readouterr().out.partition("=")[2].partition(" ")[0])
    assert low > np.percentile(whole.values, 50), "background does not count"


@pytest.mark.parametrize("word", ["nan", "inf"])
def test_a_threshold_is_a_number(capsys: Any, word: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["lesions", "maps", "truth", "--threshold", word])
    assert caught.value.code == 2
    assert "a number" in capsys.readouterr().err
