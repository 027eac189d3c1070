"""Masks: what one marks, and which image it belongs to in the MVTec layout."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data.samples import TEST, DataSet, Sample, count, normal, some
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.edge.images.picture import Corners
from anomalib_lite.errors import ImageError

WHITE = (255, 1023, 4095, 16383, 65535)
LISTED = 8  # levels in a message
WORDS = re.compile(r"[\W_]*[^\W\d_]+(?:[\W_]+[^\W\d_]+)*[\W_]*\d*")  # behind a name: "_mask", "-ground_truth", " GT 2"


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask image, by the one rule for all masks: what is above half of the range is marked.

    The range is that of the type; of 16 bits, as many are counted as a mask uses: 8, 10, 12, 14 or all. Of int16 and
    float32, which readers give, it ends at the largest value of the mask.
    """

    marked: NDArray[np.bool_]  # (H, W)
    levels: NDArray[Any]  # every value that it has, ascending
    white: int | float  # largest value of the range
    corners: Corners | None = None  # where it lies: those of `Picture`

    @classmethod
    def read(cls, path: Path, opener: Opener = PLAIN) -> Mask:
        """Of colours, the brightest channel counts.

        Raises:
            ImageError: It cannot be read.
        """
        picture = opener.read(path)
        plane = picture.pixels.max(axis=2)
        levels = levels_of(plane)
        if plane.dtype.kind != "u":
            return cls(plane > max(levels[-1] / 2, 0), levels, levels[-1].item(), picture.corners)
        white = next(white for white in WHITE if levels[-1] <= white)
        return cls(plane > white // 2, levels, white, picture.corners)

    @property
    def is_empty(self) -> bool:
        """Whether it is black all over: it says that there is nothing to mark."""
        return not self.levels.any()

    @property
    def share(self) -> float:
        """Of its pixels, those marked."""
        return float(self.marked.mean())

    def fault(self) -> str | None:
        """Why nothing can be concluded from it, in words behind its name; None where it is sound."""
        if self.is_empty or 0 < self.share < 1:
            return None
        what = "everything" if self.share else "nothing"
        return f"marks {what}: {self.named()}, and what is above {self.white // 2:,} is marked"

    def named(self) -> str:
        """Its levels in words."""
        if len(self.levels) > LISTED:
            return f"it has {len(self.levels):,} levels, {self.levels[0]:,} to {self.levels[-1]:,}"
        each = ", ".join(f"{level:,}" for level in self.levels)
        return f"its levels are {each}" if len(self.levels) > 1 else f"its only level is {each}"

    @property
    def is_plain(self) -> bool:
        """Whether it is black and white and nothing between."""
        return set(self.levels.tolist()) <= {0, self.white}


def levels_of(plane: NDArray[Any]) -> NDArray[Any]:
    """The values of an array, ascending; of unsigned integers in one pass, without sorting."""
    if plane.dtype.kind != "u":
        return np.unique(plane)
    seen = np.zeros(int(np.iinfo(plane.dtype).max) + 1, bool)
    seen[plane] = True
    return np.flatnonzero(seen)


def union(masks: Sequence[Path], opener: Opener = PLAIN) -> NDArray[np.bool_] | None:
    """What the masks of one image mark together, (H, W); None where there are none.

    Raises:
        ImageError: One cannot be read.
    """
    marked = [Mask.read(path, opener).marked for path in masks]
    return np.logical_or.reduce(marked) if marked else None


def pair_masks(
    root: Path, samples: Sequence[Sample], masks: Sequence[str], opener: Opener = PLAIN
) -> tuple[list[Sample], list[str]]:
    """Give each test sample its masks of the MVTec layout.

    To test/KIND/NAME.* belong ground_truth/KIND/NAME.*, the same with a word behind it (NAME_mask.*), and every file
    of ground_truth/KIND/NAME/, as in MVTec LOCO.

    Args:
        root: What all names are relative to.
        samples: Samples of the layout.
        masks: Names of all files below ground_truth.
        opener: Its suffixes may have several dots.

    Returns:
        The samples, and what is wrong with the masks: one that belongs to no image, or to several.
    """
    by_stem: dict[str, list[str]] = {}
    for sample in samples:
        if sample.split == TEST:
            by_stem.setdefault(_below(sample.name, opener), []).append(sample.name)
    owned: dict[str, list[Path]] = {}
    orphans: list[str] = []
    faults: list[str] = []
    for mask in masks:
        stem = _below(mask, opener)
        found = by_stem.get(stem, []) + by_stem.get(worded(stem, by_stem) or "", [])
        found = found or by_stem.get(PurePosixPath(stem).parent.as_posix(), [])
        if len(found) > 1:
            faults.append(f"{root}: {mask} could belong to {found[0]} or {found[1]}. Rename one of them.")
        elif found:
            owned.setdefault(found[0], []).append(root / mask)
        else:
            orphans.append(mask)
    if orphans:
        faults.append(
            f"{root}: {count(len(orphans), 'mask')} without an image: {some(orphans)}. "
            "ground_truth/KIND/NAME_mask.png belongs to test/KIND/NAME.*: add the image, or remove the mask."
        )
    return [replace(s, masks=tuple(owned[s.name])) if s.name in owned else s for s in samples], faults


def worded(stem: str, stems: Collection[str]) -> str | None:
    """The longest of `stems` that this one is with words behind or before it: "a_mask", "mask-a"; None without any."""
    base, mark, key = stem.rpartition("#")
    if mark and base:  # of the images of two files those of one key: scan_mask#12, scan#12
        found = worded(base, {one.removesuffix(f"#{key}") for one in stems if one.endswith(f"#{key}")})
        return None if found is None else f"{found}#{key}"
    for end in range(len(stem) - 1, 0, -1):
        if _is_boundary(stem, end) and stem[:end] in stems and WORDS.fullmatch(stem[end:]):
            return stem[:end]
    folder, slash, name = stem.rpartition("/")
    for start in range(1, len(name)):
        base = folder + slash + name[start:]
        if not name[start - 1].isalnum() and base in stems and WORDS.fullmatch(name[:start].rstrip("_- .")):
            return base
    return None


def _is_boundary(text: str, place: int) -> bool:
    """Whether a word may begin or end there: not within letters, and not within digits."""
    before, behind = text[place - 1], text[place]
    return not (before.isalpha() and behind.isalpha()) and not (before.isdigit() and behind.isdigit())


def stem_of(name: str, opener: Opener) -> str:
    """A name without its suffix, as it is compared with others."""
    suffix = opener.suffix(name)
    if suffix is not None and not name.lower().endswith(suffix):  # scan.dcm#12
        base, _, key = name.rpartition("#")
        return normal(f"{base[: -len(suffix)]}#{key}")
    return normal(PurePosixPath(name).with_suffix("").as_posix() if suffix is None else name[: -len(suffix)])


def _below(name: str, opener: Opener) -> str:
    """A name without its first folder and its suffix."""
    return stem_of(PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix(), opener)


def smallest(dataset: DataSet) -> int | None:
    """Pixels of the smallest defect that the masks of an image mark; None where none can be read."""
    areas = []
    for sample in dataset.samples:
        try:
            marked = union(sample.masks, dataset.opener)
        except (ImageError, ValueError):  # masks of several sizes: told elsewhere
            continue
        areas += [int(marked.sum())] if marked is not None and marked.any() else []
    return min(areas, default=None)
