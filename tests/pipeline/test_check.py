"""`data check` is the dry run of `train`: the same refusals with the same exit codes; and what it plans."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture, save

from anomalib_lite import registry
from anomalib_lite.cli import main
from anomalib_lite.data import DataSet, Sample, evaluation_samples, training_samples
from anomalib_lite.errors import AnomalibLiteError
from anomalib_lite.pipeline.check import Check, Checked, check


def dry_run(data: Path, **asked: Any) -> Checked:
    return check(Check(data=data, **asked), plugins=registry.load())


def call(*arguments: str | Path) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def good(root: Path, number: int = 8, folder: str = "") -> Path:
    """A folder of good images."""
    for part in range(number):
        save(root / folder / f"part{part:02}.png", picture(part))
    return root


def table(root: Path, text: str) -> Path:
    good(root)
    (root / "samples.csv").write_text(text)
    return root / "samples.csv"


def copied(root: Path) -> Path:
    shutil.copy(good(root) / "part00.png", root / "part90.png")
    return root


def mixed(root: Path) -> Path:
    save(good(root) / "part90.png", picture(90, channels=3))
    return root


def damaged(root: Path) -> Path:
    for path in good(root).iterdir():
        path.write_bytes(path.read_bytes()[:60])
    return root


def defective(root: Path) -> Path:
    save(good(root, folder="train/good") / "train/dent/x.png", picture(90, defect=True))
    return root


def beside(root: Path) -> Path:
    for part in range(4):
        save(good(root, 4) / f"part{part:02}_mask.png", (picture(part, defect=True) < 30).astype(np.uint8) * 255)
    return root


def marking(root: Path) -> Path:
    save(root / "mask.png", (picture(0, defect=True) < 30).astype(np.uint8) * 255)
    return table(root, "image,mask\npart00.png,mask.png\npart01.png,\n")


def painted(value: int) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        save(root.parent / "roi.png", np.full((48, 48), value, np.uint8))
        return good(root)

    return make


MENDING = r"\b(give|name|add|remove|move|leave|mark|put|set|paint|change|correct|record|did you mean|expected)\b"
SPLIT = "image,group,split\npart00.png,1,{}\npart01.png,{},{}\npart02.png,3,train\n"
ROI = ("--set", "image.roi={}/roi.png")
CASES: dict[str, tuple[Callable[[Path], Path], tuple[str, ...], int]] = {
    "nothing is wrong": (good, (), 0),
    "one image": (lambda root: good(root, 1), (), 3),
    "no image": (lambda root: root, (), 3),
    "a copy under another part": (copied, (), 3),
    "a copy of the same part": (copied, ("--group", r"part.(\d)"), 0),
    "grey and colour": (mixed, (), 3),
    "grey and colour, to be converted": (mixed, ("--set", "image.channels=1"), 0),
    "nothing can be read": (damaged, (), 3),
    "a defect among good ones": (defective, (), 3),
    "folders that nothing explains": (lambda root: good(good(root, 3, "gut"), 3, "schlecht"), (), 3),
    "folders that are named": (lambda root: good(good(root, 3, "gut"), 1, "schlecht"), ("--good", "gut"), 0),
    "folders that are not there": (lambda root: good(root, 3, "gut"), ("--good", "good"), 2),
    "folders beside good": (lambda root: good(good(root, 3, "good"), 1, "bad"), (), 3),
    "images for tests alone": (lambda root: good(root, 3, "test/good"), (), 3),
    "masks beside": (beside, (), 3),
    "a mask that marks": (marking, (), 3),
    "one part": (good, ("--group", r"(part)"), 3),
    "a group that misses": (good, ("--group", r"lot(\d+)"), 3),
    "a group that captures nothing": (good, ("--group", "part"), 2),
    "a part on both sides": (lambda root: table(root, SPLIT.format("calibrate", 1, "train")), (), 3),
    "marked for calibration": (lambda root: table(root, SPLIT.format("calibrate", 2, "train")), (), 0),
    "marked and cross-fitted": (
        lambda root: table(root, SPLIT.format("calibrate", 2, "train")), ("--crossfit", "2"), 2,
    ),
    "too few parts to cross-fit": (good, ("--crossfit", "9"), 3),
    "a holdout that is none": (good, ("--holdout", "130%"), 2),
    "a setting that is none": (good, ("--set", "image.hieght=32"), 2),
    "a region of nothing": (painted(0), ROI, 3),
    "a region of grey": (painted(9), ROI, 3),
    "a region of everything": (painted(255), ROI, 3),
    "a region that is not there": (good, ROI, 3),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_train_refuses_it_refuses(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words, code = CASES[case]
    (tmp_path / "data").mkdir()
    data = make(tmp_path / "data")
    words = tuple(word.format(tmp_path) if "roi" in word else word for word in words)
    assert call("data", "check", data, *words) == code
    checked = capsys.readouterr()
    size = ("--set", "image.height=48", "--set", "image.width=48")
    assert call("train", "gauss", data, "--out", tmp_path / "model", *size, *words) == code
    trained = capsys.readouterr()
    assert (tmp_path / "model").exists() == (code == 0)
    if code:
        reason = trained.err.splitlines()[-1].removeprefix("error: ")
        assert reason.partition(" See: ")[0] in checked.out + checked.err
        assert re.search(MENDING, reason, re.IGNORECASE), "a message says how to mend it"


def test_all_that_is_wrong_is_listed_the_first_reason_first(tmp_path: Path) -> None:
    save(defective(tmp_path) / "train/good/part91.png", picture(91, channels=3))
    problems = [line for line in dry_run(tmp_path).lines if line.startswith("problem: ")]
    assert ["labelled otherwise than good" in problems[0], "grey and colour are mixed" in problems[1]] == [True, True]


def test_what_is_wrong_with_tests_is_said_and_stops_nothing(tmp_path: Path) -> None:
    good(tmp_path, folder="train/good")
    save(tmp_path / "test/ok/a.png", picture(50))
    save(tmp_path / "ground_truth/dent/b_mask.png", picture(0, defect=True))
    done = dry_run(tmp_path)
    assert done.exit_code == 0
    (said,) = [line for line in done.lines if line.startswith("for an evaluation: ")]
    assert "test/ok (1)" in said
    assert "1 mask without an image" in said


# ---- the plan


def plan(done: Checked) -> list[str]:
    return [line.removeprefix("plan: ") for line in done.lines if line.startswith("plan: ")]


def test_it_plans_with_this_holdout(tmp_path: Path) -> None:
    good(tmp_path, 40)
    asked = {"calibration.holdout": 0.25, "calibration.max_false_reject": 0.02}
    divided, certified, *_ = plan(dry_run(tmp_path, group=r"part(\d+)", overrides=asked))
    assert divided.endswith("folder, 30 images of 30 parts to fit, 10 images of 10 parts to calibrate")
    assert certified == (
        "10 held-out parts can certify at most 25.9 % at 95 % confidence, none above the threshold; for 2 %, 149 "
        "held-out parts are needed: train again with 596 good parts in all, of which 25 % are held out, or give 173 "
        "new ones to `calibrate --add` (a repeated calibration needs 183)"
    )


def test_the_numbers_in_all_are_enough_and_one_less_is_not(tmp_path: Path) -> None:
    """As many parts as it names, and the rate is certified."""
    asked = {"calibration.holdout": 0.5, "calibration.max_false_reject": 0.3}
    (whole,) = re.findall(
        r"with (\d+) good images in all", plan(dry_run(good(tmp_path / "few", 4), overrides=asked))[1]
    )
    for number, enough in ((int(whole), True), (int(whole) - 2, False)):
        said = plan(dry_run(good(tmp_path / str(number), number), overrides=asked))[1]
        assert ("at most 30 %" in said, "are needed" in said) == (enough, not enough)


def test_with_cross_fitting_every_part_counts(tmp_path: Path) -> None:
    _, said, *_ = plan(dry_run(good(tmp_path, 20), overrides={"calibration.crossfit": 4}))
    assert "20 cross-fitted images promise at most 33.4 % on average, at no confidence, none above" in said
    assert said.endswith("for 1 %, 776 more good images are needed, 796 in all")


def test_it_says_what_becomes_of_a_defect(tmp_path: Path) -> None:
    for name in ("train/good/a", "train/good/b", "test/dent/c"):
        save(tmp_path / f"{name}.png", picture(ord(name[-1]), size=1024))
    mask = np.zeros((1024, 1024), np.uint8)
    mask[100:116, 200:220] = 255
    save(tmp_path / "ground_truth/dent/c_mask.png", mask)
    (said,) = [line for line in plan(dry_run(tmp_path)) if "smaller" in line]
    assert said.startswith("images of up to 1,024 x 1,024 are made smaller, to 256 x 256: a defect of 10 x 10 pixels "
                           "becomes 2.5 x 2.5, the smallest that a mask marks, of 320 pixels, 20. ")  # fmt: skip
    assert "image.mode=tile" in said
    for settings in (["image.mode=tile"], ["image.height=1024", "image.width=1024"]):
        assert not [line for line in plan(dry_run(tmp_path, settings=settings)) if "smaller" in line]


def test_images_are_counted_by_folder(tmp_path: Path) -> None:
    for lot in range(15):
        save(tmp_path / f"lot{lot:02}/part{lot}.png", picture(lot))
    (said,) = [line for line in dry_run(tmp_path, group=r"lot(\d+)/").lines if line.startswith("  folders:")]
    assert said == "  folders: " + ", ".join(f"lot{lot:02} 1" for lot in range(12)) + ", and 3 folders more"


def test_a_group_that_is_no_part_is_suspected(parts: Path, tmp_path: Path) -> None:
    done = dry_run(parts, group=r"_(\d)\.png")
    assert any("60 images in 2 parts: 0, 1. If that is the lot, the camera or the shot" in line for line in done.lines)
    assert any("1 part both in train and in test: 0. An evaluation would flatter" in line for line in done.lines)
    assert not [line for line in dry_run(parts, group=r"part(\d+)").lines if line.startswith("warning")]


def test_train_says_the_same_before_it_starts(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ("--set", "image.height=24", "--set", "image.width=24")
    assert call("train", "gauss", parts, "--out", tmp_path / "model", "--group", r"_(\d)\.png", *size) == 0
    said = capsys.readouterr().err
    for words in ("60 images in 2 parts", "both in train and in test", "1 held-out part can certify at most 95 %",
                  "images of up to 48 x 48 are made smaller, to 24 x 24"):  # fmt: skip
        assert words in said


# ---- large data sets


def steps(function: Callable[[], object]) -> int:
    """Calls, and values of generators, until it returns: work that no clock disturbs."""
    counted = 0

    def count(*_: object) -> None:
        nonlocal counted
        counted += 1

    sys.setprofile(count)
    try:
        function()
    except AnomalibLiteError:
        pass
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("split", [None, "train", "test"])
@pytest.mark.parametrize("choose", [training_samples, evaluation_samples])
def test_ten_times_as_many_images_take_ten_times_the_steps(
    choose: Callable[[DataSet], object], split: str | None
) -> None:
    def taken(number: int) -> int:
        names = [f"{n}.png" for n in range(number)]
        dataset = DataSet(Path("d"), "CSV", [Sample(Path(name), name, "good", split=split) for name in names])
        return steps(lambda: choose(dataset))

    assert taken(5000) <= 11 * taken(500)


def test_a_folder_of_ten_times_as_many_images_takes_ten_times_the_steps(tmp_path: Path) -> None:
    from anomalib_lite.data import Folders, find

    def taken(number: int) -> int:
        root = tmp_path / str(number)
        for n in range(number):
            path = root / f"lot{n % 10}/part{n // 3}_shot{n % 3}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return steps(lambda: find(root, group=r"part(\d+)", folders=Folders(all_good=True)))

    assert taken(3000) <= 11 * taken(300)
