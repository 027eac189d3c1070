"""Joins the results of all shares into those of one run: the same rows in the same order."""

from __future__ import annotations

import csv
import heapq
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from anomalib_lite.edge import disk, quoting
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.results import COLUMNS, CSV, JSON_LINES, ResultWriter
from anomalib_lite.errors import DataError
from anomalib_lite.pipeline import result_folder
from anomalib_lite.pipeline.result_folder import PARTS, POSITION
from anomalib_lite.pipeline.shards import Record, checked

Row = dict[str, Any]
BLOCK = 1 << 16  # bytes


@dataclass(frozen=True)
class Merged:
    """How many images got which verdict, and how many parts, where they were judged."""

    counts: dict[Verdict, int]
    out: Path
    parts: Counter[Verdict] = field(default_factory=Counter)


def merge(results: Sequence[Path], *, out: Path, overwrite: bool = False) -> Merged:
    """Join shares, given in any order.

    Args:
        results: What `predict --shard` wrote, a folder for each share.
        out: Gets the results.
        overwrite: Replace an earlier result there.

    Raises:
        DataError: A share is missing, double, unfinished, damaged or of other work; or the disk does not take it.
        ConfigError: `out` holds an earlier result.
    """
    result_folder.refuse_existing(out, overwrite=overwrite)
    shares = checked(results)
    merged = Merged(dict.fromkeys(Verdict, 0), out)
    with result_folder.taken(out, overwrite=overwrite), ResultWriter(out, _also(shares[0][0])) as writer:
        parts: dict[str, None] = {}  # in the order in which they are met
        for folder, row in _in_order(shares):
            for name in (result_folder.HEATMAP, result_folder.WRITTEN):
                _copy(row.get(name), folder, out)
            writer.append(row)
            merged.counts[Verdict(row["verdict"])] += 1
            parts.setdefault(row.get(result_folder.PART) or "")
        merged.parts.update(_parts([folder for folder, _ in shares], list(parts), out))
    return merged


def _also(folder: Path) -> Sequence[str]:
    """The columns of results beyond those that all have.

    Raises:
        DataError: The table cannot be read.
    """
    try:
        with (folder / CSV).open(newline="", encoding="utf-8") as file:
            return [name for name in next(csv.reader(file))[len(COLUMNS) :] if name != POSITION]
    except (OSError, ValueError, StopIteration) as error:
        raise DataError(f"{folder / CSV}: cannot be read ({error}). Run this share again.") from error


def _in_order(shares: Sequence[tuple[Path, Record]]) -> Iterator[tuple[Path, Row]]:
    """All rows in the order of one run, each with the folder that it is from.

    Raises:
        DataError: One is missing, double or damaged.
    """
    merging = heapq.merge(*(_rows(folder, record) for folder, record in shares), key=lambda one: one[0])
    count = 0
    for place, folder, row in merging:
        if place != count:
            raise DataError(f"{folder}: row {place} follows row {count - 1} of all shares: its results were changed.")
        count += 1
        yield folder, row
    if count != shares[0][1].images:
        raise DataError(f"{count} rows for {shares[0][1].images} images: results of a share were changed.")


def _rows(folder: Path, record: Record) -> Iterator[tuple[int, Path, Row]]:
    """The rows of a share, each with its place among those of all.

    Raises:
        DataError: One is damaged, or there are not as many as the share had.
    """
    count = 0
    try:
        for count, line in enumerate(_lines(folder / JSON_LINES), 1):  # noqa: B007 - told of below
            row = json.loads(line)
            yield row.pop(POSITION), folder, row
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{folder / JSON_LINES}: line {count} is no row ({error}). Run this share again.") from error
    if count != record.rows:
        raise DataError(f"{folder / JSON_LINES}: {count} rows, expected {record.rows}. Run this share again.")


def _lines(file: Path) -> Iterator[bytes]:
    """Its lines, a block at a time: a thousand files at once are more than a process may have open."""
    offset = 0
    while True:
        with file.open("rb") as opened:
            opened.seek(offset)
            lines = opened.readlines(BLOCK)
            offset = opened.tell()
        if not lines:
            return
        yield from lines


def _copy(name: str | None, folder: Path, out: Path) -> None:
    """A picture or a file that a row names.

    Raises:
        DataError: It is gone, or the disk does not take it.
    """
    if name is None:
        return
    source, target = folder / name, out / name
    if not source.resolve().is_relative_to(folder.resolve()) or not target.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{folder}: a row names {name}, which lies outside: its results were changed.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be copied to {out} ({error.strerror}).") from error


def _parts(folders: Sequence[Path], order: Sequence[str], out: Path) -> Counter[Verdict]:
    """Write parts.csv from those of the shares; how many parts got which verdict, none where rows name no part.

    Raises:
        DataError: A part of the rows has no verdict, or the disk does not take them.
    """
    places = {quoting.cell(part): place for place, part in enumerate(order) if part}
    if not places:
        return Counter()
    found: dict[str, list[str]] = {}
    head: list[str] = []
    for folder in folders:
        with suppress(FileNotFoundError), (folder / PARTS).open(newline="", encoding="utf-8") as file:
            head, *lines = csv.reader(file)
            found |= dict(zip((line[head.index("part")] for line in lines), lines, strict=True))
    if found.keys() != places.keys():
        other = sorted(found.keys() ^ places.keys())
        raise DataError(
            f"{len(other)} of {len(places)} parts are in the rows or in {PARTS} of a share alone, such as {other[0]}: "
            "its results were changed. Run that share again."
        )
    lines = sorted(found.values(), key=lambda line: places[line[head.index("part")]])
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    try:
        disk.write(out / PARTS, text.getvalue().encode())
    except OSError as error:
        raise DataError(f"{out / PARTS}: cannot be written ({error.strerror}). Make room.") from error
    return Counter(Verdict(line[head.index("verdict")]) for line in lines)
