"""Whether the int8 form of a graph is worth having: faster, with the same verdicts, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration import calibrate as calibrate_scores
from anomalib_lite.calibration.scoring import Scored, score
from anomalib_lite.config import Rates
from anomalib_lite.data import DataSet, Folders, Sample, digest, find, training_samples
from anomalib_lite.data.independence import admission
from anomalib_lite.edge.decision import decide
from anomalib_lite.edge.manifest import HeldOut
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.sessions import Feed
from anomalib_lite.errors import DataError, ErrorCode, ImageError
from anomalib_lite.graph.int8 import quantise
from anomalib_lite.metrics.scores import auroc

MIN_SPEEDUP = 1.2
MAX_CHANGED = 0.005  # share of verdicts
MAX_AUROC_LOSS = 0.002
RANGE_IMAGES = 64  # fit images that the ranges are taken from
TIMED_RUNS = 15


@dataclass(frozen=True)
class Trial:
    """The int8 graph against the float graph, on images that neither was fitted on."""

    speedup: float  # median time of the bare graph, float over int8
    images: int
    changed: int  # verdicts that differ, each graph under its own thresholds
    auroc_float: float | None  # None where DATA names no defects
    auroc_int8: float | None

    def objections(self) -> list[str]:
        """Why int8 is not adopted, in words; none where it is."""
        reasons = []
        if not self.speedup >= MIN_SPEEDUP:
            reasons.append(f"it is {self.speedup:.2f} times as fast, {MIN_SPEEDUP} are needed")
        if not self.changed <= MAX_CHANGED * self.images:
            reasons.append(f"{self.changed} of {self.images} verdicts change, at most {MAX_CHANGED:.1%} may")
        if self.auroc_float is not None and self.auroc_int8 is not None:
            loss = self.auroc_float - self.auroc_int8
            if not loss <= MAX_AUROC_LOSS:
                reasons.append(f"AUROC falls by {100 * loss:.2f} points, at most {100 * MAX_AUROC_LOSS:.1f} may")
        return reasons

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Int8:
    """An int8 graph with thresholds of its own."""

    graph: bytes
    runtime: Runtime  # the graph, loaded
    calibration: Calibration
    trial: Trial
    held_out: Sequence[HeldOut]  # what was measured for the thresholds


def quantised(
    model: Model, data: Path, *, group: str | None, columns: Mapping[str, str], folders: Folders | None = None
) -> Int8:
    """Quantise a model and compare.

    Args:
        model: The float model.
        data: The images that it was trained with, the held-out ones among them; with labels, AUROC is compared, too.
        group: Regular expression for the physical part, as at the training.
        columns: Renamed CSV columns.
        folders: Which folders hold good images, as at the training.

    Raises:
        DataError: None of the images it was fitted on is there, or no others to calibrate on; or they are refused as
            in `calibrate`.
        MissingExtra: The package onnx is not installed.
    """
    dataset = find(data, group=group, columns=columns, folders=folders, opener=model.opener)
    admit = admission(model.bundle.manifest.data, dataset)
    fitted, unseen = _divided(model, dataset)
    good = [one for one in training_samples(dataset) if one in unseen]
    if not fitted or not good:
        raise DataError(
            f"{data}: --int8 needs images that the model was fitted on ({len(fitted)} found), for its ranges, and "
            f"other good ones ({len(good)} found), for its thresholds. Give the data that it was trained with."
        )
    feeds = [feed for sample in fitted[:: -(-len(fitted) // RANGE_IMAGES)] for feed in _feeds(model, sample)]
    if not feeds:
        raise DataError(f"{data}: no image that the model was fitted on can be aligned with a golden one.")
    graph = quantise(model.bundle.graph, feeds)
    runtime = Runtime(graph, model.framing, model.bundle.manifest.graph.inputs, threads=model.runtime.threads)
    scored = score(runtime, good, model.intake, admit=admit)
    calibration = _calibrated(model, scored, dataset)
    return Int8(graph, runtime, calibration, _compare(model, runtime, calibration, unseen, feeds[0]), scored.record)


def _divided(model: Model, dataset: DataSet) -> tuple[list[Sample], list[Sample]]:
    """Samples that the model was fitted on, and those of parts that it has not seen."""
    data = model.bundle.manifest.data
    parts = set(data.fit.values()) if data.grouped and dataset.grouped else set()
    fitted, unseen = [], []
    for sample in dataset.samples:
        if _digest(model, sample.path) in data.fit:
            fitted.append(sample)
        elif data.alias(sample.group) not in parts:
            unseen.append(sample)
    return fitted, unseen


def _digest(model: Model, path: Path) -> str:
    """SHA-256 of an image, as the model knows it."""
    return model.opener.read(path).sha256 if model.opener.suffix(path.name) else digest(path)


def _feeds(model: Model, sample: Sample) -> Iterator[Feed]:
    """The inputs of the graph for a sample; none where it cannot be aligned, as in the fit."""
    picture = model.intake.read(sample.path)
    try:
        goldens = model.intake.candidates(picture, sample.name, sample.reference)
        yield from model.runtime.feeds(picture.pixels, goldens)
    except ImageError as error:
        if error.code != ErrorCode.ALIGNMENT_FAILED:
            raise


def _calibrated(model: Model, scored: Scored, dataset: DataSet) -> Calibration:
    before = model.bundle.manifest.calibration
    asked = Rates.of(before.reject.asked, before.confidence, before.review.asked)
    there = {image.image for image in scored.images}
    return calibrate_scores(
        scored.images,
        asked,
        grouped=dataset.grouped,
        per=before.per,
        top_share=before.top_share,
        seed=model.bundle.manifest.seed,
        row=before.row,
        gated=before.gated,
        errors=len(scored.errors),
        holdout=before.holdout,
        unlabelled=before.unlabelled,
        exclusions=[one for one in before.exclusions if one.image in there],  # still not good
        history=before.as_history(),
    )


def _compare(model: Model, runtime: Runtime, calibration: Calibration, samples: Sequence[Sample], feed: Feed) -> Trial:
    both: list[list[float]] = [[], []]
    labels: list[bool | None] = []
    for sample in samples:
        pair = [score(one, [sample], model.intake).images for one in (model.runtime, runtime)]
        if all(pair):
            labels.append(sample.is_good)
            for scores, images in zip(both, pair, strict=True):
                scores.append(images[0].score)
    before, after = both
    changed = sum(
        decide(one, model.thresholds) != decide(other, calibration.limits)
        for one, other in zip(before, after, strict=True)
    )
    speedup = _speedup(model.runtime, runtime, feed)
    return Trial(speedup, len(labels), changed, *(_auroc(one, labels) for one in both))


def _auroc(scores: Sequence[float], labels: Sequence[bool | None]) -> float | None:
    good = [one for one, label in zip(scores, labels, strict=True) if label]
    defective = [one for one, label in zip(scores, labels, strict=True) if label is False]
    return auroc(good, defective) if good and defective else None


def _speedup(before: Runtime, after: Runtime, feed: Feed) -> float:
    """Median time of one over the other, taken in turn so that a busy moment hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(TIMED_RUNS):
        for runtime, taken in zip((before, after), times, strict=True):
            taken.append(_seconds(lambda runtime=runtime: runtime.run(feed)))  # type: ignore[misc]
    return median(times[0][2:]) / median(times[1][2:])


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
