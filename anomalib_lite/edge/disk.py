"""Writes to disk whole or not at all: a crash, a kill or a full disk leaves what was there before.

What is not whole yet has a name of its own, and is locked for as long as a process is at work on it. What no process
has locked was left by one that was killed: it goes with the next that writes beside it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from anomalib_lite.edge import locks

UNFINISHED = re.compile(r"\.anomalib-lite-[0-9a-f]{16}\.tmp")
HERE, EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place once the block has ended without an error.

    Args:
        path: The file.
        sync: Whether it is on the disk afterwards, and not with the system alone.

    Raises:
        OSError: The disk does not take it. Nothing is changed then.
    """
    sweep(path.parent)
    with _replacing(path, sync=sync) as file:
        yield file


@contextmanager
def _replacing(path: Path, *, sync: bool) -> Iterator[BinaryIO]:
    temporary, file = _new_file(path)
    try:
        with file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
            if os.name == "nt":  # which renames nothing that is open; elsewhere it is locked until it has its name
                file.close()
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def write(path: Path, content: bytes) -> None:
    """Write a file, replacing what is there.

    Raises:
        OSError: As `replacing`.
    """
    with replacing(path) as file:
        file.write(content)


def write_folder(
    path: Path, contents: Mapping[str, bytes], replaces: Callable[[Path], Collection[str]] = lambda path: ()
) -> None:
    """Write a folder of files, in the place of one that is there: at one stroke, where the system can.

    Where it cannot, on others than Linux and on some shares, the old folder is called NAME.old for a moment.

    Args:
        path: The folder, or a link to it.
        contents: Relative names to contents.
        replaces: Called with the folder that is there, before it is replaced: its files that are removed. What else may
            have come into it is kept, as NAME.old.

    Raises:
        OSError: The disk does not take it, or another process is writing there. Nothing is changed then.
    """
    path = path.resolve() if path.is_symlink() else path
    sweep(path.parent)
    temporary, lock = _new_folder(path)
    try:
        _fill(temporary, contents)
        if not path.is_dir():
            temporary.rename(path)
            sync_folder(path.parent)
            return
        with _locked(path):
            names = replaces(path)
            _exchange(temporary, path)
            sync_folder(path.parent)
            _remove(temporary, names, path)
    except BaseException:
        if lock is None or locks.is_at(lock, temporary):  # and not what it took the place of
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of the system's temporary ones, for this user alone; removed afterwards, or by the next after a kill.

    Raises:
        OSError: It cannot be made.
    """
    inside = Path(tempfile.gettempdir())
    sweep(inside)
    folder, lock = _new_folder(inside / "any", mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


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


def move(source: Path, target: Path) -> None:
    """Move a file, to another disk, too: there it has its name once it is whole.

    Raises:
        OSError: It cannot be moved. It is where it was, then.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV or source.is_symlink() or not source.is_file():
            raise
        with source.open("rb") as before, _replacing(target, sync=True) as file:
            shutil.copyfileobj(before, file)
            file.flush()
            shutil.copystat(source, file.name)
        source.unlink()


def sweep(folder: Path) -> None:
    """Remove what processes left unfinished in a folder when they were killed."""
    with contextlib.suppress(OSError):
        for name in [entry.name for entry in os.scandir(folder) if UNFINISHED.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):  # a process is at work on it, or another one sweeps
                _remove_unfinished(folder / name)


def sync_folder(folder: Path) -> None:
    """Let the disk know what a folder holds, where the system can."""
    with contextlib.suppress(OSError, PermissionError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_unfinished(path: Path) -> None:
    descriptor = locks.open_locked(path, needed=True)
    if descriptor is not None:
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            os.close(descriptor)


def _new_file(path: Path) -> tuple[Path, BinaryIO]:
    """A file beside another one, locked: made anew, so that no link that was planted there is followed."""
    while True:
        temporary = _beside(path)
        file = temporary.open("xb")
        try:
            locks.take(file.fileno())
        except BlockingIOError:  # it is being swept away
            file.close()
            continue
        except OSError:  # no locks here; nothing is swept then
            return temporary, file
        if locks.is_at(file.fileno(), temporary):
            return temporary, file
        file.close()


def _new_folder(path: Path, mode: int = 0o777) -> tuple[Path, int | None]:
    """The same for a folder, with what it is locked by."""
    while True:
        temporary = _beside(path)
        temporary.mkdir(mode)
        with contextlib.suppress(BlockingIOError, FileNotFoundError):  # it is being swept away
            return temporary, locks.open_locked(temporary)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = locks.open_locked(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _fill(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    for below in {(folder / name).parent for name in contents}:
        sync_folder(below)


def _exchange(one: Path, other: Path) -> None:
    """Let two folders have each other's name."""
    if sys.platform == "linux":
        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # of glibc 2.28, musl 1.2.4
        if rename is not None:
            if rename(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0:
                return
            if (number := ctypes.get_errno()) not in (errno.ENOSYS, errno.EINVAL):
                raise OSError(number, os.strerror(number), str(other))
    old = other.with_name(f"{other.name}.old")
    if os.path.lexists(old):
        raise FileExistsError(errno.EEXIST, f"{old.name} beside it is in the way", str(old))
    other.rename(old)
    try:
        one.rename(other)
    except OSError:
        old.rename(other)
        raise
    old.rename(one)


def _remove(folder: Path, names: Collection[str], replaced_by: Path) -> None:
    """Remove these files of a folder, and the folder; where that holds something else, it is kept as NAME.old."""
    with contextlib.suppress(OSError):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        for below in sorted({parent for name in names for parent in Path(name).parents}, reverse=True):
            with contextlib.suppress(FileNotFoundError):
                (folder / below).rmdir()
        return
    number, kept = 1, replaced_by.with_name(f"{replaced_by.name}.old")
    while os.path.lexists(kept):
        number += 1
        kept = replaced_by.with_name(f"{replaced_by.name}.old-{number}")
    with contextlib.suppress(OSError):
        folder.rename(kept)


def _beside(path: Path) -> Path:
    """A name in the same folder that nobody has, or can foresee."""
    return path.with_name(f".anomalib-lite-{secrets.token_hex(8)}.tmp")
