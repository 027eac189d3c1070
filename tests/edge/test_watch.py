"""A watched folder: each image inspected once, moved once, whatever happens in between."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from conftest import picture, save
from faults import Server
from needs import need

from anomalib_lite.edge import watch as watching
from anomalib_lite.edge.arrivals import identity
from anomalib_lite.edge.attempts import Attempts
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.destinations import free_place
from anomalib_lite.edge.journal import JOURNAL
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import DataError

VERDICTS = ("ok", "review", "ng", "error")


@pytest.fixture(scope="module")
def model(model_path: Path) -> Model:
    return Model(model_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def watcher(model: Model, folder: Path, settle: float = 0.0) -> Watcher:
    return Watcher(model, folder, settle=settle)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]


def places(folder: Path) -> Iterator[str]:
    """Where every file but the journal is, relative to the folder."""
    for path in folder.rglob("*"):
        if not path.is_dir() and path.name != JOURNAL:
            yield path.relative_to(folder).as_posix()


def run(model: Model, folder: Path) -> list[dict[str, Any]]:
    with watcher(model, folder) as one:
        return list(one.step())


def test_files_go_to_the_folder_of_their_verdict(model: Model, folder: Path) -> None:
    save(folder / "good.png", picture(2000))
    save(folder / "bad.png", picture(2000, defect=True))
    (folder / "text.png").write_text("hello")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".copying.png").write_bytes(b"half")
    found = run(model, folder)
    assert {row["moved_to"] for row in found} == {"ok/good.png", "ng/bad.png", "error/text.png"}
    assert found == rows(folder)
    assert set(places(folder)) == {"ok/good.png", "ng/bad.png", "error/text.png", "notes.txt", ".copying.png"}
    assert run(model, folder) == []


def test_the_same_result_as_inspecting_the_file(model: Model, folder: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture(1, defect=True))
    shutil.copy(path, folder)
    expected = model.inspect(path, name="a.png").row()
    (row,) = run(model, folder)
    different = {"time", "ms"}
    assert {key: value for key, value in row.items() if key in expected.keys() - different} == {
        key: value for key, value in expected.items() if key not in different
    }


def test_a_growing_file_is_left_alone_until_it_rests(model: Model, folder: Path) -> None:
    whole = save(folder.parent / "a.png", picture(1)).read_bytes()
    (folder / "a.png").write_bytes(whole[:100])
    with watcher(model, folder, settle=0.2) as one:
        assert list(one.step()) == []
        time.sleep(0.25)
        (folder / "a.png").write_bytes(whole)
        assert list(one.step()) == []
        time.sleep(0.25)
        assert [row["verdict"] for row in one.step()] == ["OK"]


def test_a_name_that_comes_again_is_numbered(model: Model, folder: Path) -> None:
    for _ in range(3):
        save(folder / "a.png", picture(2000))
        run(model, folder)
    assert set(places(folder)) == {"ok/a.png", "ok/a-2.png", "ok/a-3.png"}


def test_a_file_whose_row_is_written_is_moved_not_inspected_again(model: Model, folder: Path) -> None:
    save(folder / "a.png", picture(2000))
    run(model, folder)
    (folder / "ok/a.png").rename(folder / "a.png")  # as if killed between the row and the move
    assert run(model, folder) == rows(folder), "nobody was told of it before"
    assert list(places(folder)) == ["ok/a.png"]
    assert len(rows(folder)) == 1


def test_a_new_file_of_the_last_name_is_inspected(model: Model, folder: Path) -> None:
    """The last row's file was taken away by somebody; another part of that name must not inherit its verdict."""
    save(folder / "a.png", picture(2000))
    run(model, folder)
    (folder / "ok/a.png").unlink()
    save(folder / "a.png", picture(2000, defect=True))
    assert [row["verdict"] for row in run(model, folder)] == ["NG"]


def test_a_row_that_was_cut_off_is_written_anew(model: Model, folder: Path) -> None:
    save(folder / "a.png", picture(2000))
    run(model, folder)
    whole = (folder / JOURNAL).read_bytes()
    (folder / "ok/a.png").rename(folder / "a.png")
    for length in (1, len(whole) // 2, len(whole) - 1):
        (folder / JOURNAL).write_bytes(whole[:length])
        run(model, folder)
        assert len(rows(folder)) == 1
        (folder / "ok/a.png").rename(folder / "a.png")


def test_a_long_journal_is_taken_up_at_its_end(model: Model, folder: Path) -> None:
    save(folder / "a.png", picture(2000))
    run(model, folder)
    filler = json.dumps({"image": "x" * 5000}) + "\n"
    whole = (folder / JOURNAL).read_text()
    (folder / JOURNAL).write_text(filler * 50 + whole + '{"image": "cut off' + "y" * 200_000)
    (folder / "ok/a.png").rename(folder / "a.png")
    assert run(model, folder) == [json.loads(whole)]
    assert list(places(folder)) == ["ok/a.png"]
    assert (folder / JOURNAL).read_text() == filler * 50 + whole


def test_a_file_that_vanishes_leaves_no_row(model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between listing and opening, and between reading and moving."""
    save(folder / "a.png", picture(1))
    save(folder / "b.png", picture(2))
    inspect = Model.inspect

    def vanishing(self: Model, image: Any, **named: Any) -> Any:
        if named["name"] == "a.png":
            Path(image).unlink()
            return inspect(self, image, **named)
        result = inspect(self, image, **named)
        Path(image).unlink()
        return result

    monkeypatch.setattr(Model, "inspect", vanishing)
    assert run(model, folder) == []
    assert (folder / JOURNAL).read_text() == ""


def test_a_file_that_changes_while_it_is_read_is_read_again(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder / "a.png", picture(2000))
    inspect, calls = Model.inspect, []

    def changing(self: Model, image: Any, **named: Any) -> Any:
        calls.append(image)
        result = inspect(self, image, **named)
        if len(calls) == 1:
            save(Path(image), picture(2000, defect=True))
        return result

    monkeypatch.setattr(Model, "inspect", changing)
    with watcher(model, folder) as one:
        assert list(one.step()) == []
        found = [row["verdict"] for _ in range(2) for row in one.step()]
    assert found == ["NG"]


def test_a_pipe_a_link_and_a_folder_do_not_stop_it(model: Model, folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "dangling.png").symlink_to(folder / "nowhere")
    (folder / "folder.png").mkdir()
    save(folder / "good.png", picture(2000))
    found = {row["image"]: row["error_code"] for row in run(model, folder)}
    assert found == {"pipe.png": "unreadable", "dangling.png": "missing", "good.png": None}
    assert set(places(folder)) == {"error/pipe.png", "error/dangling.png", "ok/good.png"}


def test_names_that_are_no_unicode_are_kept(model: Model, folder: Path) -> None:
    save(folder / "a.png", picture(2000))
    (folder / "a.png").rename(folder / os.fsdecode(b"\xff\xfe.png"))
    (row,) = run(model, folder)
    assert os.fsencode(row["moved_to"]) == b"ok/\xff\xfe.png"
    assert [os.fsencode(path.name) for path in (folder / "ok").iterdir()] == [b"\xff\xfe.png"]


def test_one_process_watches_a_folder(model: Model, folder: Path) -> None:
    with watcher(model, folder), pytest.raises(DataError, match="another process"):
        watcher(model, folder).__enter__()
    run(model, folder)


def test_a_journal_that_makes_no_sense_leaves_the_folder_free(model: Model, folder: Path) -> None:
    (folder / JOURNAL).write_text("no row\n")
    with pytest.raises(DataError, match="no result row"):
        watcher(model, folder).__enter__()
    (folder / JOURNAL).write_text("")
    assert run(model, folder) == []


def test_a_folder_that_cannot_be_watched_is_said(model: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must exist and be writable"):
        watcher(model, tmp_path / "nowhere").__enter__()
    (tmp_path / "ok").write_text("in the way")
    with pytest.raises(DataError, match="must exist and be writable"):
        watcher(model, tmp_path).__enter__()


def watched(
    model: Model, folder: Path, said: list[str], each: Callable[[dict[str, Any]], None] = lambda row: None
) -> tuple[Event, Thread]:
    """A running watcher in a thread."""
    stop = Event()

    def work() -> None:
        with watcher(model, folder) as one:
            watching.watch(one, stop, each, said.append)

    thread = Thread(target=work)
    thread.start()
    return stop, thread


def wait(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_a_failing_move_is_tried_until_it_works_and_said_once(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target folder that is read-only: root can write to it all the same, so the refusal is made."""
    monkeypatch.setattr(watching, "PATIENCE", 0.05)
    rename, refused = Path.rename, [0]

    def refuse(self: Path, target: Path) -> Path:
        if refused[0] < 3:
            refused[0] += 1
            raise PermissionError(13, "Permission denied", str(self), None, str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    save(folder / "a.png", picture(2000))
    said: list[str] = []
    stop, thread = watched(model, folder, said)
    wait(lambda: (folder / "ok/a.png").exists())
    stop.set()
    thread.join()
    assert len(rows(folder)) == 1
    assert len(said) == 1
    assert "ok/a.png: Permission denied" in said[0]


def test_when_nobody_reads_the_rows_the_folder_is_watched_all_the_same(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 1000.0)
    said: list[str] = []
    given: list[str] = []

    def closed(row: dict[str, Any]) -> None:
        given.append(row["image"])
        raise BrokenPipeError(32, "Broken pipe")

    for number in range(3):
        save(folder / f"{number}.png", picture(2000 + number))
    stop, thread = watched(model, folder, said, closed)
    try:
        wait(lambda: len(list(folder.glob("ok/*.png"))) == 3)
    finally:
        stop.set()
        thread.join()
    assert len(rows(folder)) == 3
    assert given == ["0.png"]
    assert said == ["standard output is closed (Broken pipe): rows go to results.jsonl alone from here on."]


def test_a_full_disk_is_waited_out(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real file system of 128 kB: no row is cut off, no file is lost, and it goes on when there is room."""
    need(os.geteuid() == 0 and shutil.which("mount"), "mounting a small tmpfs takes root")
    monkeypatch.setattr(watching, "PATIENCE", 0.05)
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], capture_output=True)
    need(done.returncode == 0, "this machine does not allow mounting a tmpfs")
    try:
        run(model, disk)
        for number in range(6):
            save(disk / f"{number}.png", picture(2000 + number))
        with (disk / "filler").open("wb", buffering=0) as filler:
            for size in (4096, 512, 1):
                try:
                    while filler.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass
        said: list[str] = []
        stop, thread = watched(model, disk, said)
        wait(lambda: said)
        (disk / "filler").unlink()
        wait(lambda: len(list((disk / "ok").iterdir())) == 6)
        stop.set()
        thread.join()
        assert "No space left" in said[0]
        assert [row["image"] for row in rows(disk)] == [f"{number}.png" for number in range(6)]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class Killed(BaseException):
    """Nothing in the watcher may catch it, as nothing catches SIGKILL."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["row", "move"])
def test_killed_around_each_step_nothing_is_lost_or_done_twice(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, when: str
) -> None:
    """The moments between two system calls are too short to be hit by chance."""
    save(folder / "a.png", picture(2000))
    target, name = (os, "write") if call == "row" else (Path, "rename")
    real = getattr(target, name)

    def killed(*arguments: Any) -> Any:
        if when == "after":
            real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(target, name, killed)
        with pytest.raises(Killed):
            run(model, folder)
    run(model, folder)
    assert list(places(folder)) == ["ok/a.png"]
    assert [row["moved_to"] for row in rows(folder)] == ["ok/a.png"]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [20, pytest.param(400, marks=pytest.mark.benchmark)])
def test_killed_at_any_moment_every_file_has_one_place_and_one_row(model_path: Path, folder: Path, kills: int) -> None:
    """Each process is killed while it works: once some of the files were moved, however fast that is."""
    chance = random.Random(0)
    good, bad = (save(folder.parent / f"{kind}.png", picture(2000, defect=kind == "bad")) for kind in ("good", "bad"))
    server = Server()
    killed_at_work = 0

    def waiting() -> int:
        return sum(name.endswith(".png") for name in os.listdir(folder))  # noqa: PTH208

    arrived = 0
    for _ in range(kills):
        for _ in range(10):
            shutil.copy(chance.choice([good, bad]), folder / f".{arrived}")
            (folder / f".{arrived}").rename(folder / f"{arrived:05}.png")
            arrived += 1
        left = chance.randint(1, waiting())
        process = server.start("watch", model_path, folder, "--settle", "0", "--threads", "1")
        wait(lambda left=left: waiting() <= left)
        time.sleep(chance.uniform(0, 0.005))
        os.kill(process, signal.SIGKILL)
        assert server.receive() == -signal.SIGKILL
        killed_at_work += waiting() > 0
    shutil.copy(good, folder / f"{arrived:05}.png")  # what is gone before the process listens ends it by the signal
    arrived += 1
    process = server.start("watch", model_path, folder, "--settle", "0")
    wait(lambda: not waiting(), 120)
    os.kill(process, signal.SIGTERM)
    assert server.receive() == 0
    server.close()
    assert killed_at_work > kills / 2, "the kills came too late to prove anything"
    found = Counter(Path(place).name for place in places(folder))
    assert found == Counter(f"{number:05}.png" for number in range(arrived))
    assert Counter(row["image"] for row in rows(folder)) == found
    assert {row["moved_to"] for row in rows(folder)} == set(places(folder))


@pytest.mark.slow
def test_the_command_ends_on_sigterm_after_the_image_at_hand(model_path: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "anomalib_lite", "watch", str(model_path), str(folder), "--settle", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("watching")
    save(folder / "a.png", picture(2000, defect=True))
    wait(lambda: (folder / "ng/a.png").exists())
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert [json.loads(line) for line in out.splitlines()] == rows(folder)


def test_what_is_no_image_stays_and_is_told_of_once(model: Model, folder: Path) -> None:
    """By name, or by content where the name does not say it: no picture is passed over in silence."""
    save(folder / "a.png", picture(1)).rename(folder / "a")
    save(folder / "b.png", picture(2)).rename(folder / "b.gif")
    (folder / "c.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (folder / "README").write_text("read me")
    (folder / "notes.txt").write_text("a note")
    (folder / ".part.png").write_bytes(b"half")
    said: list[str] = []
    stop = Event()
    with watcher(model, folder, settle=0.1) as one:
        thread = Thread(target=watching.watch, args=(one, stop, lambda row: None, said.append))
        thread.start()
        wait(lambda: len(rows(folder)) == 3 and len(said) == 2)
        time.sleep(0.5)
        assert len(said) == 2
        (folder / "notes.txt").write_text("another note")
        time.sleep(0.5)
        stop.set()
        thread.join()
    assert said == [
        f"{name}: no image by its name or its content; it stays where it is." for name in ("README", "notes.txt")
    ]
    assert set(places(folder)) == {"ok/a", "ok/b.gif", "error/c.heic", "README", "notes.txt", ".part.png"}
    (heic,) = [row for row in rows(folder) if row["image"] == "c.heic"]
    assert "HEIC, which is not read here" in heic["error"]


KILLED = """
import os, sys
from pathlib import Path
from anomalib_lite.edge.arrivals import identity
from anomalib_lite.edge.attempts import Attempts
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
model, inspect = Model(sys.argv[1]), Model.inspect
def killed(self, image, **options):  # as the system kills what takes too much memory
    os.kill(os.getpid(), 9) if Path(image).name == "huge.png" else None
    return inspect(self, image, **options)
Model.inspect = killed
with Watcher(model, Path(sys.argv[2]), settle=0) as one:
    list(one.step())
"""


def test_what_ended_the_program_twice_is_set_aside_and_nothing_waits_behind_it(model_path: Path, folder: Path) -> None:
    save(folder / "huge.png", picture(0))
    for number in range(3):
        save(folder / f"{number}.png", picture(number))

    def start() -> int:
        return subprocess.run([sys.executable, "-c", KILLED, str(model_path), str(folder)], check=False).returncode

    assert start() == -signal.SIGKILL
    assert start() == -signal.SIGKILL
    assert [row["image"] for row in rows(folder)] == ["0.png", "1.png", "2.png"]  # they did not wait
    assert start() == 0
    last = rows(folder)[-1]
    assert (last["image"], last["verdict"], last["error_code"]) == ("huge.png", "ERROR", "internal")
    assert "ended twice" in last["error"]
    assert set(places(folder)) == {"error/huge.png", *(f"ok/{number}.png" for number in range(3))}
    save(folder / "huge.png", picture(0))  # another file of that name is tried anew
    assert start() == -signal.SIGKILL


def test_attempts_are_counted_for_the_same_file_alone(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    with attempts.counted("a.png", "1") as attempt:
        assert attempt == 1
    begun = attempts.counted("a.png", "1")
    begun.__enter__()
    left = (tmp_path / ".attempts.json").read_bytes()
    for file, number in (("1", 2), ("2", 1)):
        (tmp_path / ".attempts.json").write_bytes(left)
        assert Attempts(tmp_path).number("a.png") == 1
        with Attempts(tmp_path).counted("a.png", file) as attempt:
            assert attempt == number
    for damaged in (b"", b"[", b"[1]", b'{"a": 1}', b"\xff", b'{"a": ["x", []]}'):
        (tmp_path / ".attempts.json").write_bytes(damaged)
        assert Attempts(tmp_path).number("a.png") == 0


def test_a_disk_that_takes_no_attempt_is_no_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(tmp_path)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for _ in range(3):
        with pytest.raises(OSError, match="No space"), attempts.counted("a.png", "1"):
            pass
        assert attempts.number("a.png") == 0


# ---- one file, one folder or the journal stands in the way


LONG = {
    "plain": "x" * 251 + ".png",
    "umlauts": "ä" * 125 + "x.png",
    "no utf-8": os.fsdecode(b"\xff" * 251 + b".png"),
    "no suffix": "x" * 255,
}


@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_the_longest_name_may_come_again(name: str, model: Model, folder: Path) -> None:
    for number in range(4):
        save(folder / "new.png", picture(2000)).rename(folder / name)
        save(folder / f"{number}.png", picture(2001))
        assert len(run(model, folder)) == 2
    found = rows(folder)
    assert {row["moved_to"] for row in found} == set(places(folder))
    assert len(set(places(folder))) == 8
    longest = [place.removeprefix("ok/") for place in places(folder) if len(place) > 20]
    assert all(len(os.fsencode(one)) <= 255 for one in longest)
    if name.isprintable():
        assert all(one.isprintable() for one in longest), "half a letter"


def test_a_name_that_all_files_have_is_not_counted_from_one_each_time(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "ok").mkdir()
    for number in range(5000):
        (folder / f"ok/a-{number}.png").touch()
    (folder / "ok/a.png").touch()
    asked: list[object] = []
    lexists = os.path.lexists

    def counted(path: Path) -> bool:
        asked.append(path)
        return lexists(path)

    monkeypatch.setattr(os.path, "lexists", counted)
    assert free_place(folder, Verdict.OK, "a.png") == "ok/a-5000.png"
    assert len(asked) < 50


def in_the_way(folder: Path) -> None:
    (folder / "ok").rmdir()
    (folder / "ok").write_text("a file")


def removed(folder: Path) -> None:
    (folder / "ok").rmdir()


def test_a_folder_that_was_removed_is_made_again(model: Model, folder: Path) -> None:
    with watcher(model, folder) as one:
        removed(folder)
        save(folder / "a.png", picture(2000))
        assert [row["moved_to"] for row in one.step()] == ["ok/a.png"]
    assert list(places(folder)) == ["ok/a.png"]


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names that cannot be moved, as those of another user in a folder with the sticky bit."""
    names = {"stuck.png"}
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name in names:
            raise PermissionError(1, "Operation not permitted", str(self), None, str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(watching, "PATIENCE", 0.0)
    return names


def test_nothing_waits_behind_a_file_that_cannot_be_moved(model: Model, folder: Path, stuck: set[str]) -> None:
    for name in ("stuck.png", "a.png", "b.png"):
        save(folder / name, picture(2000))
    with watcher(model, folder) as one:
        assert [row["image"] for row in one.step()] == ["stuck.png", "a.png", "b.png"]
        (said,) = one.remarks()
        assert said.startswith("stuck.png: cannot be moved to ok/stuck.png: Operation not permitted. Its row")
        save(folder / "c.png", picture(2000))
        assert [row["image"] for row in one.step()] == ["c.png"]
        assert one.remarks() == []
    with watcher(model, folder) as one:  # of another process
        assert list(one.step()) == []
        stuck.clear()
        assert list(one.step()) == []
    assert set(places(folder)) == {f"ok/{name}.png" for name in ("stuck", "a", "b", "c")}
    assert Counter(row["image"] for row in rows(folder)) == Counter(["stuck.png", "a.png", "b.png", "c.png"])


def test_another_file_of_the_name_of_one_that_cannot_be_moved_is_judged(
    model: Model, folder: Path, stuck: set[str]
) -> None:
    save(folder / "stuck.png", picture(2000))
    with watcher(model, folder) as one:
        list(one.step())
        (folder / "stuck.png").unlink()
        save(folder / "stuck.png", picture(2000, defect=True))
        assert [row["verdict"] for row in one.step()] == ["NG"]
        stuck.clear()
        list(one.step())
    assert list(places(folder)) == ["ng/stuck.png"]


def test_a_verdict_whose_folder_is_a_file_holds_up_no_other(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 0.0)
    with watcher(model, folder) as one:
        in_the_way(folder)
        save(folder / "a.png", picture(2000))
        save(folder / "bad.png", picture(2000, defect=True))
        assert {row["image"] for row in one.step()} == {"a.png", "bad.png"}
        assert len(one.remarks()) == 1
        assert set(places(folder)) == {"ok", "a.png", "ng/bad.png", ".unmoved.jsonl"}
        (folder / "ok").unlink()
        list(one.step())
    assert set(places(folder)) == {"ok/a.png", "ng/bad.png"}


def test_folders_of_verdicts_may_lie_on_another_disk(model: Model, folder: Path) -> None:
    need(os.geteuid() == 0 and shutil.which("mount"), "mounting a small tmpfs takes root")
    (folder / "ok").mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder / "ok")], capture_output=True)
    need(done.returncode == 0, "this machine does not allow mounting a tmpfs")
    try:
        save(folder / "a.png", picture(2000))
        assert [row["moved_to"] for row in run(model, folder)] == ["ok/a.png"]
        assert [path.name for path in (folder / "ok").iterdir()] == ["a.png"]
        assert not (folder / "a.png").exists()
    finally:
        subprocess.run(["umount", str(folder / "ok")], check=True)


def deleted(journal: Path) -> None:
    journal.unlink()


def rotated(journal: Path) -> None:
    journal.rename(journal.with_name("results.jsonl.1"))


def rotated_anew(journal: Path) -> None:
    rotated(journal)
    journal.write_text("")


def cut(journal: Path) -> None:
    journal.write_text("")


@pytest.mark.parametrize("happens", [deleted, rotated, rotated_anew, cut])
def test_a_journal_that_is_taken_away_is_begun_anew(
    happens: Callable[[Path], None], model: Model, folder: Path
) -> None:
    with watcher(model, folder) as one:
        save(folder / "a.png", picture(2000))
        list(one.step())
        happens(folder / JOURNAL)
        with pytest.raises(DataError, match="another process"):
            watcher(model, folder).__enter__()
        save(folder / "b.png", picture(2000))
        assert [row["image"] for row in one.step()] == ["b.png"]
        assert [row["image"] for row in rows(folder)] == ["b.png"]
    if happens in (rotated, rotated_anew):
        assert len((folder / "results.jsonl.1").read_text().splitlines()) == 1


def test_a_folder_that_takes_the_place_of_the_watched_one_is_locked_anew(model: Model, folder: Path) -> None:
    with watcher(model, folder) as one:
        list(one.step())
        folder.rename(folder.with_name("before"))
        folder.mkdir()
        save(folder / "a.png", picture(2000))
        assert [row["moved_to"] for row in one.step()] == ["ok/a.png"]
        with pytest.raises(DataError, match="another process"):
            watcher(model, folder).__enter__()


def test_nothing_is_written_through_a_link_that_somebody_planted(model: Model, folder: Path) -> None:
    victim = folder.parent / "victim"
    victim.write_text("mine\n")
    (folder / ".unmoved.jsonl").symlink_to(victim)
    (folder / ".attempts.json").symlink_to(victim)
    save(folder / "a.png", picture(2000))
    assert len(run(model, folder)) == 1
    os.link(victim, folder / ".attempts.json")
    save(folder / "a.png", picture(2000))
    assert len(run(model, folder)) == 1
    (folder / JOURNAL).unlink()
    (folder / JOURNAL).symlink_to(victim)
    with pytest.raises(DataError, match=r"results\.jsonl: is a link"):
        watcher(model, folder).__enter__()
    assert victim.read_text() == "mine\n"


@pytest.mark.parametrize("place", ["../outside/a.png", "/tmp/a.png", "ok/../../a.png", "elsewhere/a.png", ""])
@pytest.mark.parametrize("file", [JOURNAL, ".unmoved.jsonl"])
def test_a_row_that_leads_out_of_the_folder_moves_nothing(file: str, place: str, model: Model, folder: Path) -> None:
    save(folder / "a.png", picture(2000))
    told = {"image": "a.png", "file": identity(folder / "a.png"), "verdict": "OK", "moved_to": place}
    (folder / file).write_text(json.dumps(told) + "\n")
    assert [row["moved_to"] for row in run(model, folder)] == ["ok/a.png"]


def test_rows_that_a_killed_process_did_not_tell_are_told_by_the_next(model_path: Path, folder: Path) -> None:
    save(folder / "a.png", picture(2000))
    with watcher(Model(model_path), folder) as one:
        list(one.step())
    (folder / "ok/a.png").rename(folder / "a.png")
    command = [sys.executable, "-m", "anomalib_lite", "watch", str(model_path), str(folder), "--settle", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait(lambda: (folder / "ok/a.png").exists())
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert [json.loads(line) for line in out.splitlines()] == rows(folder)
