"""Runs pieces of work in this process, or in several of this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any, NamedTuple, ParamSpec

from anomalib_lite.engines.work import Died, R, S, T
from anomalib_lite.errors import AnomalibLiteError

P = ParamSpec("P")
TRIES = 2  # of a piece whose process dies
DIED = "the process that was at work died, and so did a second one: out of memory, or killed"


class Lane(ProcessPoolExecutor):
    """A process of its own: of several in one pool, the death of one would end all."""

    def __init__(self, begin: Callable[[], object] | None = None) -> None:
        """Nothing is started before the first piece; what the process calls first, `begin`, has to travel to it."""
        super().__init__(1, get_context("spawn"), initializer=begin)

    def submit(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Hand a piece to the process.

        The end of the pipe that results are written to is the process' alone: as long as this one had it open, too, a
        process that was killed within a result would be waited for without end.
        """
        future = super().submit(work, *args, **kwargs)
        results: Any = getattr(self, "_result_queue")  # noqa: B009
        results._writer.close()  # once more does nothing
        return future


@dataclass(frozen=True)
class Local:
    """So many pieces at once; in this process, where that is one."""

    count: int = 1
    threads: int = 1  # that each may compute on, where they are apart
    apart: bool = False  # not in this process, though it be one at a time: what kills it does not end the command

    def each(
        self, work: Callable[[S, T], R], shared: S, pieces: Iterable[T]
    ) -> Iterator[tuple[T, R | AnomalibLiteError]]:
        """See `Engine.each`."""
        if self.count > 1 or self.apart:
            yield from self._apart(work, shared, pieces)
            return
        for piece in pieces:
            try:
                outcome: R | AnomalibLiteError = work(shared, piece)
            except AnomalibLiteError as error:
                outcome = error
            yield piece, outcome

    def _apart(
        self, work: Callable[[S, T], R], shared: S, pieces: Iterable[T]
    ) -> Iterator[tuple[T, R | AnomalibLiteError]]:
        """In processes of their own."""
        lanes = {number: self._lane(shared) for number in range(self.count)}
        running: dict[Future[R], _Running] = {}
        waiting, free = iter(pieces), list(lanes)
        try:
            while True:
                for piece in waiting if free else ():
                    lane = free.pop()
                    running[lanes[lane].submit(_called, work, piece)] = _Running(piece, lane, 1)
                    if not free:
                        break
                if not running:
                    return
                future = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
                piece, lane, tries = running.pop(future)
                outcome = _outcome(future)
                if isinstance(outcome, Died):
                    lanes[lane].shutdown(wait=False)
                    lanes[lane] = self._lane(shared)
                    if tries < TRIES:
                        running[lanes[lane].submit(_called, work, piece)] = _Running(piece, lane, tries + 1)
                        continue
                free.append(lane)
                yield piece, outcome
        finally:
            for one in lanes.values():
                one.shutdown(wait=False, cancel_futures=True)

    def _lane(self, shared: Any) -> Lane:
        return Lane(partial(_begin, self.threads, shared))


class _Running(NamedTuple):
    """A piece that a process is at work on."""

    piece: Any
    lane: int
    tries: int


def _outcome(future: Future[R]) -> R | AnomalibLiteError:
    try:
        return future.result()
    except BrokenExecutor:
        return Died(DIED)
    except AnomalibLiteError as error:
        return error


class _Held:
    """What a process keeps from one piece to the next."""

    shared: Any


def _called(work: Callable[[Any, T], R], piece: T) -> R:
    """In a process: one piece."""
    return work(_Held.shared, piece)


def _begin(threads: int, shared: Any) -> None:
    """In a process, before anything that computes is imported: take its share of the cores; end with its parent."""
    _Held.shared = shared
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
