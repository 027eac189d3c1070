"""Says what a data set holds, in the lines that `data check` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from anomalib_lite.data.samples import DataSet, Sample, count, groups
from anomalib_lite.data.splits import split_for_calibration, training_samples
from anomalib_lite.data.survey import copied, look, mixed, nothing_usable, suspicions
from anomalib_lite.errors import DataError


def describe(dataset: DataSet) -> list[str]:
    """What `data check` prints: what was found, why, and what to do about it.

    `problem:` begins what keeps the images from being used as they are, `for training:` what keeps them from being
    trained on, `warning:` what looks wrong, `note:` what one should know.
    """
    looked, unreadable = look(dataset.samples, dataset.opener)
    usable = [sample for sample, _ in looked]
    total = len(dataset.samples)
    sums = f"{count(total, 'image')} = {len(usable):,} usable + {len(unreadable):,} unreadable"
    lines = [f"{dataset.root}: {dataset.layout}, {sums}"]
    lines += [f"  unreadable: {reason}" for _, reason in unreadable]
    lines += [f"  {line}" for line in _contents(usable, dataset.grouped)]
    if looked:
        sizes = Counter((pictures[0].width, pictures[0].height) for _, pictures in looked)
        lines.append(f"  sizes: {_sizes(sizes)}")
        kinds = Counter(pictures[0].kind for _, pictures in looked)
        lines.append("  pixels: " + ", ".join(f"{kind} {number:,}" for kind, number in kinds.most_common()))
    lines += [f"note: {note}" for note in dataset.notes]
    if not dataset.grouped:
        lines.append(
            "note: no groups, each image counts as a part of its own. If a part is photographed more than once, give "
            r"its number: a column 'group', or --group 'part(\d+)' for file names."
        )
    lines += [f"warning: {warning}" for warning in suspicions(looked, None)]
    if copies := copied(looked):
        lines.append(f"warning: {copies}")
    problem = mixed(looked, None) if looked else nothing_usable(unreadable)
    lines += [f"problem: {problem}"] if problem else []
    return lines + _against_training(dataset, usable)


def _against_training(dataset: DataSet, usable: Sequence[Sample]) -> list[str]:
    try:
        good = training_samples(dataset)
        if usable:
            split_for_calibration(good, 0.3, seed=0)  # refuses the same with any share and seed
    except DataError as error:
        return [f"for training: {error}"]
    return []


def _contents(usable: Iterable[Sample], grouped: bool) -> list[str]:
    """A line for each split and label."""
    cells: dict[tuple[str, str], list[Sample]] = {}
    for sample in usable:
        cells.setdefault((sample.split or "all", sample.label or "unlabelled"), []).append(sample)
    lines = []
    for (split, label), found in sorted(cells.items()):
        line = f"{split}: {label} {len(found):,}"
        line += f" of {count(len(groups(found)), 'group')}" if grouped else ""
        masks = sum(sample.mask is not None for sample in found)
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
