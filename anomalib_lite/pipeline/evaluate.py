"""Measures a model on labelled images. Nothing is tuned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data import Folders, Sample, check_masks, evaluation_samples, find
from anomalib_lite.data.independence import overlap_notes
from anomalib_lite.data.masks import union
from anomalib_lite.edge import disk
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result, ResultWriter
from anomalib_lite.errors import DataError
from anomalib_lite.metrics import Evaluation
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.report import writing as reporting


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Metrics of a model on labelled images, and what must be known to read them."""

    metrics: Mapping[str, Any]
    verdicts: Mapping[str, Mapping[str, int]]  # label, and "all" -> verdict -> number of images
    notes: list[str]
    out: Path | None


def evaluate(
    model: Model,
    data: Path,
    *,
    out: Path | None = None,
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    folders: Folders | None = None,
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
        track: Shows progress.

    Raises:
        DataError: No labelled images, or labels or masks that cannot be used.
    """
    dataset = find(data, group=group, columns=columns or {}, folders=folders, opener=model.opener)
    samples, of_masks = check_masks(evaluation_samples(dataset), dataset.opener)
    evaluation = Evaluation(grouped=dataset.grouped)
    hashes: list[str] = []
    with ResultWriter(out) as writer, reporting.Inspected(model, out, dataset) as report:
        for sample in track(samples, "evaluating"):
            seen = model.look(sample.path, reference=sample.reference, name=sample.name)
            result = seen.result
            hashes.append(result.sha256)
            score = 0.0 if result.score is None else result.score  # not read where the verdict is ERROR
            pixels = _at_source(model, sample, result)
            evaluation.add(sample.label or "", sample.group, result.verdict, score, *pixels, ms=result.ms)
            writer.write(result)
            report.add(result, seen.pixels, sample)
        metrics = report.metrics = evaluation.metrics()
        overlap = overlap_notes(model.bundle.manifest.data, samples, hashes, dataset)
        notes = report.notes = [*dataset.notes, *of_masks, *overlap]
    if out is not None:
        _write_metrics(out / "metrics.json", metrics)
    return Evaluated(metrics, evaluation.verdicts(), notes, out)


def _write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    try:
        disk.write(path, json.dumps(metrics, indent=1, allow_nan=False).encode() + b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Make room or choose another --out.") from error


class _AtSource(NamedTuple):
    """Map, defect and region of an image, all (H, W) at its own resolution; None where there is none."""

    anomaly_map: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None
    valid: NDArray[np.bool_] | None = None


def _at_source(model: Model, sample: Sample, result: Result) -> _AtSource:
    """What the pixels of one image are measured by."""
    if result.anomaly_map is None or result.shape is None:
        return _AtSource()
    height, width = result.shape
    valid = None
    if model.framing.roi is not None:  # of the golden frame where images are aligned, so elsewhere in each of them
        valid = result.valid if model.framing.align else model.framing.region(height, width)
    mask = union(sample.masks, model.opener)
    return _AtSource(imaging.resize_map(result.anomaly_map, height, width), mask, valid)
