"""Locks by which processes tell each other who is at work; the system drops them when a process ends, however it does.

A folder itself is locked, so that no file of it has to stay, or can be taken away. Shares that lock only what is open
for writing (NFS) get a hidden file for it. Where there are no locks at all (Windows), none is held.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Self

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

FILE = ".anomalib-lite.lock"  # of a share that does not lock a folder
UNSUPPORTED = (
    *(errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL),
    *(errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR),  # of a folder, which cannot be opened for writing
)


def take(descriptor: int) -> None:
    """Lock an open file or folder until it is closed.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: Its file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wait(descriptor: int, *, shared: bool = False) -> None:
    """Lock an open file until it is closed, once no other process holds it; none is held on systems without locks.

    Args:
        descriptor: The file.
        shared: Whether others may hold it in the same way: those that read.

    Raises:
        OSError: Its file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def open_locked(path: Path, *, needed: bool = False) -> int | None:
    """Open a file or folder, and lock it until it is closed; None on systems without locks.

    Args:
        path: What is no link.
        needed: Whether a file system without locks is an error.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: It is gone, or cannot be locked.
    """
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _take(descriptor, needed=needed)
        if not is_at(descriptor, path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _take(descriptor: int, *, needed: bool) -> None:
    try:
        take(descriptor)
    except BlockingIOError:
        raise
    except OSError as error:
        if needed or error.errno not in UNSUPPORTED:
            raise


def is_at(descriptor: int, path: Path) -> bool:
    """Whether what is open is still what lies under that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


class FolderLock:
    """Keeps other processes out of a folder: a context."""

    def __init__(self, folder: Path) -> None:
        """Nothing is locked yet."""
        self._folder = folder
        self._descriptors: list[int] = []  # of the folder, and of the file that is locked in its place

    def __enter__(self) -> Self:
        """Lock it.

        Raises:
            BlockingIOError: Another process has locked it.
            OSError: It is not there, or its file system has no locks.
        """
        if fcntl is None:
            return self
        try:
            while not self.is_held():  # it may be replaced between being opened and being locked
                self.__exit__()
                self._descriptors.append(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY))
                self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def is_held(self) -> bool:
        """Whether the folder that lies there is the one that was locked."""
        if fcntl is None:
            return True
        return bool(self._descriptors) and os.path.samestat(os.fstat(self._descriptors[0]), self._folder.stat())

    def _take(self) -> None:
        try:
            take(self._descriptors[0])
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            self._descriptors.append(os.open(self._folder / FILE, flags, 0o644))
            take(self._descriptors[1])
