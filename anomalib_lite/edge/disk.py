"""Writes to disk whole or not at all: a crash, a kill or a full disk leaves what was there before."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".tmp"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place, synced, once the block has ended without an error.

    Raises:
        OSError: The disk does not take it. Nothing is changed then.
    """
    temporary = _beside(path)
    try:
        with temporary.open("xb") as file:  # made anew: no link that was planted there is followed
            yield file
            _sync(file)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write(path: Path, content: bytes) -> None:
    """Write a file, replacing what is there.

    Raises:
        OSError: As `replacing`.
    """
    with replacing(path) as file:
        file.write(content)


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder of files, replacing what is there: an old folder is renamed to NAME.old first, and removed last.

    Args:
        path: The folder.
        contents: Relative names to contents.

    Raises:
        OSError: The disk does not take it. Nothing is changed then.
    """
    temporary = _beside(path)
    temporary.mkdir()
    try:
        for name, content in contents.items():
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write(content)
                _sync(file)
        for folder in {(temporary / name).parent for name in contents}:
            sync_folder(folder)
        _take_the_place(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def append(descriptor: int, line: bytes, *, sync: bool = False) -> None:
    """Append a whole line to an open file, or nothing of it; with `sync`, it is on the disk afterwards.

    Raises:
        OSError: The disk does not take it.
    """
    before = os.fstat(descriptor).st_size
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if sync:
            os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def sync_folder(folder: Path) -> None:
    """Let the disk know what a folder holds, where the system can."""
    with contextlib.suppress(OSError, PermissionError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_the_place(temporary: Path, path: Path) -> None:
    old = path.with_name(path.name + ".old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A name in the same folder that nobody has, or can foresee."""
    return path.with_name(f".{secrets.token_hex(8)}{SUFFIX}")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
