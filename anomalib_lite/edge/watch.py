"""Inspects each new image of a folder once, and moves it to the folder of its verdict; survives being killed.

The order is: look, write the row, move the file. A row says where its file goes, and which file it speaks of (inode,
size and time, which a move keeps). So at most the file of the last row can still lie where it was: after a start it is
moved, never inspected again. A row that was cut off is removed, and its file inspected. One process watches a folder.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, Self

from anomalib_lite.edge import disk
from anomalib_lite.edge.arrivals import JOURNAL, Arrivals, identity
from anomalib_lite.edge.attempts import TWICE, Attempts
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.intake import Source
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.writers import being_written
from anomalib_lite.errors import DataError, ErrorCode

try:
    import fcntl
except ImportError:  # not on Windows, which does not let two processes rename one file anyway
    fcntl = None  # type: ignore[assignment]

POLL = 0.1  # seconds between two looks at the folder
PATIENCE = 2.0  # seconds after which what failed is tried again
BLOCK = 65536
NO_WHOLE_IMAGE = (ErrorCode.TRUNCATED, ErrorCode.EMPTY)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

JournalRow = dict[str, Any]


class Watcher:
    """One watched folder: `FOLDER/ok`, `review`, `ng` and `error`, and `FOLDER/results.jsonl`."""

    def __init__(
        self,
        model: Model,
        folder: Path,
        *,
        settle: float | None = None,
        recursive: bool = False,
        reference: Source | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            model: What judges.
            folder: Where images arrive.
            settle: Seconds for which size and time of a file must stay the same before it is judged; default: as
                `Arrivals` has it.
            recursive: Whether images arrive in folders within it, too. They keep these in the folder of their verdict.
            reference: The golden image, for models that compare.
        """
        self._model, self._folder, self._reference = model, folder, reference
        self._attempts = Attempts(folder)
        self._arrivals = Arrivals(folder, model.opener, self._attempts.number, settle=settle, recursive=recursive)
        self._pending: JournalRow | None = None  # written, its file not yet moved
        self._journal = -1

    def __enter__(self) -> Self:
        """Open the journal, drop a row that was cut off, and take up the last one.

        Raises:
            DataError: The folder is missing, or cannot be written to or locked, another process watches it, or the last
                line of its journal is no row. The folder is free then.
        """
        try:
            for verdict in Verdict:
                (self._folder / verdict.lower()).mkdir(exist_ok=True)
            self._journal = os.open(self._folder / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._lock()
            self._pending = self._last_row()
        except OSError as error:
            self.__exit__()
            raise DataError(
                f"{error.filename or self._folder}: {error.strerror}; the watched folder must exist and be writable."
            ) from error
        except DataError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._journal >= 0:
            os.close(self._journal)  # releases the lock
            self._journal = -1

    def _lock(self) -> None:
        """Keep other processes from watching the folder.

        Raises:
            DataError: One does, or its file system has no locks.
        """
        if fcntl is None:
            return
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{self._folder}: another process watches this folder already. Stop it first.") from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise DataError(
                f"{self._folder}: its file system has no locks ({error.strerror}), so nothing keeps a second process "
                "from watching it. Mount the share with locks, or let images arrive in a folder of a local disk."
            ) from error

    def remarks(self) -> list[str]:
        """What is to be said of files that are not judged, each once."""
        return self._arrivals.remarks()

    def step(self) -> Iterator[JournalRow]:
        """One look at the folder: the row of each file that was inspected and moved.

        Raises:
            OSError: The disk is full, or a folder cannot be written to. Nothing is lost: call again.
        """
        self._finish()
        for name, here in self._arrivals.ready():
            if row := self._inspect(name, here):
                self._append(row)
                self._pending = row
                self._finish()
                yield row

    def _inspect(self, name: str, here: str) -> JournalRow | None:
        """The row of a file; None where it changed, vanished or was opened for writing while it was read."""
        path = self._folder / name
        with self._attempts.counted(name, here) as attempt:
            if attempt > TWICE:
                result = self._model.refuse(
                    name, "the program ended twice while it was inspected, short of memory perhaps"
                )
            else:
                result = self._model.inspect(path, reference=self._reference, name=name)
        if identity(path) != here or being_written(path):
            self._arrivals.forget(name)
            return None
        if result.error_code in NO_WHOLE_IMAGE and self._arrivals.may_be_incomplete(name, here):
            return None
        return result.row() | {"file": here, "moved_to": self._free_place(result.verdict, name)}

    def _free_place(self, verdict: Verdict, name: str) -> str:
        """VERDICT/NAME, numbered where there is one of that name already."""
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - Path changes names such as "a..png"
        place, number = f"{verdict.lower()}/{name}", 1
        while os.path.lexists(self._folder / place):
            number += 1
            place = f"{verdict.lower()}/{stem}-{number}{suffix}"
        return place

    def _finish(self) -> None:
        """Move the file that the last row speaks of, if it is still where it was."""
        if self._pending is not None:
            name = str(self._pending["image"])
            if identity(self._folder / name) == self._pending["file"]:
                place = str(self._pending["moved_to"])
                if os.path.lexists(self._folder / place):  # put there by somebody else meanwhile
                    place = self._free_place(Verdict(self._pending["verdict"]), name)
                (self._folder / place).parent.mkdir(parents=True, exist_ok=True)
                (self._folder / name).rename(self._folder / place)
            self._pending = None

    def _append(self, row: JournalRow) -> None:
        """Write a whole row, or nothing of it."""
        disk.append(self._journal, json.dumps(row, allow_nan=False).encode() + b"\n", sync=True)

    def _last_row(self) -> JournalRow | None:
        """The last whole row of the journal; what comes after it is removed."""
        end = os.fstat(self._journal).st_size
        tail, start = b"", end
        while start > 0 and tail.count(b"\n") < 2:
            start = max(0, start - BLOCK)
            tail = os.pread(self._journal, end - start, start)
        whole = tail[: tail.rfind(b"\n") + 1]
        os.ftruncate(self._journal, start + len(whole))
        if not whole:
            return None
        try:
            row: JournalRow = json.loads(whole[whole.rfind(b"\n", 0, -1) + 1 :])
            return row if {"image", "file", "moved_to", "verdict"} <= row.keys() else None
        except (ValueError, AttributeError) as error:
            raise DataError(
                f"{self._folder / JOURNAL}: its last line is no result row ({error}). Move the file away to start anew."
            ) from error


def watch(watcher: Watcher, stop: Event, each: Callable[[JournalRow], None], say: Callable[[str], None]) -> None:
    """Inspect what arrives until `stop` is set.

    Args:
        watcher: An entered one.
        stop: Set by a signal; the file at hand is finished.
        each: Gets every row, after its file was moved; no longer once it raised an OSError.
        say: Gets a line where something fails; it is tried again until it works.
    """
    failed, heard = "", True
    while not stop.is_set():
        try:
            for row in watcher.step():
                heard = heard and _heard(row, each, say)
                if stop.is_set():
                    return
            failed = ""
            for remark in watcher.remarks():
                say(remark)
        except OSError as error:
            reason = f"{error.filename2 or error.filename or 'the watched folder'}: {error.strerror}"
            if reason != failed:
                say(f"error: {reason}. No image is lost; trying again until this is mended.")
            failed = reason
        stop.wait(PATIENCE if failed else POLL)


def _heard(row: JournalRow, each: Callable[[JournalRow], None], say: Callable[[str], None]) -> bool:
    """Whether somebody still takes rows: a closed pipe is no fault of the folder, and must not slow it down."""
    try:
        each(row)
    except OSError as error:
        say(f"standard output is closed ({error.strerror}): rows go to {JOURNAL} alone from here on.")
        return False
    return True
