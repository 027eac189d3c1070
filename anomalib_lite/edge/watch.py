"""Inspects each new image of a folder once, and moves it to the folder of its verdict; survives being killed.

The order is: look, write the row, move the file. A row says where its file goes, and which file it speaks of (inode,
size and time, which a move keeps). So at most the file of the last row can still lie where it was: after a start it is
moved, never inspected again. A row that was cut off is removed, and its file inspected. A file that cannot be moved is
kept in mind, and tried again: nothing waits behind it. One process watches a folder.

A part that is decided once takes the same way as a whole: its photographs wait where they arrive; their rows are
written at once, the row of the part behind them, and then they are moved. Rows without that last one are removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Self

from anomalib_lite.edge import disk, locks
from anomalib_lite.edge.arrivals import Arrivals, identity
from anomalib_lite.edge.attempts import TWICE, Attempts
from anomalib_lite.edge.copies import Copies
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.destinations import free_place
from anomalib_lite.edge.following import Following
from anomalib_lite.edge.gathering import File, Gathering, twice
from anomalib_lite.edge.intake import Source
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.journal import JOURNAL, Journal, JournalRow, Unmoved, decided, of_a_part
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.writers import being_written
from anomalib_lite.errors import DataError, ErrorCode

POLL = 0.1  # seconds between two looks at the folder
PATIENCE = 2.0  # seconds after which what failed is tried again
NO_WHOLE_IMAGE = (ErrorCode.TRUNCATED, ErrorCode.EMPTY)


class Watcher:
    """One watched folder: `FOLDER/ok`, `review`, `ng` and `error`, and `FOLDER/results.jsonl`."""

    def __init__(
        self,
        model: Model | Joint,
        folder: Path,
        *,
        settle: float | None = None,
        recursive: bool = False,
        reference: Source | None = None,
        following: Following | None = None,
        gathering: Gathering | None = None,
        copies: Copies | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            model: What judges.
            folder: Where images arrive.
            settle: Seconds for which size and time of a file must stay the same before it is judged; default: as
                `Arrivals` has it.
            recursive: Whether images arrive in folders within it, too. They keep these in the folder of their verdict.
            reference: The golden image, for models that compare.
            following: Gets every row, those of the journal first, and says when scores have changed.
            gathering: Tells the photographs of a part, which is decided once; None where each is judged for itself.
            copies: Where files are copied to before they are moved, by their verdicts.

        Raises:
            ConfigError: The model decides once for a part, and nothing gathers its photographs; or the other way round.
        """
        self._gathering, self._copies = Gathering.fitting(gathering, model), copies
        self._model, self._folder, self._reference = model, folder, reference
        self._following, self._alarm = following, ""
        self._attempts, self._unmoved, self._journal = Attempts(folder), Unmoved(folder), Journal(folder)
        self._arrivals = Arrivals(
            folder, model.opener, self._attempts.number, self._unmoved.holds, settle=settle, recursive=recursive
        )
        self._lock = locks.FolderLock(folder)
        self._pending: list[JournalRow] = []  # written, their files not yet moved
        self._told: dict[tuple[str, int | None], str | None] = {}  # why files stay -> what is to be said, None once so
        self._tried = 0.0  # when files were last tried that could not be moved

    def __enter__(self) -> Self:
        """Open the journal, drop a row that was cut off, and take up the last one.

        Raises:
            DataError: The folder is missing, or cannot be written to or locked, another process watches it, or the last
                line of its journal is no row. The folder is free then.
        """
        try:
            self._take()
            for verdict in Verdict:
                place = self._folder / verdict.lower()
                place.mkdir(exist_ok=True)
                disk.sweep(place)
            self._pending = self._journal.open()
            for row in self._journal.rows() if self._following else ():
                self._follow(row)
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
        self._journal.close()
        self._lock.__exit__()

    def _take(self) -> None:
        """Keep other processes from watching the folder.

        Raises:
            DataError: One does, or its file system has no locks.
            OSError: It is not there.
        """
        try:
            self._lock.__enter__()
        except BlockingIOError as error:
            raise DataError(f"{self._folder}: another process watches this folder already. Stop it first.") from error
        except OSError as error:
            if error.errno not in locks.UNSUPPORTED:
                raise
            raise DataError(
                f"{self._folder}: its file system has no locks ({error.strerror}), so nothing keeps a second process "
                "from watching it. Mount the share with locks, or let images arrive in a folder of a local disk."
            ) from error

    def remarks(self) -> list[str]:
        """What is to be said of files that are not judged or not moved, each once."""
        new = [said for said in self._told.values() if said]
        self._told = dict.fromkeys(self._told)
        alarm, self._alarm = self._alarm, ""
        return [*self._arrivals.remarks(), *new, *filter(None, [alarm])]

    def _follow(self, row: JournalRow) -> None:
        """Rank a row among those before it."""
        alarm = self._following.add(row) if self._following else None
        self._alarm = str(alarm) if alarm else self._alarm

    def step(self) -> Iterator[JournalRow]:
        """One look at the folder: the row of each file that was inspected, once it was moved, or could not be.

        Raises:
            OSError: The disk is full, or the folder cannot be written to. Nothing is lost: call again.
            DataError: Another folder has taken its place, and another process watches that.
        """
        if not self._lock.is_held():
            self._take()
        yield from self._finish()  # of a process that was killed before it could move the files and tell of them
        self._try_again()
        for part, files, why in self._due():
            if rows := self._rows(part, files, why):
                self._journal.append(rows)
                for row in rows:
                    self._follow(row)
                self._pending = rows
                self._finish()
                yield from rows

    def _due(self) -> Iterator[tuple[str | None, list[File], str]]:
        """What is decided now: a part or None, its files, and why it cannot be decided on."""
        if self._gathering is None:
            yield from ((None, [file], "") for file in self._arrivals.ready())
        else:
            yield from self._gathering.due(list(self._arrivals.ready()), self._arrivals.there)

    def _rows(self, part: str | None, files: list[File], why: str) -> list[JournalRow]:
        """The rows of files, and the one of their part; none where a file cannot be judged yet."""
        if part is None and why:
            results: list[Result | None] = [
                self._model.refuse(name, why, ErrorCode.INCOMPLETE_PART) for name, _ in files
            ]
        else:
            results = [self._inspect(name, here) for name, here in files]
        seen = [result for result in results if result is not None]
        if len(seen) < len(files):
            return []
        if part is None:
            return [self._row(result, here, result.verdict) for result, (_, here) in zip(seen, files, strict=True)]
        named = sorted(seen, key=lambda one: one.image)  # as in a calibration: a sum over them depends on the order
        decision = self._model.judge(part, named, incomplete=why or twice(seen))
        more = {"part": part, "part_verdict": decision.verdict.value}
        rows = [self._row(result, here, decision.verdict) | more for result, (_, here) in zip(seen, files, strict=True)]
        return [*rows, decision.row() | {"time": seen[-1].time}]

    def _row(self, result: Result, here: str, verdict: Verdict) -> JournalRow:
        """What is written of a file; it goes to the folder of the verdict."""
        return result.row() | {"file": here, "moved_to": free_place(self._folder, verdict, result.image)}

    def _inspect(self, name: str, here: str) -> Result | None:
        """What is said of a file; None where it changed, vanished or was opened for writing while it was read."""
        path = self._folder / name
        with self._attempts.counted(name, here) as attempt:
            if attempt > TWICE:
                why = f"{name}: the program ended twice while it was inspected, short of memory perhaps"
                result = self._model.refuse(name, why)
            else:
                result = self._model.inspect(path, reference=self._reference, name=name)
        if identity(path) != here or being_written(path):
            self._arrivals.forget(name)
            return None
        if result.error_code in NO_WHOLE_IMAGE and self._arrivals.may_be_incomplete(name, here):
            return None
        return result

    def _finish(self) -> list[JournalRow]:
        """Move the files that the last rows speak of, those still where they were; the rows, if there are such files.

        Raises:
            OSError: One cannot be moved, and the disk does not take that this is so.
        """
        left = False
        for row in self._pending:
            if "image" not in row:  # of a part
                continue
            if identity(self._folder / row["image"]) != row["file"] or self._unmoved.holds(row["image"], row["file"]):
                continue
            left = True
            if error := self._moved(row):
                self._unmoved.add(row)
                self._tell(row, error)
        rows, self._pending = self._pending, []
        return rows if left else []

    def _moved(self, row: JournalRow) -> OSError | None:
        """Move a file to where its row says; what keeps it from there."""
        place = str(row["moved_to"])
        try:
            if self._copies is not None and self._copies.wants(decided(row)):
                self._copies.take(self._folder / row["image"], decided(row), place.partition("/")[2], row)
            if os.path.lexists(self._folder / place):  # put there by somebody else meanwhile
                place = free_place(self._folder, decided(row), row["image"])
            (self._folder / place).parent.mkdir(parents=True, exist_ok=True)
            disk.move(self._folder / row["image"], self._folder / place)
        except OSError as error:
            return error
        return None

    def _try_again(self) -> None:
        """Move what could not be moved before, where it now can be."""
        if time.monotonic() - self._tried < PATIENCE:
            return
        for row in self._unmoved:
            if identity(self._folder / row["image"]) != row["file"] or self._moved(row) is None:
                self._unmoved.drop(row)
        self._tried = time.monotonic()
        if not list(self._unmoved):
            self._told.clear()

    def _tell(self, row: JournalRow, error: OSError) -> None:
        self._told.setdefault(
            (decided(row), error.errno),
            f"{row['image']}: cannot be moved to {row['moved_to']}: {error.strerror}. Its row is "
            "written; it and others of its kind stay where they are until they can be moved.",
        )


def watch(watcher: Watcher, stop: Event, each: Callable[[JournalRow], None], say: Callable[[str], None]) -> None:
    """Inspect what arrives until `stop` is set.

    Args:
        watcher: An entered one.
        stop: Set by a signal; the file or the part at hand is finished.
        each: Gets every row, after its file was moved; no longer once it raised an OSError.
        say: Gets a line where something fails; it is tried again until it works.
    """
    failed, heard = "", True
    while not stop.is_set():
        try:
            for row in watcher.step():
                heard = heard and _heard(row, each, say)
                if stop.is_set() and not of_a_part(row):
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
        say(f"standard output is closed ({error.strerror or error}): rows go to {JOURNAL} alone from here on.")
        return False
    return True
