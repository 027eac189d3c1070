"""Results in several formats at once: each is there, images are judged once, and shares are of the same formats."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from conftest import call, picture, save

from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.model import Model
from anomalib_lite.engines import Local
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.hookspecs import PROJECT
from anomalib_lite.pipeline import keeping
from anomalib_lite.pipeline import spread as module
from anomalib_lite.pipeline.spread import spread
from anomalib_lite.registry import loading

BOTH = ("--write", "each-score", "--write", "all_scores", "--write", "each_score")
NAMES = ("all_scores", "each_score")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    there = loading._entry_points
    monkeypatch.setattr(loading, "_entry_points", lambda: [*there(), EntryPoint("formats", "formats", PROJECT)])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(4):
        save(folder / f"{number}.png", picture(number, defect=number == 2))
    return folder


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def written(out: Path) -> dict[str, str]:
    """Every file of a format, with what it says."""
    files = (file for name in NAMES for file in (out / name).rglob("*") if file.is_file())
    return {file.relative_to(out).as_posix(): file.read_text() for file in files}


def test_each_format_is_written_and_images_are_judged_once(
    ungated_path: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    real = Opener.read

    def counted(opener: Opener, source: Any) -> Any:
        read.append(source)
        return real(opener, source)

    monkeypatch.setattr(Opener, "read", counted)
    out = tmp_path / "out"
    assert call("predict", ungated_path, images, "--out", out, *BOTH) == 0
    assert len(read) == 4
    found = rows(out)
    assert [row["written_each_score"] for row in found] == [f"each_score/{number}.png.score" for number in range(4)]
    assert [row["written_all_scores"] for row in found] == [f"all_scores/{number}.png.scores" for number in range(4)]
    assert written(out) == {row[f"written_{name}"]: str(row["score"]) for name in NAMES for row in found}
    assert call("predict", ungated_path, images, "--out", out, "--write", "all_scores", "--overwrite") == 0
    assert not (out / "each_score").exists()
    assert {row["written"] for row in rows(out)} == {f"all_scores/{number}.png.scores" for number in range(4)}


def test_what_a_format_has_no_place_for_is_told_by_each(
    ungated_path: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "new/odd.png", picture(7))
    assert call("predict", ungated_path, images, tmp_path / "new", "--out", tmp_path / "out", *BOTH) == 3
    said = capsys.readouterr().err
    for name in NAMES:
        assert f"not written: writer '{name}': {tmp_path / 'new/odd.png'}: there is no place for it" in said
    assert len(written(tmp_path / "out")) == 8
    with pytest.raises(DataError) as raised:
        spread(Model(ungated_path), [str(tmp_path / "new")], Local(), out=tmp_path / "shares", writers=NAMES)
    assert all(f"writer '{name}'" in str(raised.value) for name in NAMES)


def test_shares_are_of_the_same_formats(
    ungated_path: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("predict", ungated_path, images, "--out")
    assert call(*words, tmp_path / "one", *BOTH) == 0
    assert call(*words, tmp_path / "1", "--shard", "1/2", *BOTH) == 0
    assert call(*words, tmp_path / "2", "--shard", "2/2", *BOTH[:2]) == 0
    assert call("merge", tmp_path / "1", tmp_path / "2", "--out", tmp_path / "many") == DataError.exit_code
    assert "another option writers" in capsys.readouterr().err
    assert call(*words, tmp_path / "2", "--shard", "2/2", "--overwrite", *BOTH[2:]) == 0  # in another order
    assert call("merge", tmp_path / "1", tmp_path / "2", "--out", tmp_path / "many") == 0
    assert written(tmp_path / "many") == written(tmp_path / "one")
    assert [[*row] for row in rows(tmp_path / "many")] == [[*row] for row in rows(tmp_path / "one")]
    assert call("merge", tmp_path / "1", tmp_path / "2", "--out", tmp_path / "many", "--overwrite") == 0
    assert written(tmp_path / "many") == written(tmp_path / "one"), "what was there went with its rows"


def test_what_was_begun_goes_on_with_the_same_formats_alone(
    ungated_path: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    model = Model(ungated_path, threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "merge", ended)
        with pytest.raises(KeyboardInterrupt):
            spread(model, [str(images)], Local(), out=tmp_path / "out", writers=NAMES)
    monkeypatch.setattr(module, "judge", None)  # all of it is finished
    for others in ((), NAMES[:1]):
        with pytest.raises(ConfigError, match="another option writers"):
            spread(model, [str(images)], Local(), out=tmp_path / "out", writers=others)
    spread(model, [str(images)], Local(), out=tmp_path / "out", writers=NAMES)
    assert len(written(tmp_path / "out")) == 8


def test_formats_come_back_from_a_store(ungated_path: Path, images: Path, tmp_path: Path) -> None:
    system = pytest.importorskip("fsspec").filesystem("memory")
    assert call("predict", ungated_path, images, "--out", tmp_path / "one", *BOTH) == 0
    try:
        for _ in range(2):  # the second finds all there
            assert call("predict", ungated_path, images, "--out", "memory://formats/lot", *BOTH) == 0
        assert call("predict", ungated_path, images, "--out", "memory://formats/lot", *BOTH[:2]) == 2
        assert call("merge", "memory://formats/lot", "--out", tmp_path / "many") == 0
    finally:
        system.rm("/formats", recursive=True)
    assert written(tmp_path / "many") == written(tmp_path / "one")


def test_each_format_needs_a_folder_and_to_be_there(
    ungated_path: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("predict", ungated_path, images, *BOTH) == 2
    assert "--write all_scores needs a folder" in capsys.readouterr().err
    for out in (str(tmp_path / "out"), "memory://formats/none"):
        assert call("predict", ungated_path, images, "--out", out, *BOTH, "--write", "all_score") == 5
        assert "Did you mean 'all_scores'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
