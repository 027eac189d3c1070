"""Whether images are new to a model: what it was fitted on certifies nothing, and flatters an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from anomalib_lite.data import DataSet, Sample, groups, some
from anomalib_lite.edge.manifest import DataRecord
from anomalib_lite.errors import DataError

Admit: TypeAlias = Callable[[str, Sample], bool]


def admission(trained: DataRecord, dataset: DataSet, passed_over: list[str] | None = None) -> Admit:
    """Whether a calibration may count an image: not those, nor those parts, that the model was fitted on.

    Args:
        trained: What the model was trained on.
        dataset: What it is to be calibrated on.
        passed_over: Gets the names of images that the model was fitted on, or on their part; None to refuse them.

    Returns:
        To be called with the SHA-256 and the sample of each image. It raises DataError for an image that the model was
        fitted on, unless these are passed over, and for a copy of another one under another group.

    Raises:
        DataError: The model was fitted on known parts and those of the images are not known, so that nothing tells
            whether it was fitted on them.
    """
    if trained.grouped and not dataset.grouped:
        raise DataError(
            f"{dataset.root}: the model was trained with known parts, so those of these images must be known, too: "
            "give --group REGEX as at the training (--group '(.+)' where each image shows another part)."
        )
    hashes, parts = trained.fit, set(trained.fit.values()) if trained.grouped else set()
    first: dict[str, Sample] = {}

    def admit(sha256: str, sample: Sample) -> bool:
        if sha256 in hashes or trained.alias(sample.group) in parts:
            if passed_over is not None:
                passed_over.append(sample.name)
                return False
            what = "image" if sha256 in hashes else f"part {sample.group}"
            raise DataError(
                f"{sample.name}: the model was fitted on this {what}, so its score says nothing of new ones. "
                "Calibrate on good images that took no part in training."
            )
        original = first.setdefault(sha256, sample)
        if original.group != sample.group:
            raise DataError(
                f"{sample.name} is a copy of {original.name}, byte by byte: counted as another part it would promise "
                "more than the images can carry. Remove the copies."
            )
        return True

    return admit


def overlap_notes(trained: DataRecord, samples: Sequence[Sample], hashes: Sequence[str], dataset: DataSet) -> list[str]:
    """Say where an evaluation is not independent of the training and of the calibration.

    Args:
        trained: What the model was trained on.
        samples: The images it is evaluated on.
        hashes: Their SHA-256; empty where one could not be read.
        dataset: What they are from.
    """
    fitted, calibrated = trained.fit, trained.calibrated  # models of older versions do not name the latter
    notes = []
    if learnt := sum(one in fitted for one in hashes):
        notes.append(f"warning: {learnt} of {len(samples)} images were fitted on: these figures flatter the model")
    if set_by := sum(one in calibrated for one in hashes):
        notes.append(
            f"warning: {set_by} of {len(samples)} images set the thresholds: that few of them are rejected follows "
            "from it, and says nothing of new ones"
        )
    if dataset.grouped:
        if shared := _known(groups(samples), set(fitted.values()), trained):
            notes.append(f"warning: parts that were fitted on are tested: {some(sorted(shared), 3)}")
        known = set(calibrated.values()) if trained.grouped else set()
        others = groups([one for one, sha256 in zip(samples, hashes, strict=True) if sha256 not in calibrated])
        if setters := _known(others, known, trained):
            notes.append(
                f"warning: other photographs of parts that set the thresholds are tested: {some(sorted(setters), 3)}"
            )
    elif trained.grouped:
        notes.append(
            "warning: the model was trained with known parts, here each image counts as one, so the intervals are too "
            "narrow: give --group REGEX as at the training"
        )
    return notes


def _known(parts: Collection[str], among: Collection[str], trained: DataRecord) -> set[str]:
    """Which of these parts are among those of a model, whatever it calls them."""
    return {part for part in parts if trained.alias(part) in among}
