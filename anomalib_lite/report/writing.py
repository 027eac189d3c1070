"""Gathers what a report shows while images stream by, and writes it beside the results."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from anomalib_lite.calibration.scoring import Measured, Scored
from anomalib_lite.data.samples import GOOD, DataSet, Sample, groups
from anomalib_lite.edge.decision import decide
from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.edge.manifest import DataRecord, GateRecord, HeldOut
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.report import evidence
from anomalib_lite.report.evidence import Shown
from anomalib_lite.report.gallery import Gallery
from anomalib_lite.report.heatmaps import colours_of
from anomalib_lite.report.page import Report, ScoredRow, render, write
from anomalib_lite.report.timeline import Recordings

SHOWN = 24  # pictures under one heading, and held-out images of a training report


def curve(log: bytes) -> list[tuple[int, float]]:
    """(step, loss) of a training.csv; empty where it is."""
    rows = csv.DictReader(log.decode("utf-8").splitlines())
    return [(int(row["step"]), float(row["loss"])) for row in rows if row.get("step") and row.get("loss")]


def training(
    model: Model,
    scored: Scored,
    curve: Sequence[tuple[int, float]],
    notes: Sequence[str],
    earlier: Sequence[HeldOut] = (),
    shown: Sequence[Callable[[], Shown]] = (),
) -> bytes:
    """The report of a training, to go into the bundle.

    Args:
        model: The new model, not yet written.
        scored: The held-out good images; with cross-fitting, measured by sibling models.
        curve: (step, loss).
        notes: What was found in the data.
        earlier: Further images that the thresholds rest on, measured before.
        shown: Planted defects, for pictures of them.
    """
    manifest = model.bundle.manifest
    ranked = scored.ranked[::-1]
    pictures = gallery(model)
    for image in [] if manifest.calibration.approximate else ranked[:SHOWN]:
        seen = model.look(image.source, reference=image.sample.reference, name=image.image)
        pictures.consider(seen.result, GOOD, seen.pixels)
    rows = [_row(model, one, one.score) for one in [*ranked, *(one for one in scored.images if one.is_refused)]]
    rows += [_row(model, one, one.score) for one in earlier]
    rows += [ScoredRow(name, GOOD, name, "ERROR", None, reason) for name, reason in scored.errors]
    report = _report(model, "train", _data(manifest.data), rows, notes)
    report.gallery, report.curve = pictures, curve
    thumbnails = evidence.pictures(model, pictures, shown)
    report.evidence = evidence.section(manifest, thumbnails)
    return render(report)


class Inspected:
    """The report on a prediction or an evaluation, written to `out` on leaving; without `out`, nothing is kept."""

    def __init__(self, model: Model, out: Path | None, dataset: DataSet | None = None) -> None:
        self.metrics: Mapping[str, Any] | None = None
        self.notes: list[str] = []
        self._model, self._out, self._dataset = model, out, dataset
        self._rows: list[ScoredRow] = []
        self._gallery, self._recordings = gallery(model), Recordings()

    def __enter__(self) -> Self:
        return self

    def add(self, result: Result, pixels: Pixels | None, sample: Sample | None = None) -> None:
        """One more result, and the image (H, W, C) that it is of."""
        if self._out is None:
            return
        label = sample.label if sample else None
        group = sample.group if sample else result.image
        self._rows.append(ScoredRow(result.image, label, group, result.verdict.value, result.score, result.error))
        self._gallery.consider(result, label, pixels)
        self._recordings.add(result)

    def count(self, row: Mapping[str, Any]) -> None:
        """One more row of results, without its image."""
        image, error = str(row["image"]), row.get("error")
        self._rows.append(ScoredRow(image, None, image, str(row["verdict"]), row.get("score"), error))

    def show(self, result: Result, pixels: Pixels | None) -> None:
        """A picture of an image that was counted."""
        self._gallery.consider(result, None, pixels)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._out is None or error is not None:
            return
        if self._dataset is None:
            purpose: Literal["predict", "evaluate"] = "predict"
            data = {"images": f"{len(self._rows):,}"}
        else:
            purpose, data = "evaluate", _found(self._dataset)
        report = _report(self._model, purpose, data, self._rows, self.notes)
        report.gallery, report.metrics = self._gallery, self.metrics
        report.recordings = self._recordings.drawn()
        write(self._out / "report.html", report)


def gallery(model: Model, most: int = SHOWN) -> Gallery:
    """What keeps pictures of the images of a model, so many under one heading."""
    spec = model.framing.spec
    return Gallery(*colours_of(model), spec.white, spec.black, most)


def _row(model: Model, one: HeldOut | Measured, score: float | None) -> ScoredRow:
    """A good image that the thresholds rest on."""
    if score is None or math.isinf(score):
        why = one.refused if isinstance(one, Measured) else None
        return ScoredRow(one.image, GOOD, one.group, "ERROR", None, f"counted as rejected: {why or 'refused'}")
    return ScoredRow(one.image, GOOD, one.group, decide(score, model.thresholds).value, score)


def _report(
    model: Model,
    purpose: Literal["train", "evaluate", "predict"],
    data: Mapping[str, str],
    rows: list[ScoredRow],
    notes: Sequence[str],
) -> Report:
    manifest = model.bundle.manifest
    return Report(
        title=f"{manifest.detector.name} on {manifest.data.root}",
        purpose=purpose,
        model=_identity(model),
        data=data,
        calibration=manifest.calibration,
        rows=rows,
        notes=list(notes),
        found=manifest.evidence,
    )


def _identity(model: Model) -> dict[str, str]:
    """What identifies a model, in words."""
    manifest, spec = model.bundle.manifest, model.framing.spec
    detector, training = manifest.detector, manifest.training
    depth = f"{spec.dtype}, " + (f"black {spec.black:g}, " if spec.black else "") + f"white {spec.white:g}"
    colour = {1: "grey", 3: "RGB"}.get(spec.channels, f"{spec.channels} channels")
    return {
        "detector": f"{detector.name} ({detector.plugin} {detector.version})",
        "model": model.model_id or "see manifest.json beside this report",
        "method": detector.paper or detector.summary,
        "pretrained weights": detector.weights or "none",
        "created": manifest.created,
        "input": f"{spec.width} x {spec.height}, {colour}, {depth}, {model.framing.mode}",
        "fitted on": f"{training.images:,} images, {training.steps:,} steps, on {training.device}",
        "options": ", ".join(f"{key} {value}" for key, value in manifest.options.items()),
        "score": ", ".join(f"{key} {value}" for key, value in manifest.score.items()),
        "gate": _gate(manifest.gate),
        "graph": manifest.graph_sha256[:12] or "see manifest.json",
    }


def _gate(gate: GateRecord | None) -> str:
    """What is not judged, in words."""
    if gate is None or not gate.enabled:
        return "off: images that look like none of the training are judged" if gate else "none"
    verdict = "ERROR" if gate.verdict == "error" else "REVIEW at least"
    features = f"; features by {gate.weights}" if gate.weights else ""
    return f"{verdict} beyond {len(gate.limits)} limits, from {gate.images:,} images of {gate.parts:,} parts{features}"


def _data(data: DataRecord) -> dict[str, str]:
    """The training data, in words."""
    return {
        "name": data.root,
        "layout": data.layout,
        "images": f"{data.images:,}, of which fitted {len(data.fit):,}",
        "parts": f"{data.groups:,}" if data.grouped else "not known: each image counts as a part",
        "unreadable": ", ".join(name for name, _ in data.unreadable) or "none",
    }


def _found(dataset: DataSet) -> dict[str, str]:
    return {
        "name": dataset.root.name,
        "layout": dataset.layout,
        "images": f"{len(dataset.samples):,}",
        "parts": f"{len(groups(dataset.samples)):,}" if dataset.grouped else "not known: each image counts as a part",
    }
