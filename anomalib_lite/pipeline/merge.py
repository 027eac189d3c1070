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
from pathlib import Path
from typing import Any, NoReturn

from anomalib_lite.edge import disk, quoting
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import COLUMNS, CSV, JSON_LINES, csv_line, encoded, quoted_line
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline import merged_report, result_folder
from anomalib_lite.pipeline.result_folder import PART, PARTS, POSITION
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
        DataError: A share is missing, double, unfinished, damaged, changed or of other work; or the disk does not take
            it.
        ConfigError: `out` holds an earlier result, or is a share; or another model judged them.
    """
    _refuse_share(out, results)
    result_folder.refuse_existing(out, overwrite=overwrite)
    shares = checked(results)
    if model is not None and model.model_id != (judged_by := shares[0][1].model_id):
        raise ConfigError(f"{model.bundle.path} is model {model.model_id}; {judged_by} judged these shares: give that.")
    for folder, record in shares:
        record.refuse_changed(folder)
    also = _also(shares[0][0])
    judged = _looked_through(shares, also)
    merged = Merged(dict.fromkeys(Verdict, 0), out, Counter(Verdict(one["verdict"]) for one in judged))
    with result_folder.taken(out, overwrite=overwrite):
        try:
            merged.counts.update(_write(shares, also, judged, out))
        except OSError as error:
            raise DataError(
                f"{error.filename or out}: results cannot be joined ({error.strerror}). Make room, or choose another "
                "--out."
            ) from error
        if model is not None:
            merged_report.write(out, model)
    return merged


def _refuse_share(out: Path, results: Sequence[Path]) -> None:
    """Raise where the results of a share would be replaced.

    Raises:
        ConfigError: This is so.
    """
    for folder in results:
        if out.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"--out {out} is a share, or lies in one, {folder}: choose a folder beside the shares.")


def _looked_through(shares: Sequence[tuple[Path, Record]], also: Sequence[str]) -> list[dict[str, str]]:
    """The verdicts on parts, in the order of one run; all rows are looked at before anything is written.

    Raises:
        DataError: A share is damaged.
    """
    parts: dict[Path, dict[str, int]] = {folder: {} for folder, _ in shares}  # with the place of their first row
    for place, (folder, row) in enumerate(_in_order(shares, also)):
        for name in result_folder.naming(row):
            _source(row[name], folder)
        if part := row.get(PART):
            parts[folder].setdefault(part, place)
    judged = [one for folder, named in parts.items() for one in _judged(folder, named)]
    return [one for _, one in sorted(judged, key=lambda one: one[0])]


def _write(
    shares: Sequence[tuple[Path, Record]], also: Sequence[str], judged: Sequence[dict[str, str]], out: Path
) -> Counter[Verdict]:  # fmt: skip
    """Write what was joined; how many images got which verdict.

    Tables have their names once they are whole: one that was cut would look like a result.

    Raises:
        OSError: The disk does not take it.
    """
    counts = Counter[Verdict]()
    with disk.replacing(out / CSV) as table, disk.replacing(out / JSON_LINES) as lines:
        table.write(encoded(csv_line([*COLUMNS, *also])))
        for folder, row in _in_order(shares, also):
            for name in result_folder.naming(row):
                _copy(row[name], folder, out)
            table.write(encoded(csv_line(row.values())))
            lines.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            counts[Verdict(row["verdict"])] += 1
        if judged:  # of cells that are quoted already
            rows = [list(judged[0]), *(list(one.values()) for one in judged)]
            disk.write(out / PARTS, encoded("".join(map(quoted_line, rows))))
    return counts


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


def _in_order(shares: Sequence[tuple[Path, Record]], also: Sequence[str]) -> Iterator[tuple[Path, Row]]:
    """All rows in the order of one run, each with the folder that it is from.

    Raises:
        DataError: One is missing, double or damaged.
    """
    columns = [*COLUMNS, *also, POSITION]
    merging = heapq.merge(*(_rows(folder, record, columns) for folder, record in shares), key=lambda one: one[0])
    count = 0
    for place, folder, row in merging:
        if place != count:
            raise DataError(f"{folder}: row {place} follows row {count - 1} of all shares: its results were changed.")
        count += 1
        yield folder, row
    if count != shares[0][1].images:
        raise DataError(f"{count} rows for {shares[0][1].images} images: results of a share were changed.")


def _rows(folder: Path, record: Record, columns: Sequence[str]) -> Iterator[tuple[int, Path, Row]]:
    """The rows of a share, each with its place among those of all.

    Raises:
        DataError: One is damaged, or there are not as many as the share had.
    """
    count = 0
    try:
        for count, line in enumerate(_lines(folder / JSON_LINES), 1):  # noqa: B007 - told of below
            row = _row(line, columns)
            yield row.pop(POSITION), folder, row
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{folder / JSON_LINES}: line {count} is no row ({error}). Run this share again.") from error
    if count != record.rows:
        raise DataError(f"{folder / JSON_LINES}: {count} rows, expected {record.rows}. Run this share again.")


def _row(line: bytes, columns: Sequence[str]) -> Row:
    """A row that says what rows say.

    Raises:
        ValueError: It is none.
    """
    row = json.loads(line, parse_constant=_refuse_number)
    if not isinstance(row, dict) or [*row] != columns:
        raise ValueError("other columns than the first share has")
    if type(row[POSITION]) is not int or row["verdict"] not in [*Verdict]:
        raise ValueError(f"{POSITION} {row[POSITION]!r}, verdict {row['verdict']!r}")
    if other := [name for name in (*result_folder.naming(row), PART) if not isinstance(row.get(name), str | None)]:
        raise ValueError(f"{other[0]} {row[other[0]]!r}")
    return row


def _refuse_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


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


def _source(name: str | None, folder: Path) -> Path | None:
    """A picture or a file that a row names; None where it names none.

    Raises:
        DataError: It is gone, or no file of the share.
    """
    if name is None:
        return None
    with suppress(OSError, ValueError):
        source = folder / name
        if not source.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{folder}: a row names {name}, which lies outside: its results were changed.")
        if source.is_file():
            return source
    raise DataError(f"{folder}: a row names {name}, which is not there. Judge this share again, with --overwrite.")


def _copy(name: str | None, folder: Path, out: Path) -> None:
    """Copy a picture or a file that a row names.

    Raises:
        DataError: It is gone, or leads elsewhere.
        OSError: The disk does not take it.
    """
    if (source := _source(name, folder)) is None or name is None:
        return
    target = out / name
    if not target.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{target} lies outside of {out}: remove the link that leads there, or choose another --out.")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _judged(folder: Path, named: dict[str, int]) -> Iterator[tuple[int, dict[str, str]]]:
    """The verdicts on the parts of a share, each with the place of its first row.

    A table tells parts by text that is not theirs alone: "=1" and "'=1" look alike. Their order tells them.

    Raises:
        DataError: A part of the rows has no verdict, or the other way round.
    """
    found: list[dict[str, str]] = []
    if named:
        with suppress(FileNotFoundError), (folder / PARTS).open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
    if [one.get("part") for one in found] != [encoded(quoting.cell(part)).decode() for part in named] or any(
        one.get("verdict") not in [*Verdict] for one in found
    ):
        raise DataError(
            f"{folder / PARTS}: has not one verdict for each of the {len(named)} parts of its rows, in their order: "
            "results were changed. Judge this share again, with --overwrite."
        )
    return zip(named.values(), found, strict=True)
