"""Images that lie in object stores, and lists of images as Parquet: what `predict` is given beside files and folders.

A list has a column `image`, and where they are known `group` and `view`: a Parquet file anywhere, or a CSV file at an
address, or one whose images are addresses. What is no address is relative to the list.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from anomalib_lite.data.addresses import Remote, content, is_address, listed, refuse_secrets
from anomalib_lite.data.patterns import part_pattern
from anomalib_lite.data.table import is_table, lines_of
from anomalib_lite.edge import disk
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.errors import ConfigError, DataError, MissingExtra
from anomalib_lite.pipeline.inputs import Chosen, chosen, with_part

COLUMNS = ("image", "group", "view")
PARQUET = (".parquet", ".pq")


def elsewhere(inputs: Sequence[str]) -> list[str]:
    """Those inputs that are addresses or lists of their own kind, and no matter of `inputs.chosen`."""
    return [one for one in inputs if is_address(one) or one.lower().endswith(PARQUET) or _names_addresses(one)]


def gathered(
    inputs: Sequence[str], opener: Opener, columns: Mapping[str, str] | None = None, *, group: str | None = None,
    compares: bool = True,
) -> tuple[list[Chosen], list[str]]:  # fmt: skip
    """The images of all inputs, each once, and what is to be said of them. Arguments and errors as of `inputs.chosen`.

    Raises:
        ConfigError: Some are fetched from addresses, and others lie here.
    """
    others = elsewhere(inputs)
    here = [Path(one) for one in inputs if one not in others]
    images, notes = ([], []) if others and not here else chosen(here, opener, columns, group=group, compares=compares)
    pattern = part_pattern(group)
    found = {one.called: with_part(one, pattern, opener) for given in others for one in _images(given, opener, columns)}
    images += found.values()
    if len({one.remote is None for one in images}) > 1:
        raise ConfigError("some of the images are fetched from addresses, and others lie here: judge them apart.")
    return images, notes


def _names_addresses(text: str) -> bool:
    """Whether a CSV file here names images by addresses."""
    if not is_table(Path(text)):
        return False
    return any(is_address(cell.strip()) for line in lines_of(Path(text))[1:2] for cell in line)


def _images(given: str, opener: Opener, columns: Mapping[str, str] | None) -> Iterator[Chosen]:
    """The images of an address, or of a list."""
    if given.lower().endswith((*PARQUET, ".csv")):
        yield from _of_list(given, columns or {})
        return
    found = listed(given, opener.is_image)
    for one in found:
        above = Remote(one.root.rstrip("/"), one.root).path
        yield Chosen(one.path, one.path.relative_to(above).as_posix(), above, remote=one)


def _of_list(given: str, columns: Mapping[str, str]) -> Iterator[Chosen]:
    """The images of a list, in its order.

    Raises:
        DataError: It cannot be read, or has no column of images.
    """
    header, *rows = _cells(given)
    names = {ours: columns.get(ours, ours) for ours in COLUMNS}
    places = {ours: header.index(theirs) for ours, theirs in names.items() if theirs in header}
    if "image" not in places:
        raise DataError(f"{given}: no column '{names['image']}' among {', '.join(header)}. Rename it with --column.")
    folder = given.rpartition("/")[0] if is_address(given) else None
    for row in rows:
        cells = {ours: str(row[place]).strip() for ours, place in places.items() if row[place] not in (None, "")}
        if "image" not in cells:
            raise DataError(f"{given}: a row names no image. Fill it in, or remove the row.")
        yield _listed(cells, Path(given).parent, folder)


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
