"""Holds back what the code of others prints, down to the file descriptors, so that it never mixes with results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from tempfile import TemporaryFile
from typing import IO, Any, TextIO

from anomalib_lite.output.standard import guarded

STREAMS = (("stdout", 1, redirect_stdout), ("stderr", 2, redirect_stderr))
_replaced: list[Any] = []  # never collected: a wrapper that is collected closes the stream that it wraps


@contextmanager
def captured() -> Iterator[StringIO]:
    """Hold back everything that this process and its children write to standard output and standard error.

    Print, libraries in C and shells alike. Where the descriptors stand behind `sys.stdout` and `sys.stderr`, these stay
    as they are, since a logging handler that is made meanwhile keeps them. For the whole process: what other threads
    write meanwhile is held back, too.

    Yields:
        What was written; filled on leaving.
    """
    written = StringIO()
    before = sys.stdout, sys.stderr
    with _held() as held:
        try:
            with ExitStack() as stack:
                for name, descriptor, redirect in STREAMS:
                    stack.enter_context(_redirected(descriptor, name, held))
                    if not _stands_behind(descriptor, getattr(sys, name)):  # a notebook, a test
                        stack.enter_context(redirect(written))
                yield written
        finally:
            _replaced.extend(stream for stream in (sys.stdout, sys.stderr) if stream not in before)
            sys.stdout, sys.stderr = before
            held.seek(0)
            written.write(held.read().decode("utf-8", "replace"))


@contextmanager
def stdout_for_results() -> Iterator[TextIO]:
    """Keep standard output for results: what a reader or a library writes to it meanwhile goes to standard error.

    Yields:
        Where results are written to. What its encoding cannot hold, such as a file name that is no UTF-8, is written as
        an escape where the stream would raise an error.
    """
    out = sys.stdout
    if not _stands_behind(1, out):
        with redirect_stdout(sys.stderr):
            yield out
        return
    out.flush()
    with guarded(os.dup(1), out, close=True) as results:
        os.dup2(2, 1)
        try:
            yield results
        finally:
            try:
                out.flush()
                results.flush()
            finally:
                os.dup2(results.fileno(), 1)


def _held() -> IO[bytes]:
    """A file in memory where the system has such: a container with nothing to write to has no place for another."""
    return os.fdopen(os.memfd_create("held"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile()


@contextmanager
def _redirected(descriptor: int, name: str, target: IO[bytes]) -> Iterator[None]:
    """Let a descriptor lead to a file meanwhile; one that is closed stays so."""
    _flush(name)
    try:
        saved = os.dup(descriptor)
    except OSError:
        yield
        return
    os.dup2(target.fileno(), descriptor)
    try:
        yield
    finally:
        _flush(name)
        os.dup2(saved, descriptor)
        os.close(saved)


def _stands_behind(descriptor: int, stream: Any) -> bool:
    try:
        return bool(stream.fileno() == descriptor)
    except (AttributeError, OSError, ValueError):  # None, a stream without a descriptor, a closed one
        return False


def _flush(name: str) -> None:
    with suppress(AttributeError, OSError, ValueError):
        getattr(sys, name).flush()
