"""Standard output whose end is told from other errors: its reader is gone, or the disk that it goes to is full."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, TextIO


class OutputError(OSError):
    """What is written to standard output does not arrive. Said once: what follows is dropped."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.reader_is_gone = isinstance(error, BrokenPipeError)


class _Output(FileIO):
    """A descriptor to write to."""

    _failed = False

    def write(self, data: Any) -> int:
        """Write, or raise an OutputError, once."""
        if not self._failed:
            try:
                return super().write(data)
            except OSError as error:
                self._failed = True
                raise OutputError(error) from error
        return memoryview(data).nbytes


def guarded(descriptor: int, like: TextIO, *, close: bool) -> TextIO:
    """A stream to a descriptor. What its encoding cannot hold, such as a name that is no UTF-8, becomes an escape.

    Args:
        descriptor: Where to.
        like: Whose encoding it has.
        close: Whether the descriptor is closed with the stream.
    """
    errors = "backslashreplace" if like.errors == "strict" else like.errors
    return TextIOWrapper(
        BufferedWriter(_Output(descriptor, "wb", closefd=close)), like.encoding, errors, line_buffering=True
    )


@contextmanager
def standard_output() -> Iterator[None]:
    """Let `sys.stdout` raise an OutputError where it fails, at the latest at the end of the block.

    Streams that were closed lead nowhere: the next file that is opened must not take their place.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    before = sys.stdout
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - for as long as the process runs
    real = before is sys.__stdout__ and (before is None or before.fileno() == 1)
    if real:
        sys.stdout = guarded(1, before or sys.stderr, close=False)
    try:
        yield
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        finally:
            if real and before is not None:
                sys.stdout = before
