"""Says what a data set holds, in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from anomalib_lite.data.grouping import doubts
from anomalib_lite.data.samples import DataSet, Sample, count, groups, sessions
from anomalib_lite.data.survey import Looked, dark, near
from anomalib_lite.data.turning import said_of

FOLDERS = 12  # that are listed


def describe(dataset: DataSet, looked: Looked, unreadable: Sequence[tuple[str, str]]) -> list[str]:
    """What was found, readable or not, and what looks wrong: `note:` and `warning:` begin what one should know.

    Args:
        dataset: All of it, for training and for tests.
        looked: What `look` saw of its images.
        unreadable: What it could not read.
    """
    usable = [sample for sample, _ in looked]
    total = len(dataset.samples)
    sums = f"{count(total, 'image')} = {len(usable):,} usable + {len(unreadable):,} unreadable"
    lines = [f"{dataset.root}: {dataset.layout}, {sums}"]
    lines += [f"  unreadable: {reason}" for _, reason in unreadable]
    lines += [f"  {line}" for line in _contents(usable, dataset.grouped)]
    lines += [*_folders(dataset.samples), *_sessions(usable)]
    if looked:
        sizes = Counter((pictures[0].width, pictures[0].height) for _, pictures in looked)
        lines.append(f"  sizes: {_sizes(sizes)}")
        kinds = Counter(pictures[0].kind for _, pictures in looked)
        lines.append("  pixels: " + ", ".join(f"{kind} {number:,}" for kind, number in kinds.most_common()))
    notes = [*dataset.notes, *said_of(pictures[0].orientation for _, pictures in looked)]
    lines += [f"note: {note}" for note in notes]
    if not dataset.grouped:
        lines.append(
            "note: no groups, each image counts as a part of its own. If a part is photographed more than once, give "
            r"its number: a column 'group', or --group 'part(\d+)' for file names."
        )
    if not sessions(usable):
        lines.append(
            "note: no sessions, so nothing tells how good parts of another day, lot or camera would fare: a column "
            "'session', or --session '([^/]+)/' for folder names."
        )
    return lines + [f"warning: {warning}" for warning in (*doubts(dataset), *dark(looked, None), *near(looked))]


def _folders(samples: Sequence[Sample]) -> list[str]:
    """How many images lie in each folder, where there are several."""
    found = sorted(Counter(PurePosixPath(sample.name).parent.as_posix() for sample in samples).items())
    if len(found) < 2:
        return []
    more = f", and {len(found) - FOLDERS:,} folders more" if len(found) > FOLDERS else ""
    return ["  folders: " + ", ".join(f"{folder} {number:,}" for folder, number in found[:FOLDERS]) + more]


def _sessions(usable: Sequence[Sample]) -> list[str]:
    """How many images are of each session, where these are known."""
    found = sorted(sessions(usable).items())
    more = f", and {len(found) - FOLDERS:,} sessions more" if len(found) > FOLDERS else ""
    return ["  sessions: " + ", ".join(f"{name} {number:,}" for name, number in found[:FOLDERS]) + more] * bool(found)


def _contents(usable: Iterable[Sample], grouped: bool) -> list[str]:
    """A line for each split and label."""
    cells: dict[tuple[str, str], list[Sample]] = {}
    for sample in usable:
        cells.setdefault((sample.split or "all", sample.label or "unlabelled"), []).append(sample)
    lines = []
    for (split, label), found in sorted(cells.items()):
        line = f"{split}: {label} {len(found):,}"
        line += f" of {count(len(groups(found)), 'group')}" if grouped else ""
        masks = sum(len(sample.masks) for sample in found)
        lines.append(line + (f", {count(masks, 'mask')}" if masks else ""))
    return lines


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    """Sizes (width, height) in words: the commonest, and the range where there are many."""
    named = ", ".join(f"{w} x {h} ({number:,})" for (w, h), number in sizes.most_common(3))
    if len(sizes) <= 3:
        return named
    widths, heights = ([size[axis] for size in sizes] for axis in (0, 1))
    return (
        f"{len(sizes):,} sizes, {min(widths)}-{max(widths)} wide, {min(heights)}-{max(heights)} high; commonest {named}"
    )
