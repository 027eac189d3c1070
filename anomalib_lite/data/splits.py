"""Divides good samples for fitting and calibration: a group, the physical part, is never on both sides."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from anomalib_lite.data.samples import CALIBRATE, MARKED, TEST, TRAIN, DataSet, Sample, count, groups, some
from anomalib_lite.errors import DataError

MORE_GROUPS = "Add images of other parts, or correct the groups if they lump parts together."


def training_samples(dataset: DataSet) -> list[Sample]:
    """The images of a data set that are taken as good: all but those of the split `test`.

    Raises:
        DataError: One of them is labelled as a defect, or there is none.
    """
    kept = [sample for sample in dataset.samples if sample.split != TEST]
    if not kept:
        raise DataError(f"{dataset.root}: no images for training, {_none_left(dataset)}")
    defective = [sample for sample in kept if sample.is_good is False]
    if defective:
        examples = [f"{sample.name} ({sample.label})" for sample in defective]
        raise DataError(
            f"{dataset.root}: {len(defective)} of {count(len(kept), 'training image')} labelled otherwise than good: "
            f"{some(examples)}. {_remedy(dataset, defective)}."
        )
    return kept


def _none_left(dataset: DataSet) -> str:
    """Where all images are, if none is to train on, and what to do."""
    marked = [sample for sample in dataset.samples if sample.label == MARKED]
    if not marked:
        return f"all {count(len(dataset.samples), 'image')} are for testing, or defective. Add images of good parts."
    return (
        f"since masks beside {count(len(marked), 'image')} mark something, as {marked[0].masks[0].name} in "
        f"{marked[0].name}: these are taken as defective. Add images of good parts, or move the masks to another place "
        "where they mark no defects."
    )


def _remedy(dataset: DataSet, defective: Sequence[Sample]) -> str:
    """What to do about defects among the images for training."""
    if dataset.layout == "CSV":
        split = any(sample.split for sample in defective)
        return "Move them to the test split" if split else "Mark them split=test, the good ones split=train"
    kinds = " ".join(f"--defective {shlex.quote(kind)}" for kind in sorted({str(one.label) for one in defective})[:3])
    if dataset.layout == "MVTec":
        return "Move them to test, or give --good FOLDER where they are good"
    return f"Leave them out with --good good {kinds}, or give --all-good where all are good"


def evaluation_samples(dataset: DataSet) -> list[Sample]:
    """The labelled samples of the split `test`, or of all where nothing is split.

    Raises:
        DataError: None is labelled, or what the labels mean has to be asked.
    """
    if dataset.unclear:
        raise DataError(dataset.unclear)
    labelled = [s for s in dataset.samples if s.split not in (TRAIN, CALIBRATE) and s.label is not None]
    if not labelled:
        raise DataError(
            f"{dataset.root}: no labelled test images. Use test/good and test/<kind>, good beside folders of defects, "
            "--good FOLDER and --defective FOLDER, or a CSV with labels."
        )
    return labelled


def split_for_calibration(samples: Sequence[Sample], holdout: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Good samples to fit on, and those held out for calibration: a share of the groups, or what is marked so.

    The choice depends on the names of the groups and the seed alone: not on the order of samples, and a part that is
    added moves few others.

    Args:
        samples: Good samples.
        holdout: Share of the groups to hold out, in (0, 1), rounded; at least one group on each side. Samples with
            split=calibrate, where there are any, are taken instead.
        seed: Another seed holds out other groups.

    Raises:
        DataError: A group is marked for both sides, or there are too few groups.
    """
    marked = groups(sample for sample in samples if sample.split == CALIBRATE)
    if marked:
        both = sorted(marked & groups(sample for sample in samples if sample.split != CALIBRATE))
        if both:
            raise DataError(
                f"groups are both in split=calibrate and outside of it: {some(both)}. "
                "Images of one part are not independent: put each part on one side."
            )
        held_out = marked
    else:
        shuffled = _shuffled(samples, seed)
        held_out = set(shuffled[: max(1, min(len(shuffled) - 1, round(holdout * len(shuffled))))])
    fit, calibrate = _divide(samples, held_out)
    if not fit or not calibrate:
        found = count(len(groups(samples)), "group")
        raise DataError(f"{found} of good images cannot be split into one to fit and one to calibrate. {MORE_GROUPS}")
    return fit, calibrate


def folds(samples: Sequence[Sample], k: int, seed: int) -> list[tuple[list[Sample], list[Sample]]]:
    """K pairs (fit, held out) for cross-fitting; every sample is held out once, with its whole group.

    Raises:
        DataError: There are fewer than k groups.
    """
    shuffled = _shuffled(samples, seed)
    if k < 2 or len(shuffled) < k:
        found = count(len(shuffled), "group")
        raise DataError(f"{k} folds need at least two folds and a group for each, found {found}. {MORE_GROUPS}")
    return [_divide(samples, set(shuffled[fold::k])) for fold in range(k)]


def _divide(samples: Iterable[Sample], held_out: set[str]) -> tuple[list[Sample], list[Sample]]:
    fit: list[Sample] = []
    rest: list[Sample] = []
    for sample in samples:
        (rest if sample.group in held_out else fit).append(sample)
    return fit, rest


def _shuffled(samples: Iterable[Sample], seed: int) -> list[str]:
    """Groups in an order that is random, and the same everywhere."""
    return sorted(
        groups(samples), key=lambda group: hashlib.sha256(f"{seed}:{group}".encode(errors="surrogateescape")).digest()
    )


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
