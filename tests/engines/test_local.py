"""Pieces of work in several processes: each once, whatever happens to the process of another."""

from __future__ import annotations

import gc
import os
import signal
import struct
from concurrent.futures import BrokenExecutor
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import pytest

from anomalib_lite.engines import Died, Local
from anomalib_lite.engines.local import Lane
from anomalib_lite.errors import AnomalibLiteError, DataError


def work(greeting: str, piece: str) -> str:
    """In another process: what a piece's name says."""
    name, _, mark = piece.partition("@")
    if name == "wrong":
        raise DataError("this one is wrong")
    if name == "deadly" or (name == "unlucky" and not Path(mark).exists()):
        if mark:
            Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{greeting} {name} on {os.environ['OMP_NUM_THREADS']}"


def told(outcome: str | AnomalibLiteError) -> str:
    return type(outcome).__name__ if isinstance(outcome, AnomalibLiteError) else outcome


def test_a_process_that_dies_costs_its_own_piece_alone(tmp_path: Path) -> None:
    pieces = ["deadly", "wrong", f"unlucky@{tmp_path / 'mark'}", "sound"]
    found = {piece: told(outcome) for piece, outcome in Local(2, 1).each(work, "hello", pieces)}
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    assert found == {
        "deadly": Died.__name__, "wrong": "DataError",
        pieces[2]: f"hello unlucky on {threads}", "sound": f"hello sound on {threads}",
    }  # fmt: skip


def test_one_at_a_time_may_be_apart(tmp_path: Path) -> None:
    ((_, outcome),) = Local(apart=True).each(work, "hello", ["deadly"])
    assert isinstance(outcome, Died)


def half(size: int) -> None:
    """In another process: write the beginning of a result of so many bytes, and die."""
    for one in gc.get_objects():
        if isinstance(one, SimpleQueue):
            os.write(one._writer.fileno(), struct.pack("!i", size) + b"begin")  # type: ignore[attr-defined]
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_within_a_result_is_not_waited_for() -> None:
    lane = Lane()
    with pytest.raises(BrokenExecutor):
        lane.submit(half, 1_000_000).result(timeout=60)
    lane.shutdown()
