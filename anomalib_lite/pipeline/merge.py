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
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import COLUMNS, CSV, JSON_LINES, ResultWriter
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline import merged_report, result_folder
from anomalib_lite.pipeline.result_folder import PARTS, POSITION
from anomalib_lite.pipeline.shards import Record, checked

Row = dict[str, Any]
BLOCK = 1 << 16  # bytes


@dataclass(frozen=True)
class Merged:
    """How many images got which verdict, and how many parts, where they were judged."""

    counts: dict[Verdict, int]
    out: Path | str
    parts: Counter[Verdict] = field(default_factory=Counter)


def merge(results: Sequence[Path], *, out: Path, overwrite: bool = False, model: Model | None = None) -> Merged:
    """Join shares, given in any order.

    Args:
        results: What `predict --shard` wrote, a folder for each share.
        out: Gets the results.
        overwrite: Replace an earlier result there.
        model: That judged them: then there is a report, too.

    Raises:
        DataError: A share is missing, double, unfinished, damaged or of other work; or the disk does not take it.
        ConfigError: `out` holds an earlier result, or another model judged them.
    """
    result_folder.refuse_existing(out, overwrite=overwrite)
    shares, also = checked(results), _also(results[0])
    if model is not None and model.model_id != (judged_by := shares[0][1].model_id):
        raise ConfigError(f"{model.bundle.path} is model {model.model_id}; {judged_by} judged these shares: give that.")
    # once through before anything is written: rows that end early would look like a result
    order = list(dict.fromkeys(row.get(result_folder.PART) or "" for _, row in _in_order(shares)))
    judged = _judged([folder for folder, _ in shares], order)
    merged = Merged(dict.fromkeys(Verdict, 0), out, Counter(Verdict(one["verdict"]) for one in judged))
    with result_folder.taken(out, overwrite=overwrite), ResultWriter(out, also) as writer:
        for folder, row in _in_order(shares):
            for name in (result_folder.HEATMAP, result_folder.WRITTEN):
                _copy(row.get(name), folder, out)
            writer.append(row)
            merged.counts[Verdict(row["verdict"])] += 1
        _write_parts(judged, out)
        if model is not None:
            merged_report.write(out, model)
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


def _judged(folders: Sequence[Path], order: Sequence[str]) -> list[dict[str, str]]:
    """The verdicts on parts of all shares, in the order in which rows name them; none where rows name no part.

    Raises:
        DataError: A part of the rows has no verdict, or the other way round.
    """
    places = {quoting.cell(part): place for place, part in enumerate(order) if part}
    found: dict[str, dict[str, str]] = {}
    for folder in folders if places else ():
        with suppress(FileNotFoundError), (folder / PARTS).open(newline="", encoding="utf-8") as file:
            found |= {line["part"]: line for line in csv.DictReader(file)}
    if other := sorted(found.keys() ^ places.keys()):
        raise DataError(
            f"{len(other)} of {len(places)} parts are in the rows or in {PARTS} of a share alone, such as {other[0]}: "
            "its results were changed. Run that share again."
        )
    return sorted(found.values(), key=lambda line: places[line["part"]])


def _write_parts(judged: Sequence[dict[str, str]], out: Path) -> None:
    """Write parts.csv, where there are parts.

    Raises:
        DataError: The disk does not take it.
    """
    if not judged:
        return
    text = StringIO()
    writer = csv.DictWriter(text, judged[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(judged)
    try:
        disk.write(out / PARTS, text.getvalue().encode())
    except OSError as error:
        raise DataError(f"{out / PARTS}: cannot be written ({error.strerror}). Make room.") from error
