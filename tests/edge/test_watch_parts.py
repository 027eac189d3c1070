"""A watched folder in which parts are decided on: once, by all their photographs, which move together."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import call, picture, save

from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.following import Following
from anomalib_lite.edge.gathering import Gathering
from anomalib_lite.edge.journal import JOURNAL
from anomalib_lite.edge.manifest import Per
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import ConfigError

GROUP = r"part(\d+)"
Rows = list[dict[str, Any]]


def of(model_path: Path, per: Per) -> Model:
    """The tests' model, as if it were calibrated on such units."""
    loaded, model = bundle.load(model_path), Model(model_path)
    manifest = replace(loaded.manifest, calibration=replace(loaded.manifest.calibration, per=per))
    return Model.around(Bundle(loaded.path, manifest, loaded.model_id, {}), model.intake, model.runtime)


@pytest.fixture(scope="module")
def median(model_path: Path) -> Model:
    return of(model_path, "part-median")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def photograph(folder: Path, part: int, number: int, *, defect: bool = False) -> Path:
    return save(folder / f"part{part}_{number}.png", picture(2000 + 10 * part + number, defect=defect))


def watcher(model: Model, folder: Path, photographs: int = 3, timeout: float = 60.0) -> Watcher:
    return Watcher(model, folder, settle=0.0, gathering=Gathering(GROUP, photographs, timeout))


def run(model: Model, folder: Path, photographs: int = 3, timeout: float = 60.0) -> Rows:
    with watcher(model, folder, photographs, timeout) as one:
        return list(one.step())


def rows(folder: Path) -> Rows:
    return [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]


def places(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}


def part_rows(found: Rows) -> Rows:
    return [row for row in found if "image" not in row]


def test_a_part_is_decided_once_all_its_photographs_are_there_and_they_move_together(
    median: Model, folder: Path
) -> None:
    with watcher(median, folder) as one:
        photograph(folder, 1, 0, defect=True)
        photograph(folder, 1, 1)
        assert list(one.step()) == []
        photograph(folder, 1, 2)
        photograph(folder, 2, 0, defect=True)
        found = list(one.step())
        assert [row["verdict"] for row in found] == ["NG", "OK", "OK", "OK"], "the last one is the median's"
        photograph(folder, 2, 1, defect=True)
        photograph(folder, 2, 2)
        found += one.step()
    assert found == rows(folder)
    assert places(folder) == {f"{place}/part{part}_{i}.png" for part, place in ((1, "ok"), (2, "ng")) for i in range(3)}
    first, second = part_rows(found)
    assert (first["part"], first["photographs"], second["verdict"]) == ("1", 3, "NG")
    shots = sorted((folder / "ng").iterdir())
    expected = median.inspect_part(shots, part="2").row()
    assert {key: second[key] for key in ("score", "p_value", "verdict")} == {
        key: expected[key] for key in ("score", "p_value", "verdict")
    }
    assert {row["part_verdict"] for row in found[4:7]} == {"NG"}


@pytest.mark.parametrize("per", ["part", "part-median", "part-mean"])
def test_a_part_that_lacks_photographs_is_never_ok(per: Per, model_path: Path, folder: Path) -> None:
    photograph(folder, 1, 0)
    photograph(folder, 1, 1)
    model = of(model_path, per)
    assert run(model, folder) == []
    (part,) = part_rows(run(model, folder, timeout=0.0))
    assert (part["verdict"], part["error_code"], part["score"]) == ("ERROR", "incomplete_part", None)
    assert part["error"] == "1: 2 of 3 photographs arrived, and no other for 0 s"
    assert places(folder) == {"error/part1_0.png", "error/part1_1.png"}


def test_a_photograph_too_many_is_never_ok(median: Model, folder: Path) -> None:
    for number in range(4):
        photograph(folder, 1, number)
    (part,) = part_rows(run(median, folder))
    assert (part["error_code"], part["error"]) == ("incomplete_part", "1: 4 photographs, expected 3")
    assert places(folder) == {f"error/part1_{number}.png" for number in range(4)}
    for number in range(3):
        photograph(folder, 2, number)
    assert part_rows(run(median, folder))[0]["verdict"] == "OK"
    photograph(folder, 2, 3)
    assert run(median, folder) == [], "it waits, for a part may come again"
    assert part_rows(run(median, folder, timeout=0.0))[0]["error_code"] == "incomplete_part"


def test_the_same_file_twice_is_one_photograph(median: Model, folder: Path) -> None:
    first = photograph(folder, 1, 0)
    photograph(folder, 1, 1)
    shutil.copy(first, folder / "part1_2.png")
    (part,) = part_rows(run(median, folder))
    assert part["error"] == "part1_0.png and part1_2.png are the same file: a photograph of the part lacks"


def test_a_name_without_a_part_is_an_error_and_holds_up_nothing(median: Model, folder: Path) -> None:
    save(folder / "camera.png", picture(2000))
    for number in range(3):
        photograph(folder, 1, number)
    found = run(median, folder)
    assert found[0]["error"] == "camera.png: the pattern of --group finds no part in this name"
    assert (found[0]["verdict"], found[0]["error_code"]) == ("ERROR", "incomplete_part")
    assert places(folder) == {"error/camera.png", *(f"ok/part1_{number}.png" for number in range(3))}


def test_a_photograph_that_cannot_be_measured_makes_the_part_an_error(median: Model, folder: Path) -> None:
    photograph(folder, 1, 0)
    photograph(folder, 1, 1)
    (folder / "part1_2.png").write_text("no image")
    found = run(median, folder)
    assert [row["verdict"] for row in found] == ["OK", "OK", "ERROR", "ERROR"]
    assert places(folder) == {f"error/part1_{number}.png" for number in range(3)}


def test_a_part_waits_for_a_photograph_that_is_still_written(
    median: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [photograph(folder, 1, number) for number in range(4)]
    written = {paths[3]}
    monkeypatch.setattr("anomalib_lite.edge.arrivals.being_written", lambda path: path in written)
    with watcher(median, folder) as one:
        assert list(one.step()) == [], "three would do, but a fourth is coming"
        written.clear()
        assert part_rows(list(one.step()))[0]["error"] == "1: 4 photographs, expected 3"


class Killed(BaseException):
    """Nothing in the watcher may catch it, as nothing catches SIGKILL."""


@pytest.mark.parametrize("when", ["before", "after", "within"])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("operation", ["row", "move"])
def test_killed_around_each_step_nothing_is_lost_or_judged_twice(
    median: Model, folder: Path, monkeypatch: pytest.MonkeyPatch, operation: str, number: int, when: str
) -> None:
    """Within: after so many of the rows, or at so many of the moves."""
    for place in range(3):
        photograph(folder, 1, place, defect=True)
    journal, moves = folder / JOURNAL, 0
    real_write, real_rename = os.write, Path.rename

    def write(descriptor: int, line: Any) -> int:
        if not journal.exists() or not os.path.samestat(os.fstat(descriptor), journal.stat()):
            return real_write(descriptor, line)
        whole = bytes(line)
        written = {"before": b"", "after": whole, "within": b"\n".join(whole.split(b"\n", number)[:number]) + b"\n{"}
        real_write(descriptor, written[when])
        raise Killed

    def rename(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == number and when != "after":
            raise Killed
        moved = real_rename(self, target)
        if moves == number:
            raise Killed
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "write", write) if operation == "row" else (Path, "rename", rename)))
        with pytest.raises(Killed):
            run(median, folder)
    told = run(median, folder)
    assert places(folder) == {f"ng/part1_{place}.png" for place in range(3)}
    found = rows(folder)
    assert len(found) == 4
    assert [row["verdict"] for row in part_rows(found)] == ["NG"]
    assert told == ([] if (operation, number, when) == ("move", 3, "after") else found)


def test_rows_of_parts_do_not_count_for_drift(median: Model, folder: Path) -> None:
    for part in range(3):
        photograph(folder, part, 0)
        photograph(folder, part, 1)
    run(median, folder, photographs=2)
    following = Following.of(median.bundle.manifest, median.model_id, GROUP)
    for row in rows(folder):
        following.add(row)
    assert following.drift.parts == 3


def test_models_and_options_that_do_not_go_together_are_refused(
    model_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="leave out --photographs"):
        watcher(of(model_path, "photograph"), folder)
    for words, said in (
        (["--photographs", "3"], "--photographs needs --group REGEX"),
        (["--part-timeout", "3"], "--part-timeout is about parts"),
        (["--photographs", "3", "--group", "part"], "has no parentheses around the part"),
        (["--photographs", "3", "--group", GROUP, "--part-timeout", "inf"], "--part-timeout inf: expected a number"),
    ):
        assert call("watch", model_path, folder, *words) == 2
        assert said in capsys.readouterr().err


def test_an_unmoved_photograph_of_a_part_is_moved_later(
    median: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(3):
        photograph(folder, 1, place)
    real = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "part1_1.png":
            raise PermissionError(1, "Operation not permitted", str(self))
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        assert len(run(median, folder)) == 4
    assert places(folder) == {"part1_1.png", "ok/part1_0.png", "ok/part1_2.png"}
    assert run(median, folder, timeout=0.0) == [], "it is judged, and only to be moved"
    assert places(folder) == {f"{Verdict.OK.lower()}/part1_{place}.png" for place in range(3)}
