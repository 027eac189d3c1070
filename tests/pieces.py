"""Pieces of work for the tests of engines, in a module that the processes of a cluster import."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from anomalib_lite.errors import DataError


def deadly(mark: str, piece: int) -> int:
    """The first time that it is called for 3, its process ends; 4 cannot be done."""
    if piece == 3 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if piece == 4:
        raise DataError("this one is wrong")
    return piece * piece


def lacking(mark: str, piece: int) -> None:
    """A package is not installed there."""
    raise ModuleNotFoundError("No module named 'acme'")
