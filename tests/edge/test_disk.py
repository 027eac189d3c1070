"""Whole or not at all: whatever fails while something is written leaves what was there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


def test_a_folder_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    disk.write_folder(folder, {"a": b"1", "b/c": b"2"})
    disk.write_folder(folder, {"b/d": b"3"})
    assert [one.relative_to(folder).as_posix() for one in sorted(folder.rglob("*"))] == ["b", "b/d"]
    assert list(tmp_path.iterdir()) == [folder]
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        disk.write_folder(folder, {"e": b"4"})
    assert (folder / "b/d").read_bytes() == b"3"


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
