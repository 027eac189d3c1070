"""Whole or not at all: whatever fails while something is written leaves what was there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import need

from anomalib_lite.edge import disk


def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_is_replaced_whole_with_the_users_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk.write(path, b"old")
    disk.write(path, b"new")
    assert path.read_bytes() == b"new"
    (tmp_path / "plain").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "plain"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "file"
    disk.write(path, b"old")
    monkeypatch.setattr(os if broken == "fsync" else Path, broken, fail)
    with pytest.raises(OSError, match="No space"):
        disk.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk.write(path, b"old")

    def interrupted() -> None:
        with disk.replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_of_temporary_files_cannot_be_foreseen(tmp_path: Path) -> None:
    """Nobody can plant a link that another file is written through."""
    names = {disk._beside(tmp_path / "x").name for _ in range(100)}
    assert len(names) == 100


ALL = ("a", "b/c", "b/d")


def files(folder: Path) -> list[str]:
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if not one.is_dir())


@pytest.fixture(params=["exchange", "two renames"])
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As Linux does it, and as systems do that exchange no names."""
    if request.param == "two renames":
        monkeypatch.setattr(sys, "platform", "darwin")
    return str(request.param)


def test_a_folder_is_replaced_whole(exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    disk.write_folder(folder, {"a": b"1", "b/c": b"2"})
    disk.write_folder(folder, {"b/d": b"3"}, lambda path: ALL)
    assert files(folder) == ["b/d"]
    assert list(tmp_path.iterdir()) == [folder]
    monkeypatch.setattr(os if exchange == "exchange" else Path, "fsync" if exchange == "exchange" else "rename", fail)
    with pytest.raises(OSError, match="No space"):
        disk.write_folder(folder, {"e": b"4"}, lambda path: ALL)
    assert files(tmp_path) == ["model/b/d"]
    assert (folder / "b/d").read_bytes() == b"3"


def test_what_came_into_a_folder_meanwhile_is_kept(exchange: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    disk.write_folder(folder, {"a": b"1"})

    def arriving(path: Path) -> tuple[str, ...]:
        (path / "notes.txt").write_text("mine")
        return ALL

    disk.write_folder(folder, {"a": b"2"}, arriving)
    assert files(tmp_path) == ["model.old/notes.txt", "model/a"]
    disk.write_folder(folder, {"a": b"3"}, lambda path: ALL) if exchange == "exchange" else None
    assert (tmp_path / "model.old/notes.txt").read_text() == "mine"


def test_a_folder_beside_it_that_is_called_old_is_somebody_s(exchange: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    disk.write_folder(folder, {"a": b"1"})
    (tmp_path / "model.old").mkdir()
    (tmp_path / "model.old/notes.txt").write_text("mine")
    if exchange == "exchange":
        disk.write_folder(folder, {"a": b"2"}, lambda path: ALL)
    else:
        with pytest.raises(FileExistsError, match="in the way"):
            disk.write_folder(folder, {"a": b"2"}, lambda path: ALL)
    assert files(tmp_path) == ["model.old/notes.txt", "model/a"]
    assert (folder / "a").read_bytes() == (b"2" if exchange == "exchange" else b"1")


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    disk.write_folder(tmp_path / "model-1", {"a": b"1"})
    (tmp_path / "model").symlink_to("model-1")
    disk.write_folder(tmp_path / "model", {"a": b"2"}, lambda path: ALL)
    assert (tmp_path / "model").is_symlink()
    assert (tmp_path / "model-1/a").read_bytes() == b"2"
    assert len(list(tmp_path.iterdir())) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from anomalib_lite.edge import disk
if sys.argv[2] == "file":
    with disk.replacing(Path(sys.argv[1])) as file:
        file.write(bytes(1000))
        print("half", flush=True)
        sys.stdin.read()
os.fsync = lambda descriptor: (print("half", flush=True), sys.stdin.read())
disk.write_folder(Path(sys.argv[1]), {"a": bytes(1000)})
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_goes_with_the_next(kind: str, tmp_path: Path) -> None:
    """And what a process is still at work on does not; nor what is called nearly so, or is a link."""
    need(os.name == "posix", "the system has no such locks")
    target = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(target), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    (tmp_path / ".anomalib-lite-mine.tmp").write_text("mine")
    (tmp_path / "victim").write_text("mine")
    (tmp_path / ".anomalib-lite-0123456789abcdef.tmp").symlink_to("victim")
    kept = {".anomalib-lite-mine.tmp", "victim", ".anomalib-lite-0123456789abcdef.tmp", "another"}
    disk.write(tmp_path / "another", b"")
    assert len({one.name for one in tmp_path.iterdir()} - kept) == 1
    process.kill()
    process.communicate()
    disk.write_folder(tmp_path / "third", {"a": b""})
    assert {one.name for one in tmp_path.iterdir()} == {*kept, "third"}


def test_a_file_moves_to_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"content")
    os.utime(source, ns=(1, 10**18))

    def elsewhere(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", elsewhere)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            disk.move(source, target)
    assert files(tmp_path) == ["a"]
    disk.move(source, target)
    assert files(tmp_path) == ["b"]
    assert (target.read_bytes(), target.stat().st_mtime_ns) == (b"content", 10**18)


def test_a_line_is_appended_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open(tmp_path / "lines", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        disk.append(descriptor, b"one\n", sync=True)
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            disk.append(descriptor, b"two\n", sync=True)
        disk.append(descriptor, b"three\n")
    finally:
        os.close(descriptor)
    assert (tmp_path / "lines").read_bytes() == b"one\nthree\n"
