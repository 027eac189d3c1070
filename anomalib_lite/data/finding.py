"""Finds samples in a folder of images, the MVTec layout, or a CSV file.

folder   every image below it; its folders say which are good where one is called so, or the user says it
MVTec    train/good, test/<kind>, and masks in ground_truth/<kind>/NAME_mask.* or NAME.*, or several in NAME/
CSV      image[,label,mask,group,session,view,split,reference,channels], see `anomalib_lite.data.table`

Images are left to `survey`, masks to `mask_checks`. `split_for_calibration` and `folds` keep each physical part on one
side.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from anomalib_lite.data import layouts
from anomalib_lite.data.beside import Beside
from anomalib_lite.data.patterns import part_pattern
from anomalib_lite.data.samples import TEST, DataSet, Folders, Sample, count, normal, some
from anomalib_lite.data.table import describes_images, is_table, read_table
from anomalib_lite.data.unfolding import unfolded
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.edge.images.readers import IMAGE_SUFFIXES
from anomalib_lite.errors import ConfigError, DataError, ImageError

SYSTEM = re.compile(  # folders that storage and systems make on their own: thumbnails, deleted files, snapshots
    r"[@$.].*|#(recycle|snapshot|lost\+found).*|~snapshot|__macosx|system volume information|lost\+found|recycle[rd]|"
    r"network recycle bin.*|network trash folder|temporary items|trashbox|found\.\d{3}",
    re.IGNORECASE,
)
OURS = {  # folders that this project writes, by what lies beside their pictures
    "heatmaps": {"results.jsonl"},
    "reference": {"manifest.json", "model.onnx"},
    "selfcheck": {"manifest.json", "model.onnx"},
}


@dataclass(frozen=True, kw_only=True)
class Images:
    """Where images are, and what is said of them: arguments of `find`, as a command is given them."""

    data: Path
    group: str | None = None  # regular expression for the physical part
    session: str | None = None  # likewise for the day, lot or camera
    columns: Mapping[str, str] = field(default_factory=dict)  # renamed CSV columns
    folders: Folders = field(default_factory=Folders)  # which hold good images, where their names do not say so

    def found(self, opener: Opener) -> DataSet:
        """All of them. Errors as of `find`."""
        return find(
            self.data, group=self.group, session=self.session, columns=self.columns, folders=self.folders, opener=opener
        )


def find(
    path: Path,
    *,
    group: str | None = None,
    session: str | None = None,
    columns: Mapping[str, str] | None = None,
    folders: Folders | None = None,
    opener: Opener = PLAIN,
) -> DataSet:
    """All samples at `path`: a folder of images, a folder in the MVTec layout, or a CSV file. Sorted by name.

    Args:
        path: The folder or file.
        group: A regular expression whose first capture, searched in a sample's name, is its group. It takes the place
            of a `group` column.
        session: Likewise for its session: the day, lot or camera. It takes the place of a `session` column.
        columns: Names of columns that the CSV calls differently: {"group": "board"}.
        folders: Which folders hold good images and which defective ones, where their names do not say so.
        opener: Tells by their names which files are images.

    Raises:
        DataError: There is no image, nothing says which are good, or what is said of them contradicts itself.
        ConfigError: `group` or `session` is no regular expression with a capture, a column has no meaning, or a folder
            that is named holds no image.
    """
    pattern, folders = part_pattern(group), folders or Folders()
    told = part_pattern(session, "session")
    if is_table(path):
        dataset = unfolded(read_table(path, columns or {}, folders), opener)
    elif path.is_dir():
        if columns:
            raise ConfigError(f"{path} is a folder, columns are those of a CSV file: leave --column out.")
        dataset = _find_in_folder(path, folders, pattern, opener)
    elif path.exists():
        raise DataError(f"{path} is neither a folder nor a CSV file. Give the folder that holds the images.")
    else:
        raise DataError(f"{path} does not exist. Give a folder of images, or a CSV file.")
    if not dataset.samples:
        raise DataError(_nothing(path, dataset.notes, opener))
    dataset = replace(dataset, opener=opener, samples=sorted(map(_normal, dataset.samples), key=_place))
    dataset = _by_parts(dataset) if pattern is None else _regroup(dataset, pattern)
    return dataset if told is None else _by_session(dataset, told)


def _normal(sample: Sample) -> Sample:
    """A sample whose names are as they are compared."""
    label, session, view = (one and normal(one) for one in (sample.label, sample.session, sample.view))
    return replace(
        sample, name=normal(sample.name), group=normal(sample.group), label=label, session=session, view=view
    )


def _place(sample: Sample) -> str:
    """What samples are sorted by: those of one file stay in its order."""
    return sample.name.rpartition("#")[0] or sample.name


def _nothing(path: Path, notes: list[str], opener: Opener) -> str:
    seen = f" ({'; '.join(notes)})" if notes else ""
    suffixes = ", ".join((*IMAGE_SUFFIXES, *sorted(opener.readers)))
    return f"{path}: no images found{seen}. Expected files ending in {suffixes}: give the folder that holds them."


def _captured(dataset: DataSet, pattern: re.Pattern[str], what: str) -> list[str]:
    """What the pattern finds in the name of each sample."""
    found = [pattern.search(sample.name) for sample in dataset.samples]
    captures = [match[1] or "" if match else "" for match in found]
    missed = [sample.name for sample, capture in zip(dataset.samples, captures, strict=True) if not capture]
    if missed:
        raise DataError(
            f"{what}: '{pattern.pattern}' finds no {'part' if what == 'group' else what} in {len(missed)} of "
            f"{count(len(captures), 'name')}: {some(missed, 3)}. Change the expression so that it matches every name."
        )
    return captures


def _regroup(dataset: DataSet, pattern: re.Pattern[str]) -> DataSet:
    captures = _captured(dataset, pattern, "group")
    samples = [replace(s, group=capture) for s, capture in zip(dataset.samples, captures, strict=True)]
    notes = [*dataset.notes, "groups come from the names, the column is not used"] if dataset.grouped else dataset.notes
    return replace(dataset, samples=samples, notes=notes, grouped=True)


def _by_session(dataset: DataSet, pattern: re.Pattern[str]) -> DataSet:
    captures = _captured(dataset, pattern, "session")
    told = any(sample.session for sample in dataset.samples)
    notes = [*dataset.notes, "sessions come from the names, the column is not used"] if told else dataset.notes
    samples = [replace(s, session=capture) for s, capture in zip(dataset.samples, captures, strict=True)]
    return replace(dataset, samples=samples, notes=notes)


def _by_parts(dataset: DataSet) -> DataSet:
    """The samples by the parts that their files name, or by their files, where nothing else is said of parts.

    Raises:
        DataError: Some files name a part, others do not.
    """
    parts, opener = dataset.opener.catalogue.parts, dataset.opener
    if dataset.grouped:
        return dataset
    if not any(sample.path in parts for sample in dataset.samples):
        return _by_files(dataset)
    missed = [one.name for one in dataset.samples if one.path not in parts and _is_readable(one.path, opener)]
    if missed:
        raise DataError(
            f"{dataset.root}: some files name the part that is seen, those of {count(len(missed), 'image')} do not: "
            f"{some(missed, 3)}. Give --group, or a column 'group'."
        )
    samples = [replace(sample, group=parts.get(sample.path, sample.name)) for sample in dataset.samples]
    return replace(dataset, samples=samples, notes=[*dataset.notes, "parts come from the files"], grouped=True)


def _by_files(dataset: DataSet) -> DataSet:
    """The samples by their files, where any holds several images: these are never independent of each other."""
    files = [dataset.opener.file_of(sample.name) for sample in dataset.samples]
    if not any(file is not None for file in files):
        return dataset
    named = zip(dataset.samples, files, strict=True)
    samples = [sample if file is None else replace(sample, group=file) for sample, file in named]
    said = (
        "images of one file count as photographs of one part: a video, a sound, a volume; where a part has several "
        "files, say so with --group"
    )
    return replace(dataset, samples=samples, notes=[*dataset.notes, said], grouped=True)


def _is_readable(path: Path, opener: Opener) -> bool:
    try:
        opener.header(path)
    except ImageError:
        return False
    return True


def _find_in_folder(root: Path, folders: Folders, pattern: re.Pattern[str] | None, opener: Opener) -> DataSet:
    names, notes = images_below(root, opener)
    table = next((file for file in sorted(root.glob("*.csv")) if describes_images(file)), None)
    if table is not None:
        raise DataError(f"{root}: {table.name} says what its images are. Give {table} instead, or move that file away.")
    if layouts.is_mvtec(names):
        return layouts.mvtec(root, names, notes, folders, opener)
    return layouts.plain(root, names, notes, folders, pattern, opener)


def images_below(root: Path, opener: Opener = PLAIN) -> tuple[list[str], list[str]]:
    """Names of all images below a folder, sorted, and notes on what is passed over. Hidden files are left alone."""
    found: list[Path] = []
    notes: list[str] = []
    rest: list[Path] = []
    for folder, files in _walk(root, notes):
        for file in files:
            (found if opener.finds(folder / file) else rest).append(folder / file)
    # by their letters: machines that split accents otherwise have the same order, and the shares of one work
    images, none = opener.images(sorted(found, key=lambda path: (normal(path.relative_to(root).as_posix()), path)))
    names, others = ([path.relative_to(root).as_posix() for path in paths] for paths in (images, [*rest, *none]))
    if others:
        kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in others)
        said = ", ".join(f"{suffix} {number}" for suffix, number in sorted(kinds.items()))
        notes.insert(0, f"{count(len(others), 'file')} passed over, no images: {said} ({some(sorted(others))})")
    return names, notes


def files_below(root: Path, opener: Opener = PLAIN) -> list[Path]:
    """The files that `images_below` looks for images in, sorted; none with a suffix is opened.

    Raises:
        DataError: A folder cannot be listed.
    """
    return sorted(folder / file for folder, files in _walk(root, []) for file in files if opener.finds(folder / file))


def to_judge(one: Path, opener: Opener = PLAIN) -> tuple[list[Path], list[str]]:
    """What is to be judged: a file as it is; of a folder, all images below it. And notes on what is passed over.

    Not judged are masks, in `ground_truth` or beside their images, and what the project itself wrote there.

    Raises:
        DataError: A folder holds no image.
    """
    if not one.is_dir():
        return opener.images([one])[0] or [one], []
    names, notes = images_below(one, opener)
    if not names:
        raise DataError(_nothing(one, notes, opener))
    masks = [name for name in names if _is_ground_truth(one, name)]
    passed_over = set(masks)
    images = [name for name in names if name not in passed_over]
    masks += Beside(one, images, opener).pairs(photographs=True)
    if masks:
        notes.append(f"{count(len(masks), 'mask')} passed over: {some(masks, 3)}")
    passed_over = set(masks)
    return [one / name for name in images if name not in passed_over], notes


def _is_ground_truth(root: Path, name: str) -> bool:
    """Whether a file lies in a folder `ground_truth` that has a folder `test` beside it."""
    above, inside, _ = f"/{name}".partition(f"/{layouts.GROUND_TRUTH}/")
    return bool(inside) and (root / above.lstrip("/") / TEST).is_dir()


def absolute(path: Path) -> Path:
    """A path from the root of the file system, without '..'; links are kept as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _walk(root: Path, notes: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Folders and their files, links followed, each folder once, however many links lead to it.

    Those of the system and of the project itself are passed over, and told in `notes`: nobody put images there.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}). Make it readable.") from error

    seen: set[tuple[int, int]] = set()
    system, ours = Counter[str](), Counter[str]()
    for folder, below, files in os.walk(root, onerror=refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            notes.append(f"{Path(folder).relative_to(root).as_posix()} links to a folder that was searched already")
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        system.update(name for name in below if SYSTEM.fullmatch(name))
        written = {name for name in below if OURS.get(name) and OURS[name] <= set(files)}
        ours.update(written)
        below[:] = sorted(name for name in below if not SYSTEM.fullmatch(name) and name not in written)
        yield Path(folder), [name for name in files if not name.startswith(".")]
    for what, passed_over in (("of the system or hidden", system), ("written by anomalib-lite", ours)):
        if passed_over:
            found = some([f"{name} {number:,}" for name, number in sorted(passed_over.items())])
            notes.append(f"{count(passed_over.total(), 'folder')} passed over, {what}: {found}")
