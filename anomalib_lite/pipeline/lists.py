"""Images that lie in object stores, and lists of images as Parquet: what `predict` is given beside files and folders.

A list has a column `image`, and where they are known `group` and `view`: a Parquet file anywhere, or a CSV file at an
address, or one whose images are addresses. What is no address is relative to the list.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from anomalib_lite.data import absolute
from anomalib_lite.data.addresses import Remote, content, is_address, listed, refuse_secrets
from anomalib_lite.data.patterns import part_pattern
from anomalib_lite.data.samples import normal
from anomalib_lite.data.table import COLUMNS as OF_TABLES
from anomalib_lite.data.table import is_table, lines_of
from anomalib_lite.edge import disk
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.readers import sniffed, whole
from anomalib_lite.errors import ConfigError, DataError, MissingExtra
from anomalib_lite.pipeline.inputs import Chosen, chosen, with_part

COLUMNS = ("image", "group", "view")
UNREAD = ("product", "channels", "reference")  # that a table here may have, and that change what is measured
PARQUET = (".parquet", ".pq")


def elsewhere(inputs: Sequence[str], columns: Mapping[str, str] | None = None) -> list[str]:
    """Those inputs that are addresses or lists of their own kind, and no matter of `inputs.chosen`."""
    image = _compared((columns or {}).get("image", "image"))
    return [one for one in inputs if is_address(one) or one.lower().endswith(PARQUET) or _names_addresses(one, image)]


def gathered(
    inputs: Sequence[str], opener: Opener, columns: Mapping[str, str] | None = None, *, group: str | None = None,
    compares: bool = True,
) -> tuple[list[Chosen], list[str]]:  # fmt: skip
    """The images of all inputs, each once, and what is to be said of them. Arguments and errors as of `inputs.chosen`.

    Raises:
        ConfigError: Some are fetched from addresses, and others lie here.
        DataError: A list has columns that are not read of it, or an object belongs to a series.
    """
    others = elsewhere(inputs, columns)
    here = [Path(one) for one in inputs if one not in others]
    images, notes = ([], []) if others and not here else chosen(here, opener, columns, group=group, compares=compares)
    pattern = part_pattern(group)
    found = {_key(one): one for one in images}
    for given in others:
        more, passed_over = _images(given, opener, columns or {}, compares)
        notes += [f"{given}: {note}" for note in passed_over]
        for one in more:
            if _key(one) not in found:
                found[_key(one)] = with_part(one, pattern, opener)
    images = list(found.values())
    if len({one.remote is None for one in images}) > 1:
        raise ConfigError("some of the images are fetched from addresses, and others lie here: judge them apart.")
    return images, notes


def _names_addresses(text: str, column: str) -> bool:
    """Whether a CSV file here names images by addresses, in this column; others may hold any."""
    if not is_table(Path(text)):
        return False
    header, *rows = lines_of(Path(text))
    names = [_compared(name) for name in header]
    place = names.index(column) if column in names else len(names)
    return any(is_address(row[place].strip()) for row in rows if place < len(row))


def _compared(name: str) -> str:
    """The name of a column as it is compared."""
    return normal(name).strip().lower()


def _key(one: Chosen) -> str:
    """What tells an image from others, however it was named."""
    return one.remote.address if one.remote else os.fspath(absolute(one.path))


def _images(
    given: str, opener: Opener, columns: Mapping[str, str], compares: bool
) -> tuple[list[Chosen], list[str]]:  # fmt: skip
    """The images of an address, or of a list, and notes on what is passed over."""
    if given.lower().endswith((*PARQUET, ".csv")):
        images, notes = _of_list(given, columns, compares)
    else:
        images, notes = [], []
        for one in listed(given, opener.is_image, _knowing(given, opener), notes.append):
            above = Remote(one.root.rstrip("/"), one.root).path
            images.append(Chosen(one.path, one.path.relative_to(above).as_posix(), above, remote=one))
    for image in images:
        suffix = opener.suffix(image.name) if image.remote else None
        if said := _of_series(image.called, suffix, opener):
            raise DataError(said)
    return images, notes


def _knowing(given: str, opener: Opener) -> Callable[[str, bytes], bool]:
    """Tells whether an object whose name has no suffix is an image, by its name and its first bytes.

    Raises:
        DataError: It is of a series.
    """

    def knows(name: str, head: bytes) -> bool:
        if said := _of_series(f"{given}: {posixpath.basename(name)}", sniffed(name, head, opener.readers), opener):
            raise DataError(said)
        return opener.knows(name, head)

    return knows


def of_series(called: str, file: Path, opener: Opener) -> str:
    """Why a file that was fetched is not judged alone; empty where it is. A list may name some without a suffix."""
    return _of_series(called, opener.suffix_at(file), opener)


def _of_series(called: str, suffix: str | None, opener: Opener) -> str:
    if suffix is None or not whole(opener.readers[suffix]).gather:
        return ""
    return (
        f"{called}: files *{suffix} belong together in series, which are not gathered at an address. "
        "Copy them to a folder, and give that."
    )


def _of_list(given: str, columns: Mapping[str, str], compares: bool) -> tuple[list[Chosen], list[str]]:
    """The images of a list, in its order, and a note on columns that are not read.

    Raises:
        DataError: It cannot be read, has no column of images, or one that would change what is measured.
    """
    first, *rows = _cells(given)
    header = [_compared(_text(cell)) for cell in first]
    places = _places(given, header, columns, compares)
    folder = given.rpartition("/")[0] if is_address(given) else None
    images, found = list[Chosen](), dict[int, Mapping[str, str]]()
    for number, row in enumerate(rows, start=2):
        texts = [_text(cell) for cell in row]
        if not any(texts):
            continue
        cells = {ours: texts[place] for ours, place in places.items() if place < len(row) and texts[place]}
        if "image" not in cells:
            raise DataError(f"{given}: row {number} names no image. Fill it in, or remove the row.")
        found[number] = cells
        images.append(_listed(cells, Path(given).parent, folder))
    _refuse_rows(given, found, images)
    unread = [name for place, name in enumerate(header) if name and place not in places.values()]
    return images, [f"columns not read: {', '.join(unread)}"] if unread else []


def _refuse_rows(given: str, found: Mapping[int, Mapping[str, str]], images: Sequence[Chosen]) -> None:
    """Refuse what a table here is refused for; an image may be named again where the same is said of it.

    Raises:
        DataError: There are no rows, some lack what others have, or two contradict each other.
    """
    if not found:
        raise DataError(f"{given}: has a header and no rows. Add a row for each image.")
    for column in COLUMNS[1:]:
        empty = [number for number, cells in found.items() if column not in cells]
        if 0 < len(empty) < len(found):
            more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
            raise DataError(
                f"{given}: row {empty[0]}{more} without {column}, others have one. Fill in every row, or remove the "
                "column."
            )
    first: dict[str, tuple[int, Chosen]] = {}
    for number, one in zip(found, images, strict=True):
        before, same = first.setdefault(_key(one), (number, one))
        if (same.part, same.view) != (one.part, one.view):
            raise DataError(
                f"{given}: rows {before} and {number} say different things of the same image, {one.called}. Keep one."
            )


def _places(given: str, header: Sequence[str], columns: Mapping[str, str], compares: bool) -> dict[str, int]:
    """Our column name -> its place in the list."""
    if unknown := sorted({*columns} - {*OF_TABLES}):
        raise ConfigError(f"--column {unknown[0]}={columns[unknown[0]]}: expected one of {', '.join(OF_TABLES)}.")
    names = {ours: _compared(columns.get(ours, ours)) for ours in (*COLUMNS, *UNREAD)}
    if twice := [name for name in names.values() if header.count(name) > 1]:
        raise DataError(f"{given}: two columns are called '{twice[0]}'. Rename one of them.")
    refused = [names[ours] for ours in UNREAD if names[ours] in header and (compares or ours != "reference")]
    if refused:
        raise DataError(
            f"{given}: {', '.join(refused)} cannot be told by a list of this kind. Give a CSV file of images that lie "
            "here, or remove what is of no use."
        )
    for ours in COLUMNS:
        if names[ours] not in header and (ours in columns or ours == "image"):
            raise DataError(
                f"{given}: no column '{columns.get(ours, ours)}' among {', '.join(header)}. A list has the columns "
                f"{', '.join(COLUMNS)}; rename others with --column group=NAME."
            )
    return {ours: header.index(names[ours]) for ours in COLUMNS if names[ours] in header}


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _listed(cells: Mapping[str, str], here: Path, folder: str | None) -> Chosen:
    """An image that a list names."""
    image, part, view = cells["image"], cells.get("group"), cells.get("view")
    if folder is not None and not is_address(image):
        protocol, _, rest = f"{folder}/{image}".partition("://")
        image = f"{protocol}://{posixpath.normpath(rest)}"
    if is_address(image):
        refuse_secrets(image)
        remote = Remote(image, image.partition("://")[0] + "://" + image.partition("://")[2].partition("/")[0])
        root = Path(*remote.path.parts[:2])
        return Chosen(remote.path, remote.path.relative_to(root).as_posix(), root, None, part, view, remote)
    path = here / image
    return Chosen(path, image, here if path.is_relative_to(here) else path.parent, None, part, view)


def _cells(given: str) -> list[list[Any]]:
    """A list as rows of cells, the header first."""
    if given.lower().endswith(PARQUET):
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise MissingExtra("pyarrow", "cluster", "a Parquet list") from error
        source: Any = BytesIO(content(given)) if is_address(given) else given
        try:
            table = parquet.read_table(source)
        except (ArrowException, OSError) as error:
            raise DataError(f"{given}: is no Parquet file that can be read ({error}).") from error
        return [table.column_names, *map(list, zip(*(column.to_pylist() for column in table.columns), strict=True))]
    if not is_address(given):
        return lines_of(Path(given))
    with disk.scratch() as scratch:
        file = scratch / "list.csv"
        file.write_bytes(content(given))
        return lines_of(file)
