"""What the host knows of an image before it is read: `Sample`, and `DataSet`, all samples of one place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anomalib_lite.edge.images.opener import PLAIN, Opener

GOOD = "good"
TRAIN, TEST, CALIBRATE = SPLITS = ("train", "test", "calibrate")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and what is said of it."""

    path: Path
    name: str  # posix path relative to the data set's root; absolute where the image lies elsewhere
    label: str | None = None  # "good", a kind of defect, or None: unlabelled
    mask: Path | None = None  # the defect's pixels are not 0
    group: str = ""  # the physical part, lot or patient; its own name where nothing is known of groups
    split: str | None = None  # "train", "test", "calibrate", or None: not split
    reference: Path | None = None  # the golden image

    @property
    def is_good(self) -> bool | None:
        """Whether it is labelled good; None where it has no label."""
        return None if self.label is None else self.label == GOOD


@dataclass(frozen=True)
class DataSet:
    """Every image that was found, readable or not: `anomalib_lite.data.survey` tells which."""

    root: Path
    layout: str  # "folder", "MVTec" or "CSV"
    samples: list[Sample]
    notes: list[str] = field(default_factory=list)  # what was found that the user should know
    grouped: bool = False  # whether groups were given; otherwise each image is its own
    opener: Opener = PLAIN  # opens their files

    @property
    def is_split(self) -> bool:
        """Whether samples say which split they belong to."""
        return any(sample.split for sample in self.samples)


def groups(samples: Iterable[Sample]) -> set[str]:
    """The groups of these samples."""
    return {sample.group for sample in samples}


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few names, for messages: "a, b and 3 more"."""
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def count(number: int, noun: str) -> str:
    """A number and its noun: "1 image", "1,200 images"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
