"""Results with what people decided on them, as labels: a class of the image, and regions of the map with a class."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anomalib_lite.data.samples import count, some
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.quoting import shown
from anomalib_lite.edge.regions import Region
from anomalib_lite.errors import ErrorCode
from anomalib_lite.review.decision import UNDECIDED, Judged, Label, Line
from anomalib_lite.review.log import DecisionLog
from anomalib_lite.review.results import Behind, Images, State, read_rows, regions_of


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image, what the model says of it, and what a person decided, if anybody did."""

    judged: Judged
    behind: Behind
    line: Line | None  # of the log
    found: tuple[Region, ...]  # by the model
    part: str | None = None  # the physical part, where the results or a pattern tell it
    lot: str = ""  # where a pattern tells it
    measured: bool = True  # has a score; or the gate refused it, so that it counts as rejected

    @property
    def label(self) -> str:
        """The class of the image: good, unsure, unusable or a kind of defect; empty where nobody decided."""
        said = self.line.decision if self.line else None
        if said is None:
            return ""
        return said.kind if said.label is Label.DEFECT else said.label.value

    @property
    def note(self) -> str:
        """What the person noted."""
        return self.line.decision.note if self.line and self.line.decision else ""

    @property
    def regions(self) -> tuple[tuple[str, Region], ...]:
        """Regions with their class: those of a defect its kind, those that nobody decided on "undecided"."""
        said = self.line.decision if self.line else None
        if said is not None and said.label is not Label.DEFECT:
            return ()
        kind = said.kind if said is not None else UNDECIDED
        return tuple((kind, one) for one in self.found if not one.fallback and len(one.outline) > 2)

    @property
    def path(self) -> Path:
        """Where the image lies; it is there."""
        assert self.behind.path is not None
        return self.behind.path

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels; the image is there."""
        assert self.behind.size is not None
        return self.behind.size


def labelled(
    folder: Path,
    opener: Opener,
    root: Path | None = None,
    part: re.Pattern[str] | None = None,
    lot: re.Pattern[str] | None = None,
) -> Iterator[Labelled]:
    """Every image of a folder of results, with the decision in force.

    Args:
        folder: Of the results; its log may not be there.
        opener: Opens the images.
        root: Where they lie, if not where the results say.
        part: Finds the part in the name of an image, in its first parentheses, where its row does not tell it.
        lot: Likewise the lot; without it, all results are of one.

    Raises:
        DataError: There are no results, one is none of an image, or the chain of the log is broken.
    """
    rows = [row for row in read_rows(folder) if "image" in row]
    decided, images = DecisionLog(folder).current(), Images(folder, opener, root)
    for row in rows:
        judged = Judged.of(row)
        told = row.get("part") or row.get("group")
        yield Labelled(
            judged,
            images.behind(row),
            decided.get(judged.key),
            regions_of(row),
            told if isinstance(told, str) else _captured(part, judged.image) or None,
            _captured(lot, judged.image),
            judged.verdict is not Verdict.ERROR or row.get("error_code") == ErrorCode.NOT_ALIKE,
        )


def _captured(pattern: re.Pattern[str] | None, name: str) -> str:
    match = pattern.search(name) if pattern else None
    return (match[1] or "") if match else ""


def usable(found: Iterable[Labelled]) -> tuple[list[Labelled], list[str]]:
    """Those whose image is there and the same, each image once, and notes on the others."""
    kept, why = dict[str, Labelled](), Counter[str]()
    for one in found:
        if one.behind.state is not State.THERE:
            why[f"{one.behind.state} since it was judged"] += 1
        elif one.judged.key in kept:
            why["a copy of another one"] += 1
        else:
            kept[one.judged.key] = one
    return list(kept.values()), [f"{count(number, 'image')} left out: {what}" for what, number in why.items()]


def classes(found: Iterable[Labelled]) -> list[str]:
    """Every class, of images and of regions, in order."""
    found = list(found)
    return sorted({one.label for one in found if one.label} | {kind for one in found for kind, _ in one.regions})


def names(found: Iterable[Labelled]) -> tuple[Path, dict[str, str]]:
    """The folder that all images lie below, and the name of each within it, by its key; with slashes."""
    found = list(found)
    root = Path(os.path.commonpath([one.path.absolute().parent for one in found])) if found else Path()
    return root, {one.judged.key: one.path.absolute().relative_to(root).as_posix() for one in found}


def said_of(names: list[str], what: str) -> str:
    """A note on names: "3 images WHAT: a, b and 1 more"."""
    return f"{count(len(names), 'image')} {what}: {some([shown(name) for name in names], 3)}"


def by_label(found: Iterable[Labelled]) -> Mapping[str, int]:
    """How many images each class has; "undecided" for those that nobody decided on."""
    return Counter(one.label or UNDECIDED for one in found)
