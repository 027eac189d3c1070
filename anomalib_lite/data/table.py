"""Reads a CSV file: `image[,label,mask,group,session,view,product,split,reference,channels]`, a sample each row.

- Paths are relative to the CSV's folder; absolute ones are taken as they are, and either slash is understood.
- `label` is `good` in any case or the kind of defect; empty where unknown. 0 and 1, true and false, ok and normal
  are refused: which of them is good is not for a program to guess.
- `channels` names further files of the image, one channel each, with `|` between them: PET beside CT, T1 beside FLAIR.
- `split` is train, test or calibrate; in every row or in none. `group`, `session`, `view`, `product` likewise.
- UTF-8 with or without a byte-order mark; commas, semicolons or tabs, or what a first line `sep=` says. Further columns
  are passed over, and named.
- Accented letters are found however the file system splits them into characters.
Rows are numbered as a spreadsheet numbers them: the header is row 1.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from anomalib_lite.data.samples import GOOD, SPLITS, TEST, UNCLEAR_LABELS, DataSet, Folders, Sample, count, normal, some
from anomalib_lite.edge.images.readers import TABLE_SUFFIXES
from anomalib_lite.errors import ConfigError, DataError

SEPARATOR = re.compile(r'"?sep=(.)"?[\r\n]+', re.IGNORECASE)  # a first line by which spreadsheets tell themselves
COLUMNS = ("image", "label", "mask", "group", "session", "view", "product", "split", "reference", "channels")
HELP = f"Expected columns: image, and any of {', '.join(COLUMNS[1:])}; rename others with --column group=NAME."


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row by our column names; empty cells are empty strings."""

    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


def is_table(path: Path) -> bool:
    """Whether the path is a CSV file by its suffix."""
    return path.suffix.lower() in TABLE_SUFFIXES and path.is_file()


def describes_images(path: Path) -> bool:
    """Whether a CSV file looks like a data set: a column `image` and another one of ours."""
    try:
        header = [name.strip().lower() for name in lines_of(path)[0]]
    except DataError:
        return False
    return "image" in header and len(set(COLUMNS) & set(header)) > 1


def read_table(path: Path, columns: Mapping[str, str], folders: Folders | None = None) -> DataSet:
    """All samples of a CSV file.

    Args:
        path: The file.
        columns: Our column name -> the file's.
        folders: Whether all of them are good.

    Raises:
        DataError: The file cannot be read, or its rows contradict themselves; the message names the rows.
        ConfigError: `columns` has a name that is none of ours, or folders are named.
    """
    folders = folders or Folders()
    _stored_names.cache_clear()  # files may have come since
    if folders.named:
        raise ConfigError(f"{path}: in a CSV file the column 'label' says what is good: leave out --good, --defective.")
    rows, notes = _rows(path, columns)
    _check_cells(path, rows)
    if folders.all_good:
        defective = [row.number for row in rows if row["label"].lower() not in ("", GOOD)]
        _refuse(path, defective, "a label other than good", "Leave --all-good out, or correct the labels")
    grouped = any(row["group"] for row in rows)
    samples = [_sample(path.parent, row, grouped) for row in rows]
    if folders.all_good:
        samples = [replace(sample, label=GOOD) for sample in samples]
    _refuse_duplicates(path, rows, samples)
    notes += _missing_files(path, rows, samples)
    unlabelled = sum(sample.label is None and sample.split != TEST for sample in samples)
    if unlabelled and not folders.lot:
        notes.append(f"{count(unlabelled, 'row')} without a label: training takes these images as good")
    untold = sum(sample.label is None and sample.split == TEST for sample in samples)
    if untold:
        notes.append(f"{count(untold, 'test row')} without a label: an evaluation leaves these images out")
    samples = sorted(samples, key=lambda sample: (normal(sample.name), sample.name))
    return DataSet(path.parent, "CSV", samples, notes, grouped)


def lines_of(path: Path, expected: str = HELP) -> list[list[str]]:
    """The cells of a CSV file as a spreadsheet writes it, the header first.

    Raises:
        DataError: It cannot be read, or is empty: then `expected` says what should be there.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        said = SEPARATOR.match(text)
        text = text[said.end() :] if said else text
        first = text.splitlines()[0] if text.strip() else ""
        delimiter = said[1] if said else max(",;\t", key=first.count)
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 (byte {error.start}). Save it as 'CSV UTF-8'.") from error
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV file ({error}).") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    if not lines:
        raise DataError(f"{path}: is empty. {expected}")
    if "\0" in text:
        raise DataError(f"{path}: is not a text file. Save it as 'CSV UTF-8'.")
    return lines


def _rows(path: Path, columns: Mapping[str, str]) -> tuple[list[TableRow], list[str]]:
    """Rows by our column names, and a note on the columns that are not read."""
    header, *lines = lines_of(path)
    places = _places(path, [name.strip() for name in header], columns)
    wide = [n for n, line in enumerate(lines, start=2) if any(cell.strip() for cell in line[len(header) :])]
    _refuse(path, wide, "more cells than the header", "Put cells that hold the delimiter in quotes")
    rows = [
        TableRow(number, {column: line[place].strip() for column, place in places.items() if place < len(line)})
        for number, line in enumerate(lines, start=2)
        if any(cell.strip() for cell in line)
    ]
    unread = [name.strip() for place, name in enumerate(header) if place not in places.values() and name.strip()]
    return rows, [f"columns not read: {', '.join(unread)}"] if unread else []


def _places(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Our column name -> its place in the file."""
    names = [normal(name).lower() for name in header]
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise ConfigError(
            f"--column {unknown[0]}={columns[unknown[0]]}: '{unknown[0]}' is none of {', '.join(COLUMNS)}."
        )
    places = {}
    for ours in COLUMNS:
        theirs = normal(columns.get(ours, ours)).strip().lower()
        if names.count(theirs) > 1:
            raise DataError(f"{path}: two columns are called '{theirs}'. Rename one of them.")
        if theirs in names:
            places[ours] = names.index(theirs)
        elif ours in columns or ours == "image":
            raise DataError(f"{path}: no column '{columns.get(ours, ours)}' among {', '.join(header)}. {HELP}")
    return places


def _check_cells(path: Path, rows: Sequence[TableRow]) -> None:
    """Refuse rows that say nothing, or something that has no meaning."""
    if not rows:
        raise DataError(f"{path}: has a header and no rows. Add a row for each image.")
    blank = [row.number for row in rows if not row["image"]]
    _refuse(path, blank, "no image", "Fill them in, or remove the rows")
    unclear = [row.number for row in rows if row["label"].lower() in UNCLEAR_LABELS]
    _refuse(path, unclear, f"a label among {', '.join(sorted(UNCLEAR_LABELS))}", "Write good, or the kind of defect")
    splits = ", ".join(SPLITS)
    wrong = [row.number for row in rows if row["split"].lower() not in (*SPLITS, "")]
    _refuse(path, wrong, f"a split other than {splits}", "Write one of them")
    for column in ("split", "group", "session", "view", "product"):
        empty = [row.number for row in rows if not row[column]]
        if len(empty) < len(rows):
            _refuse(path, empty, f"no {column}, others have one", "Fill in every row, or remove the column")


def _refuse(path: Path, numbers: Sequence[int], what: str, remedy: str) -> None:
    if numbers:
        raise DataError(f"{path}: {_named(numbers)} {what}. {remedy}.")


def _named(numbers: Sequence[int]) -> str:
    """Rows, as the subject of a sentence: "row 4 has", "rows 4, 9 have"."""
    return f"row {numbers[0]} has" if len(numbers) == 1 else f"rows {some([str(n) for n in numbers])} have"


def _sample(root: Path, row: TableRow, grouped: bool) -> Sample:
    path = _resolve(root, row["image"])
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    label = row["label"] or None
    return Sample(
        path=path,
        name=name,
        label=GOOD if label and label.lower() == GOOD else label,
        channels=tuple(_resolve(root, cell.strip()) for cell in row["channels"].split("|") if cell.strip()),
        masks=_masks(_resolve(root, row["mask"])) if row["mask"] else (),
        group=row["group"] if grouped else name,
        session=row["session"] or None,
        view=row["view"] or None,
        product=row["product"] or None,
        split=row["split"].lower() or None,
        reference=_resolve(root, row["reference"]) if row["reference"] else None,
    )


def _masks(cell: Path) -> tuple[Path, ...]:
    """The masks of an image: a file, or all files of a folder."""
    try:
        return tuple(sorted(file for file in cell.iterdir() if not file.name.startswith(".")))
    except OSError:  # no folder
        return (cell,)


def _resolve(root: Path, cell: str) -> Path:
    """A path as written; with backslashes as separators, or accents split otherwise, where there is no such file."""
    written = root / cell
    if "\\" in cell and not _exists(written):
        written = root / cell.replace("\\", "/")
    return written if cell.isascii() or _exists(written) else _as_stored(written)


def _as_stored(path: Path) -> Path:
    """A path that is there but for how its accented letters are split into characters; itself where none is."""
    if _exists(path) or path.parent == path:
        return path
    folder = _as_stored(path.parent)
    return folder / _stored_names(folder).get(normal(path.name), path.name)


@lru_cache(maxsize=256)
def _stored_names(folder: Path) -> dict[str, str]:
    """Name as it is compared -> as it is stored, of what lies in a folder."""
    try:
        return {normal(path.name): path.name for path in folder.iterdir()}
    except OSError:
        return {}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _is_file(path: Path) -> bool:
    base, mark, _ = path.name.rpartition("#")  # one of the images of a file: scan.dcm#12
    try:
        return path.is_file() or (bool(mark and base) and path.with_name(base).is_file())
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _gone(sample: Sample) -> str:
    """What is not there of an image and its further channels, files or folders of series; empty where nothing is."""
    if not _is_there(sample.path):
        return sample.name
    return next((os.fspath(path) for path in sample.channels if not _is_there(path)), "")


def _is_there(path: Path) -> bool:
    return _is_file(path) or (_exists(path) and path.is_dir())


def _refuse_duplicates(path: Path, rows: Sequence[TableRow], samples: Sequence[Sample]) -> None:
    first: dict[str, int] = {}
    for row, sample in zip(rows, samples, strict=True):
        file = os.path.realpath(sample.path)  # unlike Path.resolve, gives up on loops of links without an error
        if file in first:
            raise DataError(
                f"{path}: rows {first[file]} and {row.number} name the same image, {sample.name}. Keep one."
            )
        first[file] = row.number


def _missing_files(path: Path, rows: Sequence[TableRow], samples: Sequence[Sample]) -> list[str]:
    """A note on images that are not there; they stay samples, and are counted as unreadable.

    Raises:
        DataError: No image is there, or a mask or reference is not.
    """
    named = [(row.number, sample) for row, sample in zip(rows, samples, strict=True)]
    files = {
        "mask": [(number, mask) for number, sample in named for mask in sample.masks],
        "reference": [(number, sample.reference) for number, sample in named if sample.reference is not None],
    }
    for column, there in files.items():
        gone = [f"row {number} ({file})" for number, file in there if not _is_file(file)]
        if gone:
            raise DataError(f"{path}: no such {column}: {some(gone)}. Paths are relative to {path.parent.absolute()}.")
    missing = [f"row {number} ({lacks})" for number, sample in named if (lacks := _gone(sample))]
    if samples and len(missing) == len(samples):
        raise DataError(
            f"{path}: none of its images exists: {some(missing, 3)}. Paths are relative to {path.parent.absolute()}: "
            "correct them, or move the table to its images."
        )
    return [f"no such image: {some(missing)}"] if missing else []
