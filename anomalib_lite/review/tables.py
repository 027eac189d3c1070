"""CSV files of what people decided, written and read again as they were, whatever names are in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from anomalib_lite.edge import disk, quoting
from anomalib_lite.edge.results import csv_line
from anomalib_lite.errors import DataError


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table whole, or nothing. What a spreadsheet would run as a formula gets an apostrophe before it.

    Raises:
        DataError: The disk does not take it.
    """
    lines = [csv_line(columns), *(csv_line([row.get(name) for name in columns]) for row in rows)]
    put(path, "".join(lines).encode("utf-8", "backslashreplace"))


def put(path: Path, content: bytes) -> None:
    """Write a file whole, or nothing.

    Raises:
        DataError: The disk does not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.write(path, content)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}). Make room, or name another."
        ) from error


def read(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table, by the names of their columns in lower case; "line" is the number of the line each ends on.

    Raises:
        DataError: It cannot be read, is no CSV, or lacks a column that is needed.
    """
    expected = f"expected a CSV file with the columns {', '.join(needed)}"
    return rows_of(path, text_of(path, expected), needed, expected)


def rows_of(path: Path, text: str, needed: Sequence[str], expected: str) -> list[dict[str, str]]:
    """The same of a text that was read, where `expected` says what the file should be.

    Raises:
        DataError: It is no CSV, or lacks a column that is needed.
    """
    first = text.splitlines()[0] if text.strip() else ""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise DataError(f"{path}: is no CSV ({error}); {expected}.") from error
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    if missing := [name for name in needed if name not in header]:
        raise DataError(f"{path}: no column '{missing[0]}' among {', '.join(header) or 'none'}; {expected}.")
    return [
        {name: unquoted(cell) for name, cell in zip(header, line, strict=False)} | {"line": str(number)}
        for number, line in lines[1:]
    ]


def text_of(path: Path, expected: str) -> str:
    """The text of a file that people made.

    Raises:
        DataError: It cannot be read, or is no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {expected}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 (byte {error.start}). Save it as 'CSV UTF-8'.") from error


def unquoted(cell: str) -> str:
    """A cell without the apostrophe that `quoting.cell` puts before a formula."""
    cell = cell.strip()
    return cell[1:] if cell[:1] == "'" and quoting.cell(cell[1:]) == cell else cell
