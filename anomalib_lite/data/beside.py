"""Finds masks that lie among the images that they are of: beside them, or in a folder of the same names.

By name and by content, since no list of words would do: a file is a mask of an image where it has the image's name in
another format, with a word behind or before it (`a_label.bmp`, `mask_a.png`), or in another folder (`masks/a.png`); and
where it has few levels, and its image has more. What looks like a mask and has many, as a JPEG has, is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from anomalib_lite.data.masks import levels_of, stem_of, worded
from anomalib_lite.data.samples import count, normal, some
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.errors import DataError, ImageError

FEW = 16  # levels that a mask may have: two, or a class for each kind of defect
NEAR = 0.05  # of the range: how far the pixels of a JPEG stray from black and from white
MOST = 0.9  # of the pixels of what looks like a mask are that near
SIBLINGS = 8  # folders that the partners of a folder of masks are looked for in


class Kind(IntEnum):
    """What the pixels of a file look like, the most like a mask first."""

    TWO = 0  # levels
    FEW = 1
    PERHAPS = 2  # nearly all pixels near the darkest and the brightest
    IMAGE = 3
    UNREADABLE = 4


class Beside:
    """Masks among the images of one folder.

    Args:
        root: The folder.
        names: Of all image files below it.
        opener: Opens them.
    """

    def __init__(self, root: Path, names: Sequence[str], opener: Opener) -> None:
        self._root, self._opener = root, opener
        self._kind = lru_cache(maxsize=65536)(self._look)
        self._by_stem: dict[str, list[str]] = {}
        for name in names:
            self._by_stem.setdefault(stem_of(name, opener), []).append(name)

    def pairs(self, *, photographs: bool = False) -> dict[str, str]:
        """Mask -> the image that it is of, by their names.

        Args:
            photographs: Whether what looks like a mask and has many levels is known to be an image.

        Raises:
            DataError: Files look like masks of images, and have more levels than a mask has.
        """
        found: dict[str, str] = {}
        asked: dict[str, str] = {}
        for pairs in [*self._within_folders(), *self._between_folders()]:
            new = {mask: image for mask, image in pairs.items() if mask not in found and image not in found}
            worst = max(self._kinds(new), default=Kind.IMAGE) if self._may_be(new) else Kind.IMAGE
            if worst <= Kind.FEW:
                found |= new
            elif worst is Kind.PERHAPS:
                asked |= new
        if asked and not photographs:
            examples = [f"{mask} of {image}" for mask, image in asked.items()]
            raise DataError(
                f"{self._root}: {count(len(asked), 'file')} among the images look like masks, but have more than "
                f"{FEW} levels: {some(examples, 3)}. Save masks black and white, as PNG; or give --all-good where they "
                "are photographs, or a CSV file that names the images."
            )
        return found

    def _may_be(self, pairs: Mapping[str, str]) -> bool:
        """Whether the first pair that can be read is a mask beside an image: where it is not, no other is opened."""
        for mask, image in pairs.items():
            if self._kind(mask) is not Kind.UNREADABLE and self._kind(image) is not Kind.UNREADABLE:
                return self._kind(mask) < self._kind(image)
        return False

    def _kinds(self, pairs: Mapping[str, str]) -> list[Kind]:
        """Of the masks that can be read."""
        return [kind for mask in pairs if (kind := self._kind(mask)) is not Kind.UNREADABLE]

    def _within_folders(self) -> Iterator[dict[str, str]]:
        """Pairs of one folder, those of one word together, and those of one suffix."""
        classes: dict[tuple[str, str], dict[str, str]] = {}
        for stem, names in self._by_stem.items():
            base = worded(stem, self._by_stem)
            if base is not None:
                word = PurePosixPath(stem).name.replace(PurePosixPath(base).name, "*", 1)
                classes.setdefault((word, ""), {}).update(dict.fromkeys(names, self._by_stem[base][0]))
            for first, second in ((a, b) for a in names for b in names if a != b):
                suffixes = (normal(first)[len(stem) :].lower(), normal(second)[len(stem) :].lower())
                classes.setdefault(suffixes, {})[first] = second
        yield from classes.values()

    def _between_folders(self) -> Iterator[dict[str, str]]:
        """Pairs of two folders beside each other whose files have the same names: images/, masks/."""
        trees: dict[str, dict[str, dict[str, str]]] = {}
        for stem, names in self._by_stem.items():
            parts = stem.split("/")
            for depth in range(len(parts) - 1):
                above, below = "/".join(parts[:depth]), "/".join(parts[depth + 1 :])
                trees.setdefault(above, {}).setdefault(parts[depth], {})[below] = names[0]
        for folders in trees.values():
            holders: dict[str, list[str]] = {}
            for folder, files in folders.items():
                for below in files:
                    holders.setdefault(below, []).append(folder)
            for folder, files in folders.items() if len(folders) > 1 else ():
                first = next(iter(files))
                others = holders[first] if len(holders[first]) > 1 else holders.get(worded(first, holders) or "", [])
                for other in [one for one in others if one != folder][:SIBLINGS]:
                    owners = {name: _owner(below, folders[other]) for below, name in files.items()}
                    if all(owners.values()):
                        yield {name: owner for name, owner in owners.items() if owner}
                        break

    def _look(self, name: str) -> Kind:
        try:
            pixels = self._opener.read(self._root / name).pixels
        except ImageError:
            return Kind.UNREADABLE
        plane = pixels.max(axis=2)
        levels = levels_of(plane)
        if len(levels) <= FEW:
            return Kind.TWO if len(levels) <= 2 else Kind.FEW
        near = NEAR * (np.iinfo(plane.dtype).max if plane.dtype.kind == "u" else float(levels[-1]) - float(levels[0]))
        ends = (plane <= levels[0] + near) | (plane >= levels[-1] - near)
        return Kind.PERHAPS if ends.mean() >= MOST else Kind.IMAGE


def _owner(below: str, files: Mapping[str, str]) -> str | None:
    """The file of this name among others, with words behind or before it, too."""
    return files.get(below) or files.get(worded(below, files) or "")
