"""The results of a folder, row by row as they come: what lists and filters need stays in memory, the rest on disk."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from threading import RLock
from typing import Any, BinaryIO

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.results import JSON_LINES
from anomalib_lite.errors import DataError

LONGEST = 4 * 2**20  # bytes of a row: one of 100 regions takes half of it
GENERATIONS = 2**52  # a browser counts exactly to twice that
HEAD = 256  # bytes by which a file that was written anew is told
EXPECTED = f"Expected {JSON_LINES}, as `predict --out`, `evaluate --out`, `watch` and `serve --out` write it"


@dataclass(frozen=True, slots=True)
class Entry:
    """One result: what is listed, filtered and sorted by, and where the whole row lies."""

    number: int  # its place among the results of its file; what the page calls it by
    image: str
    sha256: str
    verdict: str
    score: float | None
    kind: str | None  # what `evaluate` was told of it: "good" or a kind of defect
    part: str
    lot: str
    when: float | None  # seconds since 1970
    model_id: str
    start: int
    length: int


class Results:
    """The results of one folder. Safe from several threads."""

    def __init__(self, folder: Path, part: re.Pattern[str] | None = None, lot: re.Pattern[str] | None = None) -> None:
        """Read what is there.

        Args:
            folder: Where results.jsonl lies.
            part: Finds the part in the name of an image, in its first parentheses, where no row tells it.
            lot: Likewise the lot; by default it is the folder of the image.

        Raises:
            DataError: There is no such file, or it cannot be read.
        """
        self.folder, self.path = folder, folder / JSON_LINES
        self._part, self._lot = part, lot
        self._lock, self._head, self._inode = RLock(), b"", 0
        # Of the file: numbers of results mean nothing in another one, nor in that of another station, which the same
        # browser may have seen at the same address before and keeps pictures of.
        self.generation = secrets.randbelow(GENERATIONS)
        self.entries: list[Entry] = []
        self.broken = 0  # lines that are no results
        self._end = 0
        self._of_parts: dict[str, list[int]] = {}
        if not self.path.is_file():
            raise DataError(f"{folder}: holds no results. {EXPECTED}: name that folder.")
        self.refresh()

    def refresh(self) -> None:
        """Read what was added; all of it where the file was written anew.

        Raises:
            DataError: It cannot be read.
        """
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    self._begin_anew(file.read(HEAD), file.seek(0, 2), os.fstat(file.fileno()).st_ino)
                    file.seek(self._end)
                    for line in self._lines(file):
                        self._take(line)
                        self._end += len(line)
            except FileNotFoundError:
                self._begin_anew(b"", 0, 0)
            except OSError as error:
                raise DataError(f"{self.path}: cannot be read ({error.strerror}). {EXPECTED}.") from error

    def entry(self, number: int) -> Entry | None:
        """A result by its number; None where there is none."""
        return self.entries[number] if 0 <= number < len(self.entries) else None

    def row(self, entry: Entry) -> Mapping[str, Any]:
        """All that was written of a result.

        Raises:
            DataError: The file has changed since.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(entry.start)
                row = json.loads(file.read(entry.length))
        except (OSError, ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or row.get("image") != entry.image:
            raise DataError(f"{self.path}: was written anew. Load the page again.")
        return row

    def of_part(self, entry: Entry) -> list[int]:
        """Numbers of all photographs of the part of a result, its own among them."""
        return self._of_parts.get(entry.part, [entry.number]) if entry.part else [entry.number]

    @property
    def patterns(self) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
        """What finds the part in the name of an image, and the lot; None where nobody gave one."""
        return self._part, self._lot

    def _begin_anew(self, head: bytes, size: int, inode: int) -> None:
        """Forget what was read, where that is not how the file begins, or it was put in the place of another one."""
        known = self._head
        if size >= self._end and head.startswith(known) and self._inode in (0, inode):
            self._head, self._inode = head, inode
            return
        self.generation, self._head, self._inode, self._end = self.generation + 1, head, inode, 0
        self.entries, self._of_parts, self.broken = [], {}, 0

    @staticmethod
    def _lines(file: BinaryIO) -> Iterator[bytes]:
        """Whole lines; one without an end is being written."""
        return (line for line in file if line.endswith(b"\n"))

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line) if len(line) <= LONGEST else None
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not (isinstance(row.get("image"), str) or isinstance(row.get("part"), str)):
            self.broken += 1
        elif isinstance(row.get("image"), str):  # others are of parts, which their photographs tell
            entry = self._entry(row, len(line))
            self.entries.append(entry)
            if entry.part:
                self._of_parts.setdefault(entry.part, []).append(entry.number)

    def _entry(self, row: Mapping[str, Any], length: int) -> Entry:
        image = row["image"]
        verdict = row.get("verdict")
        return Entry(
            number=len(self.entries),
            image=image,
            sha256=_text(row, "sha256"),
            verdict=str(verdict) if verdict in list(Verdict) else Verdict.ERROR.value,
            score=number(row.get("score")),
            kind=_text(row, "label") or None,
            part=_text(row, "part") or _text(row, "group") or _found(self._part, image),
            lot=_found(self._lot, image) if self._lot else PurePath(image.replace("\\", "/")).parent.name,
            when=seconds(row.get("time")),
            model_id=_text(row, "model_id"),
            start=self._end,
            length=length,
        )


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def seconds(time: object) -> float | None:
    """Seconds since 1970 of a time as ISO 8601 has it, in any zone; without one it is UTC. None where it is none."""
    try:
        found = datetime.fromisoformat(str(time))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _found(pattern: re.Pattern[str] | None, image: str) -> str:
    match = pattern.search(image) if pattern else None
    return (match[1] or "") if match else ""
