"""Finds samples in a folder of images, the MVTec layout, or a CSV file.

folder   every image below it, unlabelled
MVTec    train/good, test/<kind>, and masks in ground_truth/<kind>/NAME_mask.* or NAME.*
CSV      image[,label,mask,group,split,reference], see `anomalib_lite.data.table`

Masks are read here, to be sure that they fit; images are left to `survey`. `split_for_calibration` and `folds` keep
each physical part on one side.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from anomalib_lite.data.masks import check_masks, pair_masks
from anomalib_lite.data.samples import GOOD, TEST, TRAIN, DataSet, Sample, count, some
from anomalib_lite.data.table import describes_images, is_table, read_table
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.edge.images.readers import IMAGE_SUFFIXES
from anomalib_lite.errors import ConfigError, DataError

GROUND_TRUTH = "ground_truth"
VERDICTS = {"ok", "ng", "nok", "review", "error"}  # what `watch` sorts into, and many lines
TELLING = {GOOD, TRAIN, TEST, GROUND_TRUTH, "mask", "masks", *VERDICTS}  # folder names that say what an image is


def find(
    path: Path,
    *,
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    opener: Opener = PLAIN,
) -> DataSet:
    """All samples at `path`: a folder of images, a folder in the MVTec layout, or a CSV file. Sorted by name.

    Args:
        path: The folder or file.
        group: A regular expression whose first capture, searched in a sample's name, is its group. It takes the place
            of a `group` column.
        columns: Names of columns that the CSV calls differently: {"group": "board"}.
        opener: Tells by their names which files are images.

    Raises:
        DataError: There is no image, or what is said of the images contradicts itself.
        ConfigError: `group` is no regular expression with a capture, or a column has no meaning.
    """
    pattern = _compile(group)
    if is_table(path):
        dataset = read_table(path, columns or {})
    elif path.is_dir():
        if columns:
            raise ConfigError(f"{path} is a folder, columns are those of a CSV file: leave --column out.")
        dataset = _find_in_folder(path, opener)
    elif path.exists():
        raise DataError(f"{path} is neither a folder nor a CSV file. Give the folder that holds the images.")
    else:
        raise DataError(f"{path} does not exist. Give a folder of images, or a CSV file.")
    if not dataset.samples:
        seen = f" ({dataset.notes[0]})" if dataset.notes else ""
        suffixes = ", ".join((*IMAGE_SUFFIXES, *sorted(opener.readers)))
        raise DataError(f"{path}: no images found{seen}. Expected files ending in {suffixes}.")
    samples, notes = check_masks(dataset.samples, opener)
    dataset = replace(dataset, samples=samples, notes=dataset.notes + notes, opener=opener)
    return dataset if pattern is None else _regroup(dataset, pattern)


def _compile(group: str | None) -> re.Pattern[str] | None:
    if group is None:
        return None
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise ConfigError(f"group: '{group}' is not a regular expression ({error}).") from error
    if pattern.groups == 0:
        raise ConfigError(rf"group: '{group}' captures nothing. Put the part's number in brackets, as in 'part(\d+)'.")
    return pattern


def _regroup(dataset: DataSet, pattern: re.Pattern[str]) -> DataSet:
    found = [pattern.search(sample.name) for sample in dataset.samples]
    captures = [match[1] if match else None for match in found]
    missed = [sample.name for sample, capture in zip(dataset.samples, captures, strict=True) if not capture]
    if missed:
        raise DataError(
            f"group: '{pattern.pattern}' finds no part in {len(missed)} of {count(len(captures), 'name')}: "
            f"{some(missed, 3)}. Change the expression so that it matches every name."
        )
    samples = [replace(s, group=capture or "") for s, capture in zip(dataset.samples, captures, strict=True)]
    notes = [*dataset.notes, "groups come from the names, the column is not used"] if dataset.grouped else dataset.notes
    return replace(dataset, samples=samples, notes=notes, grouped=True)


def _find_in_folder(root: Path, opener: Opener) -> DataSet:
    names, notes = images_below(root, opener)
    table = next((file for file in sorted(root.glob("*.csv")) if describes_images(file)), None)
    if table is not None:
        raise DataError(f"{root}: {table.name} says what its images are. Give {table} instead, or move that file away.")
    if _is_mvtec(root):
        return _mvtec(root, names, notes, opener)
    _refuse_mixture(root, names)
    samples = [Sample(root / name, name, group=name) for name in names]
    if samples:
        notes.append(f"no labels: training takes all {count(len(samples), 'image')} as good")
    return DataSet(root, "folder", samples, notes)


def images_below(root: Path, opener: Opener = PLAIN) -> tuple[list[str], list[str]]:
    """Names of all images below a folder, sorted, and notes on what is no image. Hidden files are left alone."""
    names: list[str] = []
    notes: list[str] = []
    others: list[str] = []
    for folder, files in _walk(root, notes):
        for file in files:
            if opener.finds(folder / file):
                names.append((folder / file).relative_to(root).as_posix())
            else:
                others.append((folder / file).relative_to(root).as_posix())
    if others:
        kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in others)
        said = ", ".join(f"{suffix} {number}" for suffix, number in sorted(kinds.items()))
        notes.insert(0, f"{count(len(others), 'file')} passed over, no images: {said} ({some(sorted(others))})")
    return sorted(names), notes


def images_of(one: Path, opener: Opener = PLAIN) -> list[Path]:
    """A file as it is; of a folder, all images below it."""
    if not one.is_dir():
        return [one]
    names, _ = images_below(one, opener)
    if not names:
        raise DataError(f"{one}: no images found. Give images, or a folder that holds some.")
    return [one / name for name in names]


def absolute(path: Path) -> Path:
    """A path from the root of the file system, without '..'; links are kept as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _walk(root: Path, notes: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Folders and their files, links followed, each folder once, however many links lead to it."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}). Make it readable.") from error

    seen: set[tuple[int, int]] = set()
    for folder, below, files in os.walk(root, onerror=refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            notes.append(f"{Path(folder).relative_to(root).as_posix()} links to a folder that was searched already")
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if not _is_hidden(name))
        yield Path(folder), [name for name in files if not _is_hidden(name)]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _refuse_mixture(root: Path, names: Sequence[str]) -> None:
    """Refuse a folder whose sub-folders say that its images are not all of one kind."""
    kinds: dict[tuple[str, ...], str] = {}
    for name in names:
        kinds.setdefault(tuple(p.lower() for p in PurePosixPath(name).parts[:-1] if p.lower() in TELLING), name)
    if len(kinds) > 1:
        raise DataError(
            f"{root}: its folders tell images apart, as in {some(list(kinds.values()), 3)}, and would all be taken as "
            "good. Give one folder of good images, the layout train/good, test/<kind>, or a CSV file."
        )


def _is_mvtec(root: Path) -> bool:
    test = root / TEST
    return (root / TRAIN / GOOD).is_dir() or (test.is_dir() and any(child.is_dir() for child in test.iterdir()))


def _mvtec(root: Path, names: Sequence[str], notes: list[str], opener: Opener) -> DataSet:
    samples: list[Sample] = []
    masks: list[str] = []
    loose: list[str] = []
    others: Counter[str] = Counter()
    for name in names:
        top, *rest = PurePosixPath(name).parts
        if top == GROUND_TRUTH:
            masks.append(name)
        elif top not in (TRAIN, TEST):
            others[top] += 1
        elif len(rest) < 2:
            loose.append(name)
        else:
            label = GOOD if rest[0].lower() == GOOD else rest[0]
            samples.append(Sample(root / name, name, label, group=name, split=top))
    if loose:
        raise DataError(f"{root}: images lie outside of train/good and test/<kind>: {some(loose)}. Move them there.")
    if others:
        kinds = ", ".join(f"{top} {number}" for top, number in sorted(others.items()))
        notes.append(f"{count(others.total(), 'image')} passed over, in none of train, test and ground_truth: {kinds}")
    return DataSet(root, "MVTec", pair_masks(root, samples, masks, opener), notes)
