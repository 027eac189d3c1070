"""Detectors that are fitted on a mixed lot: what they learn from, and what their thresholds rest on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import call, picture, recalibrate, save

from anomalib_lite.data import Folders
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.train import Trained

Train = Callable[..., Trained]
PART = r"part(\d+)"


@pytest.fixture
def lot(tmp_path: Path) -> Path:
    """A folder of 20 parts of which nothing is known, five of them defective, beside one of 20 good ones."""
    for part in range(20):
        save(tmp_path / f"data/line/part{part:02}.png", picture(part, defect=part < 5))
        save(tmp_path / f"data/known/part{part + 20:02}.png", picture(part + 20))
    return tmp_path / "data"


def known(trained: Trained) -> dict[str, Any]:
    data = trained.bundle.manifest.data
    return {"fit": len(data.fit), "held out": {Path(one.image).parent.name for one in data.held_out}}


def test_it_learns_from_all_and_is_certified_on_good_images(train: Train, lot: Path, tmp_path: Path) -> None:
    trained = train(lot, tmp_path / "model", detector="lot", folders=Folders(good=("known",)))
    assert known(trained) == {"fit": 34, "held out": {"known"}}
    assert trained.calibration.n == 6
    assert trained.calibration.unlabelled == 20
    assert any("of 20 images nobody said that they are good" in one for one in trained.calibration.statement)
    assert "20 images nobody said" in trained.bundle.read("report.html").decode()
    for part in range(50, 60):
        save(tmp_path / f"new/part{part}.png", picture(part))
    again = recalibrate(tmp_path / "model", tmp_path / "new", out=tmp_path / "again", group=PART, add=True)
    assert again.calibration.unlabelled == 20


def test_other_photographs_of_a_part_that_is_held_out_are_not_learnt_from(
    train: Train, lot: Path, tmp_path: Path
) -> None:
    for part in range(20, 40):
        save(lot / f"line/part{part}.png", picture(part + 100))
    trained = train(lot, tmp_path / "model", detector="lot", folders=Folders(good=("known",)))
    data = trained.bundle.manifest.data
    assert not set(data.fit.values()) & {one.group for one in data.held_out}
    assert len(data.fit) == 20 + 14 + 14


def test_a_table_says_which_are_good(train: Train, lot: Path, tmp_path: Path) -> None:
    rows = [
        (path.relative_to(lot).as_posix(), "good" if path.parent.name == "known" else "") for path in lot.rglob("*.png")
    ]
    rows.append((rows[0][0].replace("known", "line"), "scratch") if rows[0][1] else rows[0])
    unique = dict(rows)
    with (lot / "lot.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label"), *unique.items()])
    trained = train(lot / "lot.csv", tmp_path / "model", detector="lot")
    assert known(trained) == {"fit": 34, "held out": {"known"}}


def test_thresholds_need_images_that_are_known_to_be_good(train: Train, lot: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"known to be good, and nothing says so of any.*--good FOLDER"):
        train(lot, tmp_path / "model", detector="lot")
    with pytest.raises(ConfigError, match="not all are good"):
        train(lot, tmp_path / "model", {"calibration.crossfit": 3}, detector="lot", folders=Folders(good=("known",)))


def test_where_all_are_good_it_is_like_any_other(train: Train, parts: Path, tmp_path: Path) -> None:
    trained = train(parts, tmp_path / "model", detector="lot")
    assert trained.calibration.unlabelled == 0
    assert not any("lot" in one for one in trained.calibration.statement)


def test_other_detectors_ask_what_the_folders_mean(lot: Path, tmp_path: Path) -> None:
    assert call("train", "gauss", lot, "--out", tmp_path / "model", "--group", PART) == 3


def test_it_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("plugins", "show", "lot") == 0
    assert "on a mixed lot" in capsys.readouterr().out


def test_the_command(lot: Path, tmp_path: Path) -> None:
    size = ("--set", "image.height=48", "--set", "image.width=48")
    assert call("train", "lot", lot, "--good", "known", "--group", PART, "--out", tmp_path / "model", *size) == 0
    assert json.loads((tmp_path / "model/manifest.json").read_text())["calibration"]["unlabelled"] == 20
