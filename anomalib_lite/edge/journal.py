"""The rows of a watched folder: each written whole, into the file that has the name, whoever took away the one before.

And of them those whose files could not be moved: these are tried again, nothing waits behind them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from anomalib_lite.edge import disk, locks
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.errors import DataError

JOURNAL, UNMOVED = "results.jsonl", ".unmoved.jsonl"
BLOCK = 65536
NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # nobody makes it write elsewhere

JournalRow: TypeAlias = dict[str, Any]


class Journal:
    """`results.jsonl` of a folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing is opened yet."""
        self._path = folder / JOURNAL
        self._descriptor = -1

    def open(self) -> list[JournalRow]:
        """Open it, drop what was cut off, and give the last row; of a part, those of its photographs before it.

        Raises:
            OSError: It cannot be written.
            DataError: It is a link, or its last line is no row.
        """
        if self._path.is_symlink():
            raise DataError(f"{self._path}: is a link, and rows are written to no other place. Remove it.")
        self._reopen()
        lines = self._lines_from_the_end()
        start, line = next(lines, (0, b""))
        while (row := parsed(line)) and of_a_part(row):  # the row of the part was not written any more
            os.ftruncate(self._descriptor, start)
            start, line = next(lines, (0, b""))
        try:
            last = json.loads(line) if line else {}
            part = last.get("part")
        except (ValueError, AttributeError, RecursionError):
            raise DataError(
                f"{self._path}: its last line is no result row. Move the file away to start anew."
            ) from None
        if "image" in last or part is None:
            return [row] if row else []
        photographs = takewhile(lambda row: row and row.get("part") == part, (parsed(line) for _, line in lines))
        return [*[one for one in photographs if one][::-1], last]

    def rows(self) -> Iterator[JournalRow]:
        """Every row, oldest first; lines that are none are passed over.

        Raises:
            OSError: It cannot be read.
        """
        with self._path.open("rb") as file:
            yield from filter(None, map(parsed, file))

    def append(self, rows: Iterable[JournalRow]) -> None:
        """Write whole rows, or nothing of them, to the file that is called so now: it may be rotated, or deleted.

        Raises:
            OSError: The disk does not take it.
        """
        if not locks.is_at(self._descriptor, self._path):
            self._reopen()
        disk.append(self._descriptor, b"".join(map(_line, rows)), sync=True)

    def close(self) -> None:
        """Close it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _reopen(self) -> None:
        self.close()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_LINK, 0o644)
        size = os.lseek(self._descriptor, 0, os.SEEK_END)
        end = self._line_break_before(size)
        if end < size:  # a row that was cut off
            os.ftruncate(self._descriptor, end)
            os.fsync(self._descriptor)
        disk.sync_folder(self._path.parent)

    def _lines_from_the_end(self) -> Iterator[tuple[int, bytes]]:
        """Where each line begins, and the line; the last one first."""
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        while end:
            start = self._line_break_before(end - 1)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            yield start, os.read(self._descriptor, end - start)
            end = start

    def _line_break_before(self, end: int) -> int:
        """The place behind the last line break before `end`; 0 where there is none."""
        while end > 0:
            start = max(0, end - BLOCK)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            place = os.read(self._descriptor, end - start).rfind(b"\n")
            if place >= 0:
                return start + place + 1
            end = start
        return 0


class Unmoved:
    """Rows whose files lie where they were, since they could not be moved; kept on disk for the next process."""

    def __init__(self, folder: Path) -> None:
        """Read what an earlier process left; nothing where that cannot be read."""
        self._path = folder / UNMOVED
        self._rows: dict[str, JournalRow] = {}
        try:
            descriptor = os.open(self._path, os.O_RDONLY | NO_LINK | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return
        with os.fdopen(descriptor, "rb") as file:
            for line in file:
                if row := parsed(line):
                    self._rows[row["image"]] = row

    def __iter__(self) -> Iterator[JournalRow]:
        return iter(list(self._rows.values()))

    def holds(self, name: str, identity: str) -> bool:
        """Whether this very file was judged."""
        return name in self._rows and self._rows[name]["file"] == identity

    def add(self, row: JournalRow) -> None:
        """Keep one.

        Raises:
            OSError: The disk does not take it.
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK, 0o644)
        try:
            disk.append(descriptor, _line(row), sync=True)
        finally:
            os.close(descriptor)
        self._rows[row["image"]] = row

    def drop(self, row: JournalRow) -> None:
        """One whose file was moved, or is gone: such rows mean nothing, and go from the disk with the last one.

        Raises:
            OSError: The file cannot be removed.
        """
        self._rows.pop(row["image"], None)
        if not self._rows:
            self._path.unlink(missing_ok=True)


def decided(row: JournalRow) -> Verdict:
    """The verdict that a file goes by: that of its part, where parts are decided on."""
    return Verdict(row.get("part_verdict") or row["verdict"])


def of_a_part(row: JournalRow) -> bool:
    """Whether a row is of a photograph, and that of its part follows."""
    return "image" in row and "part" in row


def parsed(line: bytes) -> JournalRow | None:
    """A row of a file in a watched folder; None where it is none, or leads out of the folder."""
    try:
        row = json.loads(line)
        name, place = PurePosixPath(row["image"]), PurePosixPath(row["moved_to"])
        inside = not any(path.is_absolute() or ".." in path.parts for path in (name, place))
        known = place.parts[0] == decided(row).lower() and isinstance(row["file"], str)
        return row if inside and known else None
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def _line(row: JournalRow) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"
