"""What `predict` is given: files, folders, patterns such as *.png, and tables; from them the images to judge."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anomalib_lite.data import absolute, to_judge
from anomalib_lite.data.addresses import Remote
from anomalib_lite.data.patterns import part_pattern
from anomalib_lite.data.samples import Sample, normal
from anomalib_lite.data.table import is_table, read_table
from anomalib_lite.data.unfolding import unfolded
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Chosen:
    """One image to judge."""

    path: Path
    name: str  # within the folder or the table that it was found in; of a file, its own
    root: Path  # the folder that the name is relative to, or the image's own
    reference: Path | None = None  # the golden image that a table names
    part: str | None = None  # that it shows, where that is known
    view: str | None = None  # that a table names
    remote: Remote | None = None  # where it is fetched from; then the paths are relative to where it is fetched to
    product: str | None = None  # that a table names

    @property
    def called(self) -> str:
        """What its row is called by."""
        return self.remote.address if self.remote else os.fspath(self.path)


def chosen(
    inputs: Sequence[Path],
    opener: Opener,
    columns: Mapping[str, str] | None = None,
    *,
    group: str | None = None,
    compares: bool = True,
) -> tuple[list[Chosen], list[str]]:
    """The images of all inputs, each once, and what is to be said of them.

    Args:
        inputs: Files, folders that are searched, CSV files with a column `image`, and patterns: a shell that expands
            none, as on Windows, hands them on.
        opener: Tells by their names which files are images.
        columns: Names of columns that a CSV file calls differently.
        group: A regular expression that finds the part in a name; it takes the place of a column `group`.
        compares: Whether golden images that a table names are of use.

    Raises:
        DataError: An input holds no image, a pattern matches nothing, a table cannot be read, or no part is found in a
            name.
        ConfigError: Columns are named, and no input is a table; or `group` captures nothing.
    """
    pattern = part_pattern(group)
    given = [path for one in inputs for path in expanded(one)]
    if columns and not any(map(is_table, given)):
        raise ConfigError("--column names columns of a CSV file, and INPUT is none: leave it out, or give the table.")
    given = _in_series(given, opener)
    found: dict[Path, Chosen] = {}
    notes: list[str] = []
    for path in given:
        images, passed_over = _images(path, opener, columns or {})
        notes += [f"{path}: {note}" if len(given) > 1 else note for note in passed_over]
        for one in images:
            found.setdefault(absolute(one.path), one)
    if not compares and any(one.reference for one in found.values()):
        notes.append("column not read: reference, since the model compares with nothing")
    return [with_part(one, pattern, opener) for one in found.values()], notes


def with_part(one: Chosen, pattern: re.Pattern[str] | None, opener: Opener) -> Chosen:
    """The image with the part that its name gives, where a pattern finds parts in names, or that its file gives.

    Files of several images name it, or are it. Names of parts and of views are as they are compared in a training.
    """
    one = replace(one, view=one.view and normal(one.view))
    if pattern is None:
        name = os.fspath(one.path)
        alone = name if one.path in opener.catalogue.unread else None
        known = one.part or opener.catalogue.parts.get(one.path) or opener.file_of(name) or alone
        return replace(one, part=known and normal(known))
    if not (match := pattern.search(normal(one.name))) or not match[1]:
        raise DataError(
            f"{one.path}: --group '{pattern.pattern}' finds no part in '{one.name}'. Change the expression so that it "
            "matches every name."
        )
    return replace(one, part=match[1])


def _in_series(given: Sequence[Path], opener: Opener) -> list[Path]:
    """What is given, the files of a series as that series, where the first of them stands."""
    series = opener.series([path for path in given if not path.is_dir() and not is_table(path)])
    first = {files[0]: name for name, files in series.items()}
    later = {file for files in series.values() for file in files[1:]}
    return [first.get(path, path) for path in given if path not in later]


def common_root(images: Iterable[Chosen]) -> Path | None:
    """The folder that all images lie below, absolute and without '..'; None where they lie on several drives.

    Of images that are fetched, relative to where they are fetched to.
    """
    images = list(images)
    if images and all(one.remote for one in images):
        return Path(os.path.commonpath({one.root for one in images}))
    try:
        return Path(os.path.commonpath({absolute(one.root) for one in images}))
    except ValueError:
        return None


def expanded(one: Path) -> list[Path]:
    """A path as it is; of a pattern that is no path, all that it matches."""
    if os.path.lexists(one) or not glob.has_magic(os.fspath(one)):
        return [one]
    matches = sorted(map(Path, glob.glob(os.fspath(one), recursive=True)))  # noqa: PTH207 - the pattern may be absolute
    if not matches:
        raise DataError(
            f"{one}: no file matches this pattern. Check the folder and the suffix, such as 'images/*.png'."
        )
    return matches


def _images(one: Path, opener: Opener, columns: Mapping[str, str]) -> tuple[list[Chosen], list[str]]:
    """The images of one input, and notes on what is passed over."""
    if is_table(one):
        table = unfolded(read_table(one, columns), opener)
        return [_of_table(one.parent, sample, grouped=table.grouped) for sample in table.samples], []
    root = one if one.is_dir() else one.parent
    images, notes = to_judge(one, opener)
    return [Chosen(path, path.relative_to(root).as_posix(), root) for path in images], notes


def _of_table(folder: Path, sample: Sample, *, grouped: bool) -> Chosen:
    root = folder if sample.path.is_relative_to(folder) else sample.path.parent
    part = sample.group if grouped else None
    return Chosen(sample.path, sample.name, root, sample.reference, part, sample.view, product=sample.product)
