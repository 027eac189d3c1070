"""Whether groups may be the physical parts that they are taken for, and whether sessions say enough."""

from __future__ import annotations

from collections.abc import Sequence

from anomalib_lite.data.samples import CALIBRATE, TEST, TRAIN, DataSet, Sample, count, groups, sessions, some

FEW_PARTS = 10
MANY_IMAGES = 10  # of each of them


def doubts(dataset: DataSet) -> list[str]:
    """What is suspicious: very few groups, or one in training and test; good images of a single session."""
    groups = [*_few(dataset.samples), *_shared(dataset.samples)] if dataset.grouped else []
    return groups + _one_session(dataset.samples)


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


def _one_session(samples: Sequence[Sample]) -> list[str]:
    good = [sample for sample in samples if sample.split != TEST and sample.is_good is not False]
    found = sessions(good)
    if len(found) > MANY_IMAGES and 2 * len(found) > len(good):
        return [
            f"{count(len(good), 'good image')} of {count(len(found), 'session')}: if that is the part or the shot and "
            "not the day, the lot or the camera, correct --session, or the column 'session'"
        ]
    if len(found) != 1:
        return []
    return [
        f"all {count(len(good), 'good image')} are of one session, '{next(iter(found))}': what is certified on them "
        "says nothing of another day, lot or camera, which may reject many times more. Add good parts of others"
    ]
