"""Measures a model on labelled images. Nothing is tuned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data import DataSet, Folders, Sample, absolute, check_masks, evaluation_samples, find
from anomalib_lite.data.independence import overlap_notes
from anomalib_lite.data.masks import union
from anomalib_lite.data.turning import drawn_unturned
from anomalib_lite.edge import disk
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.manifest import ONCE
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.edge.results import Result, ResultWriter
from anomalib_lite.errors import DataError
from anomalib_lite.metrics import Evaluation, PixelMetrics
from anomalib_lite.pipeline import result_folder
from anomalib_lite.pipeline.looking import Judging
from anomalib_lite.pipeline.parts import Collected
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.workers import Asked, Workers, number
from anomalib_lite.report import writing as reporting

WARNING = "warning: "  # what a note begins with that says how the figures must not be read


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Metrics of a model on labelled images, and what must be known to read them."""

    metrics: Mapping[str, Any]
    verdicts: Mapping[str, Mapping[str, int]]  # label, and "all" -> verdict -> number of images
    notes: list[str]
    out: Path | None
    errors: list[tuple[str, str]]  # images that could not be measured: name, reason

    @property
    def measured(self) -> int:
        """Images that could be measured."""
        return int(self.metrics["images"]) - len(self.errors)


def evaluate(
    model: Model,
    data: Path,
    *,
    out: Path | None = None,
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    folders: Folders | None = None,
    overwrite: bool = False,
    workers: int = 1,
    judging: Judging | None = None,
    track: Track = untracked,
) -> Evaluated:
    """Measure a model on labelled images, streamed. Nothing is tuned.

    Args:
        model: The loaded model.
        data: A data set with labels; its test split where it has splits.
        out: Gets metrics.json, results.csv, results.jsonl and report.html.
        group: Regular expression for the physical part.
        columns: Renamed CSV columns.
        folders: Which folders hold good images and which defective ones, where their names do not say so.
        overwrite: Replace an earlier result in `out`.
        workers: Processes that judge images; 0 for as many as pay: `workers.number`.
        judging: What judges them in place of these processes.
        track: Shows progress.

    Raises:
        ConfigError: `out` holds an earlier result.
        DataError: No labelled images, or labels or masks that cannot be used.
    """
    result_folder.refuse_existing(out, overwrite=overwrite)
    dataset = find(data, group=group, columns=columns or {}, folders=folders, opener=model.opener)
    samples, of_masks = check_masks(evaluation_samples(dataset), dataset.opener)
    result_folder.refuse_own(out, (path for one in samples for path in (one.path, one.reference)))
    unturned = _Unturned(*drawn_unturned(samples, dataset.opener))
    dataset = replace(dataset, notes=[*dataset.notes, *of_masks])
    judging = judging or Workers(model, number(len(samples), model, workers))
    with result_folder.taken(out, overwrite=overwrite), judging:
        return _measured(model, judging, dataset, samples, unturned, out, track, absolute(data))


def _measured(
    model: Model, judging: Judging, dataset: DataSet, samples: Sequence[Sample], unturned: _Unturned, out: Path | None,
    track: Track, data: Path,
) -> Evaluated:  # fmt: skip
    """The metrics of these samples; rows, report and metrics are written."""
    asked = [Asked(one.path, one.name, one.reference) for one in samples]
    evaluation, hashes, errors = Evaluation(grouped=dataset.grouped), list[str](), list[tuple[str, str]]()
    once, collected = dataset.grouped and model.bundle.manifest.calibration.per in ONCE, Collected(model)
    columns = (result_folder.LABEL, result_folder.GROUP)
    with ResultWriter(out, columns) as writer, reporting.Inspected(model, out, dataset) as report:
        for sample, seen in zip(track(samples, "evaluating"), judging.look(asked), strict=False):
            _count(evaluation, model, sample, seen, unturned)
            result = seen.result
            hashes.append(result.sha256)
            collected.add(sample.group if once else None, result)
            errors += [(sample.name, result.error)] if result.error is not None else []
            writer.write(result, sample.label, sample.group if dataset.grouped else None)
            report.add(result, seen.pixels, sample)
        notes = [*dataset.notes, *overlap_notes(model.bundle.manifest.data, samples, hashes, dataset)]
        metrics, notes = _told(evaluation, model, notes, unturned)
        metrics |= {"decided": collected.rates(defective_parts(samples))} if once else {}
        report.metrics, report.notes = metrics, notes
    write_metrics(out, metrics | {"data": str(data)})  # where `review` finds photographs and masks
    return Evaluated(metrics, evaluation.verdicts(), notes, out, errors)


class _Unturned:
    """Pixel figures with the masks turned that seem to be drawn on images as they are stored."""

    def __init__(self, orientations: Mapping[str, int], said: str) -> None:
        self._orientations, self._said, self._pixels = orientations, said, PixelMetrics()

    def add(self, sample: Sample, at_source: _AtSource) -> None:
        """Count one image that could be measured; nothing where no mask is in doubt."""
        anomaly_map, mask, valid = at_source
        if not self._orientations or anomaly_map is None or (mask is None and not sample.is_good):
            return
        if mask is not None:
            mask = imaging.turned(mask, self._orientations.get(sample.name, 1))
        self._pixels.add(anomaly_map, None if sample.is_good else mask, valid)

    def notes(self, metrics: Mapping[str, Any]) -> list[str]:
        """What must be known of the pixel figures, given those with the masks as they are."""
        before, after = metrics["pixel_auroc"], self._pixels.auroc()
        if not self._said:
            return []
        figures = "" if None in (before, after) else f". Pixel AUROC {before:.3f}; with these masks turned {after:.3f}"
        return [f"{WARNING}{self._said}{figures}"]


def _count(evaluation: Evaluation, model: Model, sample: Sample, seen: Seen, unturned: _Unturned) -> None:
    """Count one image."""
    result = seen.result
    score = 0.0 if result.score is None else result.score  # not read where the verdict is ERROR
    pixels = _at_source(model, sample, result, None if seen.picture is None else seen.picture.valid)
    evaluation.add(sample.label or "", sample.group, result.verdict, score, *pixels, ms=result.ms)
    unturned.add(sample, pixels)


def _told(
    evaluation: Evaluation, model: Model, notes: Sequence[str], unturned: _Unturned
) -> tuple[dict[str, Any], list[str]]:
    """The metrics, and all that must be known to read them."""
    metrics = evaluation.metrics()
    told = [*notes, *unturned.notes(metrics), *_of_photographs(model)]
    return metrics | _circumstances(model, told), told


def _of_photographs(model: Model) -> list[str]:
    """What must be known where the model decides on parts, and the figures are of single photographs."""
    calibration = model.bundle.manifest.calibration
    if calibration.per not in ONCE:
        return []
    return [
        f"{WARNING}the model decides once for a part, by the {calibration.joining} of its photographs: only the "
        "figures of parts that are decided once are what the bound is about, and they need --group or a column 'group'"
    ]


def defective_parts(samples: Sequence[Sample]) -> set[str]:
    """Parts of which any photograph shows a defect."""
    return {sample.group for sample in samples if not sample.is_good}


def _circumstances(model: Model, notes: Sequence[str]) -> dict[str, Any]:
    """Which model was measured, at which thresholds, what they promise, and what flatters the figures."""
    calibration, limits = model.bundle.manifest.calibration, model.thresholds
    bounds = {name: one.bound for name, one in (("reject", calibration.reject), ("review", calibration.review))}
    return {
        "model_id": model.model_id,
        "thresholds": {name: getattr(limits, name) for name in ("reject", "review", "map_reject", "map_review")},
        "bound": bounds
        | {"confidence": calibration.confidence, "n": calibration.n, "unit": calibration.unit}
        | {"per": calibration.per}
        | {"statement": list(calibration.statement)},
        "warnings": [note.removeprefix(WARNING) for note in notes if note.startswith(WARNING)],
        "notes": [note for note in notes if not note.startswith(WARNING)],
    }


def write_metrics(out: Path | None, metrics: Mapping[str, Any]) -> None:
    """metrics.json, where results are written.

    Raises:
        DataError: The disk does not take it.
    """
    if out is None:
        return
    path = out / result_folder.METRICS
    try:
        disk.write(path, json.dumps(metrics, indent=1, allow_nan=False).encode() + b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Make room or choose another --out.") from error


class _AtSource(NamedTuple):
    """Map, defect and region of an image, all (H, W) at its own resolution; None where there is none."""

    anomaly_map: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None
    valid: NDArray[np.bool_] | None = None


def _at_source(model: Model, sample: Sample, result: Result, inspected: NDArray[np.bool_] | None = None) -> _AtSource:
    """What the pixels of one image are measured by."""
    if result.anomaly_map is None or result.shape is None:
        return _AtSource()
    height, width = result.shape
    valid = None
    framing = model.framing.of(inspected)
    if framing.roi is not None:  # of the golden frame where images are aligned, so elsewhere in each of them
        valid = result.valid if framing.align else framing.region(height, width)
    mask = union(sample.masks, model.opener)
    return _AtSource(imaging.resize_map(result.anomaly_map, height, width), mask, valid)
