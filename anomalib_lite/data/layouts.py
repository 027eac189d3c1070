"""What the folders of a data set say of its images: the MVTec layout, folders beside `good`, folders that are named.

No list of words would do for what people call good (gut, pass, iO, 0): what no layout explains is asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from anomalib_lite.data.beside import Beside
from anomalib_lite.data.masks import Mask, pair_masks
from anomalib_lite.data.samples import (
    GOOD,
    MARKED,
    TEST,
    TRAIN,
    UNCLEAR_LABELS,
    DataSet,
    Folders,
    Sample,
    count,
    normal,
    some,
)
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.errors import ConfigError, DataError, ImageError

GROUND_TRUTH = "ground_truth"
ASK = (
    "Give --good FOLDER and --defective FOLDER for each that is so, --all-good where all images are of good parts"
    "{group}."
)
FolderPath = tuple[str, ...]


def is_mvtec(names: Collection[str]) -> bool:
    """Whether images lie in train/good, or in folders within test."""
    paths = (name.split("/", 2) for name in names)
    return any(path[:2] == [TRAIN, GOOD] or path[0] == TEST for path in paths if len(path) == 3)


def mvtec(root: Path, names: Sequence[str], notes: list[str], folders: Folders, opener: Opener) -> DataSet:
    """The samples of a folder in the MVTec layout.

    Raises:
        DataError: Images lie where the layout has none, or all of it is said to be good.
        ConfigError: A folder is named that holds no image.
    """
    if folders.all_good:
        raise DataError(f"{root}: its folders say what is good and what is not (MVTec layout): leave --all-good out.")
    told = _told(root, names, folders)
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
            label = GOOD if rest[0].lower() == GOOD or told.get(name) == GOOD else rest[0]
            samples.append(Sample(root / name, name, label, group=name, split=top))
    if loose:
        raise DataError(f"{root}: images lie outside of train/good and test/<kind>: {some(loose)}. Move them there.")
    if others:
        kinds = ", ".join(f"{top} {number}" for top, number in sorted(others.items()))
        notes.append(f"{count(others.total(), 'image')} passed over, in none of train, test and ground_truth: {kinds}")
    samples, faults = pair_masks(root, samples, masks, opener)
    unclear = _unclear_kinds(root, samples, told)
    return DataSet(root, "MVTec", samples, notes, unclear=" ".join([*unclear, *faults]))


def _unclear_kinds(root: Path, samples: Sequence[Sample], told: dict[str, str]) -> Iterator[str]:
    """Why the folders within test do not say which of their images are good: none is called so, or one nearly so.

    Those that have masks hold defects, whatever they are called.
    """
    test = [sample for sample in samples if sample.split == TEST]
    masked = {sample.label for sample in test if sample.masks}
    kinds = Counter(str(s.label) for s in test if not s.is_good and s.label not in masked and s.name not in told)
    if any(sample.is_good for sample in test):
        kinds = Counter({kind: number for kind, number in kinds.items() if kind.lower() in UNCLEAR_LABELS})
    if kinds:
        found = some([f"{TEST}/{kind} ({number:,})" for kind, number in sorted(kinds.items())], 8)
        yield (
            f"{root}: nothing says whether these are good: {found}. Give --good FOLDER where they are, and --defective "
            "FOLDER where they are not."
        )


def plain(
    root: Path,
    names: Sequence[str],
    notes: list[str],
    folders: Folders,
    pattern: re.Pattern[str] | None,
    opener: Opener,
) -> DataSet:
    """The samples of a folder of images.

    Raises:
        DataError: Its images lie in several folders and nothing says which of these are good, or what looks like masks
            among them is none for certain.
        ConfigError: A folder is named that holds no image.
    """
    masks = Beside(root, names, opener).pairs(photographs=folders.all_good)
    if masks:
        examples = some([f"{mask} of {image}" for mask, image in masks.items()], 2)
        notes.append(f"{count(len(masks), 'mask')} found beside images: {examples}")
    images = [name for name in names if name not in masks]
    labels = _labels(root, images, notes, folders, pattern)
    of: dict[str, list[Path]] = {}
    for mask, image in masks.items():
        of.setdefault(image, []).append(root / mask)
    samples = [_sample(root, name, labels[name], of.get(name, ()), opener) for name in images if name in labels]
    if folders.named:  # the defective ones are there to be measured
        samples = [replace(one, split=TEST) if one.is_good is False else one for one in samples]
    marked = sum(sample.label == MARKED for sample in samples)
    if marked:
        notes.append(f"{count(marked, 'image')} taken as defective, since a mask marks something in each")
    unlabelled = sum(sample.label is None for sample in samples)
    if unlabelled and not folders.lot:
        notes.append(f"no labels: training takes all {count(unlabelled, 'image')} as good")
    if folders.all_good:
        notes.append(f"--all-good: {count(len(samples), 'image')} taken as good, whatever the folders are called")
    return DataSet(root, "folder", samples, notes)


def _sample(root: Path, name: str, label: str | None, masks: Sequence[Path], opener: Opener) -> Sample:
    """One image; where nothing else is said of it, its masks say whether it is good."""
    sample = Sample(root / name, name, label, masks=tuple(masks), group=name)
    if label is None and masks:
        sample = replace(sample, label=MARKED if any(_marks(mask, opener) for mask in masks) else GOOD)
    return replace(sample, split=TEST) if sample.label == MARKED else sample


def _marks(mask: Path, opener: Opener) -> bool:
    """Whether a mask has anything but black; one that cannot be read may have."""
    try:
        return not Mask.read(mask, opener).is_empty
    except ImageError:
        return True


def _labels(
    root: Path, names: Sequence[str], notes: list[str], folders: Folders, pattern: re.Pattern[str] | None
) -> dict[str, str | None]:
    """Name -> label, of the images that are used."""
    if folders.named:
        told = _told(root, names, folders)
        if folders.lot:
            return {name: told.get(name) for name in names}
        rest = Counter("/".join(_folder(name)) or "." for name in names if name not in told)
        if rest:
            found = some([f"{folder} {number:,}" for folder, number in sorted(rest.items())])
            notes.append(f"{count(rest.total(), 'image')} passed over, neither --good nor --defective names: {found}")
        return dict(told)
    if folders.all_good:
        return dict.fromkeys(names, GOOD)
    found_beside_good = _beside_good(names)
    if found_beside_good is not None:
        return dict(found_beside_good)
    if len({_unexplained(name, pattern) for name in names}) > 1 and not folders.lot:
        raise DataError(_question(root, names, grouped=pattern is not None))
    return dict.fromkeys(names)


def _told(root: Path, names: Sequence[str], folders: Folders) -> dict[str, str]:
    """Name -> label, of the images in folders that are named; of folders within each other, the innermost counts."""
    said = [(_below(root, folder), GOOD, folder) for folder in folders.good]
    said += [(path, path[-1] if path else root.name, folder) for folder in folders.defective
             for path in [_below(root, folder)]]  # fmt: skip
    depths: dict[str, tuple[int, str]] = {}
    for path, label, folder in said:
        option = "--good" if folder in folders.good else "--defective"
        inside = {name: depth for name in names if (depth := _depth(_folder(name), path)) is not None}
        if not inside:
            there = sorted({"/".join(_folder(name)) for name in names} - {""})
            remedy = f"Name one of: {some(there, 8)}." if there else f"It has no folders of images: leave {option} out."
            raise ConfigError(f"{option} {folder}: no image of {root} lies in such a folder. {remedy}")
        for name, depth in inside.items():
            before = depths.get(name)
            if before is not None and before[0] == depth and before[1] != label:
                raise ConfigError(f"{option} {folder}: {name} would be good and defective. Name its folder once.")
            if before is None or before[0] < depth:
                depths[name] = (depth, label)
    return {name: label for name, (_, label) in depths.items()}


def _below(root: Path, folder: str) -> FolderPath:
    """A folder as its path within the data set, however it is named: within it, from where the user is, or in full."""
    if not (root / folder).is_dir() or Path(folder).is_absolute():
        try:
            return tuple(map(normal, Path(folder).resolve().relative_to(root.resolve()).parts))
        except ValueError:  # not inside of it
            pass
    return PurePosixPath(normal(folder).replace("\\", "/")).parts


def _depth(folder: FolderPath, path: FolderPath) -> int | None:
    """How deep a folder lies in another one: None where it does not. A name alone is that of any folder above."""
    if folder[: len(path)] == path:
        return len(path)
    return folder.index(path[0]) + 1 if len(path) == 1 and path[0] in folder else None


def _beside_good(names: Sequence[str]) -> dict[str, str] | None:
    """Name -> label where every image lies in a folder `good`, or in one beside such a folder; None otherwise."""
    paths = {name: _folder(name) for name in names}
    above = {path[:place] for path in set(paths.values()) if (place := _place_of_good(path)) is not None}
    labels: dict[str, str] = {}
    for name, path in paths.items():
        beside = [depth for depth in range(len(path)) if path[:depth] in above]
        if _place_of_good(path) is not None:
            labels[name] = GOOD
        elif beside:
            labels[name] = path[beside[-1]]
        else:
            return None
    return labels


def _place_of_good(path: FolderPath) -> int | None:
    return next((place for place, part in enumerate(path) if part.lower() == GOOD), None)


def _unexplained(name: str, pattern: re.Pattern[str] | None) -> FolderPath:
    """The folder of an image, without what is the name of its part: a capture that ends before the file's own name."""
    match = pattern.search(name) if pattern else None
    begin, end = match.span(1) if match else (0, 0)
    if end > name.rfind("/"):
        return _folder(name)
    folder, place = [], 0
    for part in _folder(name):
        inside = begin < place + len(part) and place < end
        folder.append("*" if inside else part)
        place += len(part) + 1
    return tuple(folder)


def _question(root: Path, names: Sequence[str], *, grouped: bool) -> str:
    there = Counter("/".join(_folder(name)) or "." for name in names)
    found = some([f"{folder} ({number:,})" for folder, number in sorted(there.items())], 8)
    group = "" if grouped else ", or --group '([^/]+)/' where each folder shows one part"
    return f"{root}: its images lie in {len(there):,} folders, and nothing says which are good: {found}. " + ASK.format(
        group=group
    )


def _folder(name: str) -> FolderPath:
    return PurePosixPath(normal(name)).parts[:-1]
