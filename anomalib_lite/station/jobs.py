"""Work that takes longer than a request: one piece at a time, in a thread, with how far it is and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from threading import Lock, Thread
from typing import Any

from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import AnomalibLiteError, DataError


class Jobs:
    """What runs now, or ran last. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread: Thread | None = None
        self._told: dict[str, Any] | None = None
        self.failed: AnomalibLiteError | None = None  # why what ran last, and is told of, did not end well

    def start(self, name: str, work: Callable[[Track], Mapping[str, Any]]) -> None:
        """Begin.

        Args:
            name: What is done, as a word of the page.
            work: Does it, passes what it counts through what it is given, and returns what is to be told.

        Raises:
            DataError: Something is at work.
        """
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise DataError("another piece of work is being done: wait for its end.")
            told: dict[str, Any] = {"name": name, "state": "running", "label": "", "done": 0, "of": None}
            self._told, self.failed = told, None
            self._thread = Thread(target=self._run, args=(work, told), name=name, daemon=True)
            self._thread.start()

    def told(self) -> Mapping[str, Any] | None:
        """How far it is, or what came of it; None where nothing was begun."""
        return self._told and dict(self._told)

    def _run(self, work: Callable[[Track], Mapping[str, Any]], told: dict[str, Any]) -> None:
        def track(items: Iterable[Any], label: str) -> Iterator[Any]:
            told.update(label=label, done=0, of=len(items) if isinstance(items, Sized) else None)
            for item in items:
                yield item
                told["done"] += 1

        try:
            told.update(work(track), state="done")
        except AnomalibLiteError as error:
            self.failed = error
            told.update(state="failed", error=shown(str(error)))
        except Exception as error:
            logging.getLogger(__name__).exception("work at the station failed")  # where, for who reports it
            told.update(state="failed", error=shown(f"this is a bug: {type(error).__name__}: {error}"))


Track = Callable[[Iterable[Any], str], Iterator[Any]]  # passes items through and keeps count
