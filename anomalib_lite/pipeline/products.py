"""Reads the plan of `train-many`, a CSV file with a row for each product: `name,detector,data`, and what else is given.

- `config` is a YAML file, `golden` a golden image, `group` and `session` regular expressions, as options of `train`.
- A column with a dot in its name is a setting, such as `training.steps` or `options.shift`; an empty cell leaves what
  the detector prefers.
- Paths are relative to the plan's folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite.data import absolute, files_below
from anomalib_lite.data.addresses import is_address
from anomalib_lite.data.patterns import part_pattern
from anomalib_lite.data.samples import normal
from anomalib_lite.data.table import is_table, lines_of, read_table
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.errors import AnomalibLiteError, ConfigError, DataError
from anomalib_lite.pipeline import states
from anomalib_lite.registry import Registry
from anomalib_lite.training.plan import configure
from anomalib_lite.training.request import Request

NEEDED = ("name", "detector", "data")
COLUMNS = (*NEEDED, "config", "group", "session", "golden")
HELP = f"Expected columns: {', '.join(NEEDED)}, and any of {', '.join(COLUMNS[3:])}, and settings as training.steps."
NAME = re.compile(r"[^\s.<>:\"/\\|?*\x00-\x1f](?:[^<>:\"/\\|?*\x00-\x1f]*[^\s.<>:\"/\\|?*\x00-\x1f])?")
LONGEST = 100  # bytes of a name
PLAN = "plan.json"
OWN = (PLAN, "products.csv", "products.json", "report.html")  # what `train-many` writes beside the products
SHOWN = 20  # wrong rows, named in full


@dataclass(frozen=True, kw_only=True)
class Product:
    """A row of a plan."""

    row: int  # as a spreadsheet counts: the header is row 1
    cells: Mapping[str, str]  # column -> what it says; empty ones are left out
    folder: Path  # that paths are relative to

    @property
    def name(self) -> str:
        """Of the product, and of its folder."""
        return self.cells.get("name", "")

    @property
    def detector(self) -> str:
        """As the plan names it."""
        return self.cells.get("detector", "")

    def request(self, out: Path, threads: int = 0, *, resume: bool = False) -> Request:
        """What `train` is asked, to write a model to `out`."""
        cells = self.cells
        return Request(
            detector=self.detector,
            data=self._path("data") or self.folder,
            out=out,
            config=self._path("config"),
            settings=[f"{column}={cell}" for column, cell in cells.items() if "." in column],
            group=cells.get("group"),
            session=cells.get("session"),
            golden=[path for path in (self._path("golden"),) if path],
            threads=threads,
            resume=resume,
            overwrite=True,
        )

    def asked(self, opener: Opener) -> dict[str, str]:
        """What must be the same for a model to be that of this row: its cells, and the files that they name.

        Args:
            opener: Tells which files of a folder are images.
        """
        asked = dict(self.cells)
        for column in ("data", "golden"):
            if path := self._path(column):
                asked[column] = f"{os.fspath(absolute(path))} {states.digest(_files(path, opener))}"
        if config := self._path("config"):
            asked["config"] = hashlib.sha256(config.read_bytes()).hexdigest()
        return asked

    def wrong(self, plugins: Registry) -> Iterator[str]:
        """What speaks against the row, before any image is looked at."""
        if missing := [column for column in NEEDED if column not in self.cells]:
            yield f"no {' and no '.join(missing)}"
        name = self.cells.get("name", "a")
        if not NAME.fullmatch(name) or len(name.encode()) > LONGEST or _key(name) in OWN:
            yield f"'{name}' cannot be the name of a folder on every system: use letters, digits, - and _"
        for column in ("data", "golden", "config"):
            path = self._path(column)
            if is_address(cell := self.cells.get(column, "")):
                yield f"{column} {cell} is an address: copy it to a folder, and give that"
            elif path and not path.exists():
                yield f"no such {column}: {path}"
        try:
            part_pattern(self.cells.get("group"))
            part_pattern(self.cells.get("session"), "session")
            if "detector" in self.cells:
                configure(self.request(self.folder), plugins)
        except AnomalibLiteError as error:
            yield str(error).rstrip(".")

    def _path(self, column: str) -> Path | None:
        return self.folder / self.cells[column] if column in self.cells else None


def _files(path: Path, opener: Opener) -> list[Path]:
    """A file, and what it names where it is a table; or the images of a folder."""
    try:
        if path.is_dir():
            return files_below(path, opener)
        samples = read_table(path, {}).samples if is_table(path) else []
    except (DataError, OSError):  # its training says so
        return [path]
    named = [file for one in samples for file in (one.path, *one.masks, *one.channels, one.reference) if file]
    return [path, *(Path(opener.file_of(os.fspath(file)) or file) for file in named)]


def read(path: Path, plugins: Registry) -> list[Product]:
    """The products of a plan, in its order.

    Args:
        path: The CSV file.
        plugins: What is installed.

    Raises:
        ConfigError: Rows are wrong, all of which are named; or two names are the same but for case or how accented
            letters are split into characters.
        DataError: It is no table, has no rows, or lacks a column.
    """
    header, *lines = lines_of(path, HELP)
    columns = _columns(path, header)
    wrong: list[tuple[int, str]] = []
    products = []
    for number, line in enumerate(lines, start=2):
        cells = {column: cell.strip() for column, cell in zip(columns, line, strict=False) if cell.strip()}
        if any(cell.strip() for cell in line[len(columns) :]):
            wrong.append((number, "more cells than the header: put cells that hold the delimiter in quotes"))
        elif cells:
            products.append(Product(row=number, cells=cells, folder=path.absolute().parent))
    if not products and not wrong:
        raise DataError(f"{path}: has a header and no rows. Add a row for each product.")
    wrong += [(one.row, "; ".join(said)) for one in products if (said := list(one.wrong(plugins)))]
    wrong += _alike(products)
    if wrong:
        told = " ".join(f"Row {number}: {said}." for number, said in sorted(wrong)[:SHOWN])
        more = f" And {len(wrong) - SHOWN} more." if len(wrong) > SHOWN else ""
        many = len({number for number, _ in wrong})
        raise ConfigError(f"{path}: {many} of {len(lines)} rows are wrong, and nothing was trained. {told}{more}")
    return products


def _columns(path: Path, header: list[str]) -> list[str]:
    """The columns by our names.

    Raises:
        DataError: One is missing, double or unknown.
    """
    columns = [name.strip() if "." in name else name.strip().lower() for name in header]
    while columns and not columns[-1]:  # as spreadsheets leave them
        columns.pop()
    unknown = [name or "without a name" for name in columns if "." not in name and name not in COLUMNS]
    missing = [name for name in NEEDED if name not in columns]
    double = sorted({name for name in columns if columns.count(name) > 1})
    for what, found in (("no column", missing), ("unknown column", unknown), ("twice the column", double)):
        if found:
            raise DataError(f"{path}: {what} {', '.join(found)}. {HELP}")
    return columns


def _alike(products: list[Product]) -> Iterator[tuple[int, str]]:
    """Rows whose folder would be that of another row on some system."""
    first: dict[str, Product] = {}
    for one in products:
        other = first.setdefault(_key(one.cells.get("name", f"\0{one.row}")), one)
        if other is not one:
            alike = "the same name as" if other.name == one.name else "on some systems the same folder as"
            yield one.row, f"'{one.name}' is {alike} '{other.name}' of row {other.row}: rename one"


def _key(name: str) -> str:
    return normal(normal(name).casefold())


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The columns that say something else than before."""
    return sorted(column for column in {**before, **now} if before.get(column) != now.get(column))
