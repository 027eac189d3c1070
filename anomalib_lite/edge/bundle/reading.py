"""Reads a file that a stranger may have put there: a regular one, within a limit, and nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from anomalib_lite.errors import ModelError


def opened(path: Path, limit: int) -> BinaryIO:
    """A file, open. A pipe or a device, which might never end or keep who opens it waiting, is not opened to be read.

    Args:
        path: The file; links are followed.
        limit: Its largest size in bytes.

    Raises:
        ModelError: It is no regular file, or larger.
        OSError: It cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # of Windows and of others
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{path}: is a pipe or a device, expected a file. Restore the bundle from its origin.")
        if found.st_size > limit:
            raise ModelError(
                f"{path}: {found.st_size:,} bytes, more than the {limit:,} that such a file can have. Restore the "
                "bundle from its origin."
            )
    except BaseException:
        file.close()
        raise
    return file


def content(path: Path, limit: int) -> bytes:
    """The bytes of a file. Arguments and errors as of `opened`."""
    with opened(path, limit) as file:
        return file.read(limit)
