"""Which images of a data set a training takes, and which of them it holds out: the same for `train` and `data check`.

What is refused is refused here, in this order: labels and masks, then what the images are like, then their parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anomalib_lite.config import Config
from anomalib_lite.data import (
    DataSet,
    Sample,
    check_masks,
    count,
    folds,
    groups,
    split_for_calibration,
    training_samples,
)
from anomalib_lite.data.grouping import doubts
from anomalib_lite.data.samples import CALIBRATE, TEST
from anomalib_lite.edge.manifest import ONCE
from anomalib_lite.errors import ConfigError, DataError


@dataclass(frozen=True)
class Choice:
    """Good images of a data set."""

    fit: list[Sample]  # to learn from
    held_out: list[Sample]  # to calibrate on; empty with cross-fitting


def good_images(dataset: DataSet) -> DataSet:
    """The data set, without what is not taken as good, and with what is said of its masks and parts.

    Raises:
        DataError: A defect is among the images to train on, by its label or by its mask, or there is none of these.
    """
    samples, _ = check_masks(training_samples(dataset), dataset.opener)
    apart = [f"for an evaluation: {dataset.unclear}"] if dataset.unclear else []
    suspicious = [f"warning: {doubt}" for doubt in doubts(dataset)]
    return replace(dataset, samples=samples, notes=[*dataset.notes, *apart, *suspicious])


def mixed_lot(dataset: DataSet, detector: str) -> DataSet:
    """The data set without what is for testing, for a detector that is fitted on whatever the line makes.

    Raises:
        DataError: Nothing says of any image that it is good: on these alone thresholds can rest.
    """
    samples = [sample for sample in dataset.samples if sample.split != TEST]
    good, _ = check_masks([sample for sample in samples if sample.is_good], dataset.opener)
    if not good:
        raise DataError(
            f"{dataset.root}: '{detector}' is fitted on unlabelled images, but thresholds rest on images that are "
            "known to be good, and nothing says so of any. Give --good FOLDER for some of them, or a CSV file with "
            "label=good; --all-good where all are."
        )
    unknown = len(samples) - len(good)
    notes = [f"a mixed lot: of {count(unknown, 'image')} nothing says that they are good"] if unknown else []
    return replace(dataset, samples=samples, notes=[*dataset.notes, *notes])


def choose(dataset: DataSet, usable: Sequence[Sample], config: Config, *, lot: bool = False) -> Choice:
    """Divide good images. What is marked for either side stays there.

    Args:
        dataset: Good images, readable or not; of a lot, others as well.
        usable: Those that can be read.
        config: Share of the parts to hold out, seed, or number of folds.
        lot: Whether images that nobody calls good are fitted on, too; never those of parts that are held out.

    Raises:
        ConfigError: Cross-fitting, and images marked for calibration, a lot, a row or one decision for a part.
        DataError: None of those marked can be used, a part is on both sides, or there are too few parts.
    """
    if lot:
        good = [sample for sample in usable if sample.is_good]
        if config.calibration.crossfit:
            raise ConfigError("crossfit certifies on every image, and of a mixed lot not all are good: leave it out.")
        known = choose(replace(dataset, samples=[sample for sample in dataset.samples if sample.is_good]), good, config)
        apart = groups(known.held_out)
        return Choice([one for one in usable if one.group not in apart], known.held_out)
    marked = sum(sample.split == CALIBRATE for sample in dataset.samples)
    if config.calibration.crossfit:
        if marked:
            raise ConfigError(
                f"{count(marked, 'image')} marked split=calibrate, and calibration.crossfit would fit on them, too: "
                "leave --crossfit out, or mark them split=train."
            )
        _refuse_folds(usable, config)
        return Choice(list(usable), [])
    if marked and not any(sample.split == CALIBRATE for sample in usable):
        raise DataError(
            f"none of {count(marked, 'image')} marked split=calibrate can be used: they cannot be read (see "
            "`anomalib-lite data check`), or are golden images. Restore them, or mark others."
        )
    return Choice(*split_for_calibration(usable, config.calibration.holdout, config.training.seed))


def _refuse_folds(usable: Sequence[Sample], config: Config) -> None:
    """Refuse, before any fit, what cross-fitting cannot carry.

    Raises:
        ConfigError: A row of a menu, which it does not have, or one decision for a part.
        DataError: Too few parts.
    """
    asked = config.calibration
    if asked.row is not None:
        raise ConfigError(
            "crossfit has no menu: its averages do not hold for a row that is chosen after looking. Leave --row out, "
            "and ask for a rate with --max-false-reject."
        )
    if asked.per in ONCE:
        raise ConfigError(
            f"crossfit promises nothing of --per {asked.per}: it ranks photographs. Leave --per out, or --crossfit."
        )
    number, parts = asked.crossfit or 0, len(groups(usable))
    folds(usable, number, config.training.seed)
    if parts == number:
        raise DataError(
            f"{parts} parts in {number} folds promise nothing, not even on average: take fewer folds, or parts of more."
        )


def summary(dataset: DataSet, choice: Choice) -> str:
    """How many images are fitted and held out, in a line."""
    line = f"{dataset.root}: {dataset.layout}, {_counted(dataset, choice.fit)} to fit"
    return f"{line}, {_counted(dataset, choice.held_out)} to calibrate" if choice.held_out else line


def _counted(dataset: DataSet, samples: Sequence[Sample]) -> str:
    parts = f" of {count(len(groups(samples)), 'part')}" if dataset.grouped else ""
    return f"{count(len(samples), 'image')}{parts}"


def held_out_share(config: Config, choice: Choice) -> float | None:
    """Share of the parts that a training holds out; None where that is not by a share."""
    by_mark = any(sample.split == CALIBRATE for sample in choice.held_out)
    return None if config.calibration.crossfit or by_mark else config.calibration.holdout
