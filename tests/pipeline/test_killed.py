"""Killed at any moment, and with a full disk at any operation: what was there stays, or what is new is whole."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import SIZE, call, picture, save
from faults import Server, faults, full_from
from needs import need

from anomalib_lite.edge import bundle
from anomalib_lite.edge.disk import UNFINISHED
from anomalib_lite.edge.manifest import Manifest
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import DataError

SIZES = ["--set", f"image.height={SIZE}", "--set", f"image.width={SIZE}"]
Words = list[str | Path]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    need(hasattr(os, "fork"), "this system does not fork")
    one = Server()
    yield one
    one.close()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good images of other parts than those of the training."""
    folder = tmp_path_factory.mktemp("fresh")
    for part in range(50, 60):
        save(folder / f"part{part}.png", picture(100 * part))
    return folder


class Place:
    """A folder with a model, its export, and files of somebody else beside them."""

    def __init__(self, root: Path, model: Path, parts: Path, fresh: Path) -> None:
        self.root, self.parts, self.fresh = root, parts, fresh
        shutil.copytree(model, root / "model")
        shutil.copytree(model, root / "export")
        bundle.write(root / "part.zip", *self._contents(model))
        for name in ("notes.txt", "model.old/notes.txt"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text("mine")

    @staticmethod
    def _contents(model: Path) -> tuple[Manifest, dict[str, bytes]]:
        loaded = bundle.load(model)
        return loaded.manifest, {name: loaded.read(name) for name in loaded.manifest.files}

    def words(self, command: str) -> Words:
        model, group = self.root / "model", ["--group", r"part(\d+)"]
        words: dict[str, Words] = {
            "calibrate": ["calibrate", model, self.fresh, *group],
            "export": ["export", model, "--out", self.root / "export", "--overwrite"],
            "export zip": ["export", model, "--out", self.root / "part.zip", "--overwrite"],
            "train": ["train", "gauss", self.parts, "--out", model, "--overwrite", *SIZES, *group],
            "predict": ["predict", model, self.fresh, "--out", self.root / "out", "--overwrite", "--heatmaps"],
            "evaluate": ["evaluate", model, self.parts, "--out", self.root / "out", "--overwrite"],
        }
        return words[command]

    def check(self) -> None:
        """Every model is whole, and nobody's file is gone."""
        for name in ("model", "export", "part.zip"):
            bundle.load(self.root / name)
        for name in ("notes.txt", "model.old/notes.txt"):
            assert (self.root / name).read_text() == "mine"

    def names(self) -> set[str]:
        """What lies in the folder but for what unfinished work left."""
        return {path.name for path in self.root.iterdir() if not UNFINISHED.fullmatch(path.name)}

    def unfinished(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if UNFINISHED.fullmatch(path.name)]


@pytest.fixture
def place(tmp_path: Path, model_path: Path, parts: Path, fresh: Path) -> Place:
    return Place(tmp_path, model_path, parts, fresh)


def operations(words: Words) -> int:
    """How many operations on files a command takes."""
    with faults(lambda operation, number: None) as done:
        assert call(*words) == 0
    return len(done)


def some_of(total: int, share: int) -> list[int]:
    """All numbers from 1 to the total, or so many of them, evenly."""
    return list(range(1, total + 1, max(1, total // share) if share else 1))


FEW, EVERY = 8, 0
COMMANDS = ("calibrate", "export", "export zip", "predict", "evaluate", "train")
SHORT = [(command, EVERY if command == "export zip" else FEW) for command in COMMANDS]
WHOLE = [pytest.param(command, EVERY, marks=pytest.mark.benchmark) for command in COMMANDS]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "share"), [*SHORT, *WHOLE])
def test_a_disk_that_is_full_from_the_nth_operation_on(
    command: str, share: int, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = place.words(command)
    total = operations(words)
    place.check()
    capsys.readouterr()
    for number in some_of(total, share):
        with faults(full_from(number)):
            code = call(*words)
        said = capsys.readouterr().err
        assert code in (0, 2, 3, 4), (number, said)
        assert code == 0 or "No space left" in said, (number, said)
        place.check()
        assert place.unfinished() == [], number
        rows_are_whole(place.root / "out")
    assert call(*words) == 0
    place.check()


@pytest.mark.slow
@pytest.mark.parametrize(("command", "share"), [*SHORT, *WHOLE])
def test_killed_before_the_nth_operation(command: str, share: int, place: Place, server: Server) -> None:
    words = place.words(command)
    total = operations(words)
    before = place.names() | {"out"}
    for number in some_of(total, share):
        code = server.run(*words, number=number)
        assert code in (-signal.SIGKILL, 0), number
        place.check()
        assert place.names() <= before | {"model.partial"}
        rows_are_whole(place.root / "out")
    assert call(*words) == 0
    place.check()
    assert place.names() <= before
    assert place.unfinished() == []


def rows_are_whole(folder: Path) -> None:
    """Of both files, the last row of JSON apart, whose place on the disk was never confirmed."""
    if (folder / "results.jsonl").exists():
        lines = (folder / "results.jsonl").read_text().splitlines()
        assert all(json.loads(line) for line in lines)
        with (folder / "results.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert abs(len(rows) - len(lines)) <= 1
        assert all(None not in row.values() for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "kills"),
    [
        ("calibrate", 10),
        ("export", 10),
        ("train", 5),
        *(pytest.param(one, 200, marks=pytest.mark.benchmark) for one in ("calibrate", "export", "train")),
    ],
)
def test_killed_at_a_random_moment(command: str, kills: int, place: Place, server: Server) -> None:
    """Of operations and between them, however fast the machine is."""
    chance, words, before = random.Random(0), place.words(command), place.names()
    total, killed = operations(words), 0
    for turn in range(kills):
        number, seconds = chance.randint(1, total), chance.uniform(0, 0.01) if turn % 2 else 0.0
        killed += server.run(*words, number=number, seconds=seconds) == -signal.SIGKILL
        place.check()
        assert place.names() <= before | {"model.partial"}
        assert len(place.unfinished()) <= 2, "each process removes what the one before left"
    assert killed > kills / 2, "the kills came too late to prove anything"
    assert server.run(*words) == 0
    place.check()
    assert place.names() == before
    assert place.unfinished() == []


@pytest.mark.slow
def test_watch_with_a_disk_that_is_full_from_the_nth_operation_on(model_path: Path, tmp_path: Path) -> None:
    model = Model(model_path)

    def watched(folder: Path, act: Callable[[str, int], None]) -> int:
        """Two images judged by a watcher; after the fault by another one."""
        folder.mkdir()
        for name in ("a.png", "b.png"):
            save(folder / name, picture(2000))
        with faults(act) as done, contextlib.suppress(OSError, DataError), Watcher(model, folder, settle=0.0) as one:
            list(one.step())
        with Watcher(model, folder, settle=0.0) as one:
            list(one.step())
            list(one.step())
        rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        assert sorted(row["image"] for row in rows) == ["a.png", "b.png"]
        assert sorted(path.name for path in folder.rglob("*.png")) == ["a.png", "b.png"]
        assert {row["moved_to"] for row in rows} == {"ok/a.png", "ok/b.png"}
        assert all((folder / row["moved_to"]).is_file() for row in rows)
        return len(done)

    total = watched(tmp_path / "counted", lambda operation, number: None)
    assert total > 10
    for number in range(1, total + 1):
        watched(tmp_path / str(number), full_from(number))
