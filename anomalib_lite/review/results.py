"""Results as they lie on disk: their rows, and the image behind a row, if it is there and still the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.regions import Region
from anomalib_lite.edge.results import JSON_LINES
from anomalib_lite.errors import DataError, ImageError

EXPECTED = "expected result rows, one JSON object a line, as `predict --out` and `watch` write them"
METRICS = "metrics.json"  # of `evaluate`, which names its data set there

ResultRow: TypeAlias = Mapping[str, Any]


class State(StrEnum):
    """Whether an image is what was judged."""

    THERE = "there"
    GONE = "gone"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Behind:
    """The image behind a row."""

    state: State
    path: Path | None = None  # where it lies; None where it is gone
    size: tuple[int, int] | None = None  # (height, width) in pixels, where it is there


@dataclass
class Rows:
    """The rows of results, read again each time, so that a million of them are not kept.

    Those of parts are among them; a last one that is being written is left out.
    """

    path: Path  # a folder with results.jsonl, or such a file
    count: int = 0  # of those that were read last

    def __iter__(self) -> Iterator[ResultRow]:
        """Each, in its order.

        Raises:
            DataError: The file is not there, a line is no row, or there is none.
        """
        path = self.path / JSON_LINES if self.path.is_dir() else self.path
        self.count, torn = 0, 0
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if torn:
                        raise DataError(
                            f"{path}, line {torn}: is no result row; {EXPECTED}. Remove it, or name another file."
                        )
                    row = _row(line)
                    if row is None:
                        torn = number
                        continue
                    self.count += 1
                    yield row
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; {EXPECTED}. Name the folder or the file.") from error
        if not self.count:
            raise DataError(f"{path}: holds no result row; {EXPECTED}. Name another file.")


def _row(line: bytes) -> ResultRow | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def read_rows(path: Path) -> list[ResultRow]:
    """All rows of results. Arguments and errors as of `Rows`."""
    return list(Rows(path))


def regions_of(row: ResultRow) -> tuple[Region, ...]:
    """The regions of a row; none where it has none that can be drawn."""
    try:
        return tuple(Region.from_json(one) for one in row.get("regions") or ())
    except (TypeError, ValueError, KeyError):
        return ()


class Images:
    """Finds the images of the results of one folder, and says whether they are what was judged."""

    def __init__(self, folder: Path, opener: Opener, root: Path | None = None) -> None:
        """Nothing is opened yet.

        Args:
            folder: Of the results.
            opener: Opens the files.
            root: Where the images lie, if they were moved since, or named from another place.
        """
        self._folder, self._opener = folder, opener
        self._roots = [one for one in (root, _images(folder), Path(), folder, folder.parent) if one is not None]

    def behind(self, row: ResultRow) -> Behind:
        """The image that was judged: at any of the places where it may lie, the one that is still the same."""
        seen = Behind(State.GONE)
        for path in self._places(row):
            try:
                sha256, size = self._told(path)
            except (OSError, ImageError):
                continue
            if sha256 == str(row.get("sha256")).lower():
                return Behind(State.THERE, path, size)
            seen = Behind(State.CHANGED, path)
        return seen

    def _places(self, row: ResultRow) -> Iterator[Path]:
        """Where the image of a row may lie: what `watch` has moved first."""
        name, moved = str(row.get("image")), row.get("moved_to")
        if isinstance(moved, str):
            yield self._folder / moved
        yield from dict.fromkeys((root / name).absolute() for root in self._roots)
        yield from ((self._roots[0] / Path(name).name).absolute(),)

    def _told(self, path: Path) -> tuple[str, tuple[int, int]]:
        """SHA-256 and size of an image.

        Raises:
            OSError: It is not there.
            ImageError: It cannot be read.
        """
        if not path.is_file() or self._opener.suffix_at(path) is not None:
            opened = self._opener.read(path)
            height, width = opened.pixels.shape[:2]
            return opened.sha256, (height, width)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        header = self._opener.header(path)
        return sha256, (header.height, header.width)


def evaluated(folder: Path) -> Path | None:
    """The data set that `evaluate` read, as its metrics note it; None where they do not."""
    try:
        return Path(json.loads((folder / METRICS).read_bytes()).get("data"))
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None


def _images(folder: Path) -> Path | None:
    """Where the images of an evaluation lie; None where its metrics do not say so."""
    data = evaluated(folder)
    return data if data is None or data.is_dir() else data.parent
