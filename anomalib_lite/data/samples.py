"""What the host knows of an image before it is read: `Sample`, and `DataSet`, all samples of one place."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anomalib_lite.edge.images.opener import PLAIN, Opener

GOOD = "good"
MARKED = "marked"  # kind of defect of an image whose mask marks something, where nothing else is said of it
TRAIN, TEST, CALIBRATE = SPLITS = ("train", "test", "calibrate")
UNCLEAR_LABELS = {"0", "1", "true", "false", "ok", "normal"}  # which of them is good is not for a program to guess


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and what is said of it."""

    path: Path
    name: str  # posix path relative to the data set's root; absolute where the image lies elsewhere
    label: str | None = None  # "good", a kind of defect, or None: unlabelled
    channels: tuple[Path, ...] = ()  # further files or folders whose pixels are further channels of the image
    masks: tuple[Path, ...] = ()  # the defect is what any of them marks: see `anomalib_lite.data.masks`
    group: str = ""  # the physical part, lot or patient; its own name where nothing is known of groups
    session: str | None = None  # the day, lot or camera of the photograph; None where nothing is known of sessions
    split: str | None = None  # "train", "test", "calibrate", or None: for whatever it is labelled for
    reference: Path | None = None  # the golden image
    orientation: int = 1  # EXIF, where its mask was checked: see `anomalib_lite.data.turning`
    view: str | None = None  # what it shows of the part, for a joint model; None where a name tells it
    product: str | None = None  # what it shows, for a set of products; None where that is not known

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
    unclear: str = ""  # why nothing can be measured by the labels, where one has to be asked what they mean


@dataclass(frozen=True)
class Folders:
    """What a person says of the folders of a data set, where their names do not say which images are good."""

    good: Sequence[str] = ()  # paths below the data set, or names of folders wherever they lie in it
    defective: Sequence[str] = ()
    all_good: bool = False  # whatever the folders are called
    lot: bool = False  # what nothing is said of is used, too: it is unlabelled

    @property
    def named(self) -> bool:
        """Whether any folder is named."""
        return bool(self.good or self.defective)


def normal(name: str) -> str:
    """A name as it is compared: an accented letter is one character, however a system splits it (NFC)."""
    return unicodedata.normalize("NFC", name)


def groups(samples: Iterable[Sample]) -> set[str]:
    """The groups of these samples."""
    return {sample.group for sample in samples}


def sessions(samples: Iterable[Sample]) -> Counter[str]:
    """The sessions of these samples, and how many images each has; none where nothing is known of them."""
    return Counter(sample.session for sample in samples if sample.session is not None)


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few names, for messages: "a, b and 3 more"."""
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def count(number: int, noun: str) -> str:
    """A number and its noun: "1 image", "1,200 images"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
