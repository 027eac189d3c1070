"""The log of decisions: lines are added and never changed, and each names the digest of the one before.

Two processes may add to one log: each takes a lock of the file, reads what the other has added, and chains its line to
the last one. A line counts once it is on the disk; what a process that was killed left of one has no end, and is kept
in a file beside the log. Whoever removes or changes a line breaks the chain at the next; whoever removes the last ones
does not, so the digest of the last line is what an auditor writes down.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import RLock

from anomalib_lite.edge import disk, locks
from anomalib_lite.errors import DataError
from anomalib_lite.review.decision import Decision, Judged, Key, Line, operator_named

LOG = "decisions.jsonl"  # in a folder of results
TORN = ".torn"  # behind the name of a log: what was left of lines that were never confirmed
FIRST = "0" * 64  # in the place of the digest of a line before
FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class DecisionLog:
    """One log, which other processes may add to. Its methods may be called by several threads.

    It is read on the first call of a method; a file that is not there is an empty log.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet.

        Args:
            path: The file, or the folder of results that it lies in.
        """
        self.path = path / LOG if path.is_dir() else path
        self.torn = 0  # bytes behind the last line, at the last look
        self.kept_aside: list[str] = []  # what is to be said of lines that were left unfinished
        self._lines: list[Line] = []
        self._digests: list[str] = []  # of each line
        self._standing: dict[Key, list[Line]] = {}  # image -> its decisions, those taken back left out
        self._end = self._last = 0  # where the last line ends, and begins
        self._mutex = RLock()

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line that was read, in their order."""
        return tuple(self._lines)

    @property
    def digest(self) -> str:
        """Of the last line that was read."""
        return self._digests[-1] if self._digests else FIRST

    def refresh(self) -> list[Line]:
        """Read what was added since the last look, by whomever; these lines.

        Raises:
            DataError: The chain is broken; or lines that were read before are gone.
        """
        with self._mutex:
            try:
                with self._opened(os.O_RDONLY, shared=True) as file:
                    return self._catch_up(file)
            except FileNotFoundError:
                self._refuse_shorter(0)
                return []
            except OSError as error:
                raise self._unreadable(error) from error

    def current(self) -> dict[Key, Line]:
        """The decision in force for each image that has one, the newest added ones included.

        Raises:
            DataError: As `refresh`.
        """
        with self._mutex:
            self.refresh()
            return {key: lines[-1] for key, lines in self._standing.items()}

    def append(self, operator: str, judged: Judged, decision: Decision, *, now: datetime | None = None) -> Line:
        """Add a decision. Once this returns it is on the disk, and in force for its image.

        Args:
            operator: Who decides.
            judged: The image, and what the model said of it.
            decision: What the person says.
            now: The time, with its offset; that of the computer by default.

        Raises:
            DataError: The chain is broken, or the disk does not take the line. Nothing was added then.
        """
        return self._add(operator, judged, decision, None, now)

    def undo(self, operator: str, number: int, *, now: datetime | None = None) -> Line:
        """Take back the decision of a line, which is in force; the one before it is in force again.

        Raises:
            DataError: As `append`; or the line is not in force any more, such as where somebody else decided meanwhile.
        """
        return self._add(operator, None, None, number, now)

    def holds(self, digest: str) -> bool:
        """Whether a line that was read has this digest, as one that was written down at an audit."""
        return digest.strip().lower() in self._digests

    def _add(
        self, operator: str, judged: Judged | None, decision: Decision | None, undoes: int | None, now: datetime | None
    ) -> Line:
        name = operator_named(operator)
        if now is not None and now.tzinfo is None:
            raise DataError(f"the time {now} has no offset from UTC. Give one that has.")
        try:
            with self._mutex, self._opened(os.O_RDWR | os.O_APPEND | os.O_CREAT, shared=False) as file:
                self._catch_up(file)
                self._put_aside(file)
                if undoes is not None:
                    judged = self._in_force(undoes).judged
                assert judged is not None
                time = now or datetime.now().astimezone()  # behind the lock: those of one clock are in order
                time = time.replace(microsecond=time.microsecond // 1000 * 1000)  # as it is written
                line = Line(len(self._lines) + 1, time, name, judged, decision, undoes, self.digest)
                encoded = line.encoded()
                disk.append(file, encoded, sync=True)
                if line.number == 1:
                    disk.sync_folder(self.path.parent)
                self._take(line, encoded)
                return line
        except OSError as error:
            raise DataError(
                f"{self.path}: the decision cannot be written ({error.strerror or error}) and does not count; the log "
                "is as it was. Make room, or make it writable, and decide again."
            ) from error

    @contextmanager
    def _opened(self, flags: int, *, shared: bool) -> Iterator[int]:
        """The file that has the name, locked: it may be replaced between being opened and being locked.

        Raises:
            OSError: It cannot be opened, or locked.
            DataError: It was there, and is not any more.
        """
        if self._end and not os.path.lexists(self.path):
            self._refuse_shorter(0)
        while True:
            file = os.open(self.path, flags | FLAGS, 0o644)
            try:
                try:
                    locks.wait(file, shared=shared)
                except OSError as error:
                    if not shared or error.errno not in locks.UNSUPPORTED:  # a share without locks can be read
                        raise
                if locks.is_at(file, self.path):
                    yield file
                    return
            finally:
                os.close(file)

    def _catch_up(self, file: int) -> list[Line]:
        """Read whole lines behind the last one that was read.

        Raises:
            DataError: The chain is broken; or the file is shorter than it was, or another one.
        """
        size = os.fstat(file).st_size
        self._refuse_shorter(size)
        with os.fdopen(os.dup(file), "rb") as stream:
            stream.seek(self._last)
            if self._lines and _digest(stream.read(self._end - self._last)) != self.digest:
                raise DataError(
                    f"{self.path}, line {len(self._lines)}: is not the line that was read before. Find out who "
                    "changed it, and start again with the log as it was."
                )
            stream.seek(self._end)
            known, self.torn = len(self._lines), 0
            for encoded in stream:
                if encoded.endswith(b"\n"):
                    self._take(self._checked(encoded), encoded)
                else:
                    self.torn = len(encoded)
        return self._lines[known:]

    def _checked(self, encoded: bytes) -> Line:
        """A line that comes next.

        Raises:
            DataError: It is none, or not chained to the last one.
        """
        number = len(self._lines) + 1
        try:
            line = Line.parsed(encoded)
            if line.number != number:
                raise DataError(f"calls itself line {line.number}, so lines were removed or added")
            if line.before != self.digest:
                raise DataError("does not continue the line before: one of the two was changed")
            if line.undoes is not None and self._in_force(line.undoes).key != line.key:
                raise DataError(f"takes back line {line.undoes}, which is on another image")
        except DataError as error:
            raise DataError(
                f"{self.path}, line {number}: {str(error).rstrip('.')}. The chain is broken here: no line from this "
                "one on can be relied on. Restore the log from a copy, or move it away to start a new one."
            ) from error
        return line

    def _in_force(self, number: int) -> Line:
        """The line of this number, whose decision is in force.

        Raises:
            DataError: It is not.
        """
        line = self._lines[number - 1] if 0 < number <= len(self._lines) else None
        standing = self._standing.get(line.key, []) if line is not None else []
        if line is None or not standing or standing[-1].number != number:
            raise DataError(
                f"line {number} cannot be taken back: its decision is not in force. Somebody may have decided on the "
                "image since: look at it again."
            )
        return line

    def _take(self, line: Line, encoded: bytes) -> None:
        """Count a line that is in the file."""
        self._lines.append(line)
        self._digests.append(_digest(encoded))
        self._last, self._end = self._end, self._end + len(encoded)
        if line.undoes is None:
            self._standing.setdefault(line.key, []).append(line)
            return
        self._standing[line.key].pop()
        if not self._standing[line.key]:
            del self._standing[line.key]

    def _put_aside(self, file: int) -> None:
        """Keep what is left of an unfinished line in a file beside the log, so that the next one begins anew.

        Nobody is at work on it: the lock is ours.

        Raises:
            OSError: The disk does not take it.
        """
        if not self.torn:
            return
        with os.fdopen(os.dup(file), "rb") as stream:
            stream.seek(self._end)
            rest = stream.read()
        beside = self.path.with_name(self.path.name + TORN)
        aside = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_APPEND | FLAGS, 0o644)
        try:
            disk.append(aside, rest + b"\n", sync=True)
        finally:
            os.close(aside)
        os.ftruncate(file, self._end)
        os.fsync(file)
        self.torn = 0
        self.kept_aside.append(
            f"{self.path}: behind line {len(self._lines)}, {len(rest):,} bytes of a line that was never confirmed, as "
            f"a program that is killed leaves them, are kept in {beside.name}"
        )

    def _refuse_shorter(self, size: int) -> None:
        if size < self._end:
            raise DataError(
                f"{self.path}: lines that were read before are gone. Find out who removed them, and start again with "
                "the log as it was."
            )

    def _unreadable(self, error: OSError) -> DataError:
        return DataError(f"{self.path}: cannot be read ({error.strerror or error}). Make it a readable file.")


def _digest(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
