"""Rejects as files: a copy of each, and what was said of it; nothing is written over, and a full disk is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import call
from faults import faults, full_from

from anomalib_lite.edge.copies import Copies
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import DataError
from anomalib_lite.pipeline.predict import predict


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Copies]:
    (tmp_path / "a.png").write_bytes(b"one")
    return tmp_path / "a.png", Copies(tmp_path / "copies", {Verdict.NG})


def test_names_that_come_again_are_numbered_and_the_same_row_is_one_copy(made: tuple[Path, Copies]) -> None:
    image, copies = made
    for number in (1, 1, 2):
        copies.take(image, Verdict.NG, "day 1/a.png", {"score": number})
    folder = image.parent / "copies"
    assert files(folder) == ["ng/day 1/a-2.json", "ng/day 1/a-2.png", "ng/day 1/a.json", "ng/day 1/a.png"]
    assert json.loads((folder / "ng/day 1/a-2.json").read_text()) == {"score": 2}


def test_what_somebody_else_put_there_is_not_written_over(made: tuple[Path, Copies]) -> None:
    image, copies = made
    theirs = image.parent / "copies/ng/a.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    assert copies.take(image, Verdict.NG, "a.png", {}) == "ng/a-.json"
    assert (theirs.read_bytes(), theirs.with_name("a-.png").read_bytes()) == (b"theirs", b"one")


@pytest.mark.parametrize("name", ["../../a.png", "/etc/a.png", "..\\a.png", "a" * 255, "\udcff=1.png"])
def test_no_name_leads_out_of_the_folder_or_is_too_long(made: tuple[Path, Copies], name: str) -> None:
    image, copies = made
    place = image.parent / "copies" / copies.take(image, Verdict.NG, name, {"image": name})
    assert place.resolve().is_relative_to(image.parent / "copies/ng")
    assert len(files(image.parent / "copies")) == 2


def test_what_has_no_file_leaves_its_row(made: tuple[Path, Copies]) -> None:
    image, copies = made
    copies.take(image.parent / "gone.png", Verdict.ERROR, "gone.png", {"image": "gone.png"})
    assert files(image.parent / "copies") == ["error/gone.json"]


def test_predict_copies_what_is_asked_for(model_path: Path, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(parts / "test/good/part20_0.png", tmp_path / "images/good.png")
    shutil.copy(parts / "test/dent/part30_0.png", tmp_path / "images/dent.png")
    (tmp_path / "images/torn.png").write_bytes(b"\x89PNG")
    out = tmp_path / "out"
    assert call("predict", model_path, tmp_path / "images", "--out", out, "--copy", "ng, Error") == 0
    assert files(out / "copies") == ["error/torn.json", "error/torn.png", "ng/dent.json", "ng/dent.png"]
    assert (out / "copies/ng/dent.png").read_bytes() == (tmp_path / "images/dent.png").read_bytes()
    assert json.loads((out / "copies/ng/dent.json").read_text())["verdict"] == "NG"
    words: list[str | Path] = ["predict", model_path, tmp_path / "images"]
    assert call(*words, "--copy", "ng") == 2
    assert call(*words, "--out", out, "--overwrite", "--copy", "bad") == 2
    with faults(full_from(20)), pytest.raises(DataError, match="No space left"):
        predict(Model(model_path), [tmp_path / "images"], out=tmp_path / "full", copied=[Verdict.NG])


def test_watch_copies_before_it_moves_and_once_after_a_kill(
    model_path: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(parts / "test/dent/part30_0.png", tmp_path / "dent.png")
    shutil.copy(parts / "test/good/part20_0.png", tmp_path / "good.png")
    model, copies = Model(model_path), Copies(tmp_path / "copies", {Verdict.NG})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def look() -> None:
        with Watcher(model, tmp_path, settle=0, recursive=True, copies=copies) as watcher:
            list(watcher.step())

    with monkeypatch.context() as patch:
        patch.setattr("anomalib_lite.edge.disk.move", killed)
        with pytest.raises(KeyboardInterrupt):
            look()
    look()
    look()
    assert files(tmp_path / "copies") == ["ng/dent.json", "ng/dent.png"]
    assert json.loads((tmp_path / "copies/ng/dent.json").read_text())["moved_to"] == "ng/dent.png"
    assert (tmp_path / "ng/dent.png").exists()
