"""Whether groups may be the physical parts that they are taken for."""

from __future__ import annotations

from collections.abc import Sequence

from anomalib_lite.data.samples import CALIBRATE, TEST, TRAIN, DataSet, Sample, count, groups, some

FEW_PARTS = 10
MANY_IMAGES = 10  # of each of them


def doubts(dataset: DataSet) -> list[str]:
    """What is suspicious about the groups of a data set: very few of them, or one in training and test."""
    if not dataset.grouped:
        return []
    return [*_few(dataset.samples), *_shared(dataset.samples)]


def _few(samples: Sequence[Sample]) -> list[str]:
    parts = sorted(groups(samples))
    if len(parts) >= FEW_PARTS or len(samples) < MANY_IMAGES * len(parts):
        return []
    return [
        f"{count(len(samples), 'image')} in {count(len(parts), 'part')}: {some(parts, 3)}. If that is the lot, the "
        "camera or the shot and not the part, correct --group, or the column 'group'"
    ]


def _shared(samples: Sequence[Sample]) -> list[str]:
    learnt = groups(sample for sample in samples if sample.split in (TRAIN, CALIBRATE))
    shared = sorted(learnt & groups(sample for sample in samples if sample.split == TEST))
    if not shared:
        return []
    return [
        f"{count(len(shared), 'part')} both in train and in test: {some(shared, 3)}. An evaluation would flatter the "
        "model: correct --group, or put each part on one side"
    ]
