"""The use cases, each one linear function: train, predict, evaluate, calibrate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalib_lite import manifest as manifests
from anomalib_lite import reporting, selfcheck
from anomalib_lite.calibration import Calibration, CalibrationRequest, Exclusion
from anomalib_lite.calibration import calibrate as calibrate_scores
from anomalib_lite.data import DataSet, Sample, find, folds, training_samples
from anomalib_lite.edge import bundle, imaging
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import ROI, Model
from anomalib_lite.edge.results import Result, ResultWriter
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.selfcheck import FOLDER as SELFCHECK
from anomalib_lite.edge.selfcheck import Expected
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.evaluation import Evaluation
from anomalib_lite.preparation import Plan, Request, prepare
from anomalib_lite.scoring import Scored, score

if TYPE_CHECKING:
    from anomalib_lite.fitting import Fitted

Say = Callable[[str], None]
Watch = Callable[[Iterable[Any], str], Iterator[Any]]  # passes items through and shows how far they are


def _silent(message: str) -> None:
    """Say nothing."""


def _unwatched(items: Iterable[Any], label: str) -> Iterator[Any]:
    return iter(items)


@dataclass(frozen=True, eq=False)
class Trained:
    """A new model and what it promises."""

    bundle: Bundle
    calibration: Calibration
    errors: list[tuple[str, str]]  # held-out images that could not be measured: name, reason


def train(request: Request, *, say: Say = _silent) -> Trained | None:
    """From good images to a bundle with certified thresholds.

    Args:
        request: What is asked.
        say: Gets a line at each stage.

    Returns:
        The new model; None in every process but the first, where several train together.

    Raises:
        AnomalibLiteError: Anything the user can mend; nothing is written then, and an interrupted fit can be resumed.
    """
    bundle.refuse_existing(request.out, overwrite=request.overwrite)
    plan = prepare(request)
    for line in plan.notes():
        say(line)
    partial = _open_partial(request, plan)
    fitted = _fit(plan, plan.fit, partial / "fit", request, share=1 / (1 + (plan.config.calibration.crossfit or 0)))
    if fitted is None:
        return None
    say(f"fitted in {fitted.steps:,} steps; the exported graph agrees with torch to {fitted.parity.score:.0e}")
    runtime = Runtime(fitted.graph, plan.framing, fitted.inputs)
    scored = score(runtime, plan.held_out) if plan.held_out else _crossfit(plan, partial, request, say)
    calibration = calibrate_scores(
        scored.images,
        _calibration_request(plan),
        grouped=plan.dataset.grouped,
        errors=len(scored.errors),
        approximate=not plan.held_out,
    )
    expected, files = _selfcheck(plan, runtime, scored, calibration)
    manifest = manifests.describe(plan, fitted, calibration, expected, _hashes(plan.fit))
    files |= {bundle.GRAPH: fitted.graph, "weights.safetensors": fitted.weights, "training.csv": fitted.log}
    files |= {ROI: plan.roi} if plan.roi else {}
    files["report.html"] = reporting.training(manifest, calibration, scored, runtime, plan.framing.spec, fitted.curve)
    written = bundle.write(request.out, manifest, files, overwrite=request.overwrite)
    shutil.rmtree(partial, ignore_errors=True)
    return Trained(written, calibration, scored.errors)


@dataclass
class Predicted:
    """How many images got which verdict, and where the results are."""

    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    out: Path | None = None

    @property
    def measured(self) -> int:
        """Images that could be measured."""
        return sum(self.counts.values()) - self.counts[Verdict.ERROR]


def predict(
    model: Model,
    inputs: Sequence[Path],
    *,
    out: Path | None = None,
    heatmaps: bool = False,
    reference: Path | None = None,
    each: Callable[[Result], None] = lambda result: None,
    watch: Watch = _unwatched,
) -> Predicted:
    """Judge files and folders, one image after the other.

    Args:
        model: The loaded model.
        inputs: Image files, or folders searched for images.
        out: Gets results.csv, results.jsonl, report.html and, with `heatmaps`, a picture for each image.
        heatmaps: Write overlays to OUT/heatmaps.
        reference: A golden sample, where the model compares with one.
        each: Called with every result.
        watch: Shows progress.

    Raises:
        DataError: An input does not exist, or nothing was found.
    """
    if heatmaps and out is None:
        raise ConfigError("--heatmaps needs a folder to write to: add --out DIR.")
    paths = [path for one in inputs for path in _images(one)]
    done = Predicted(out=out)
    with ResultWriter(out) as writer, reporting.Prediction(model, out) as report:
        for path in watch(paths, "inspecting"):
            result = model.inspect(path, reference=reference)
            done.counts[result.verdict] += 1
            writer.write(result)
            report.add(result, path)
            if heatmaps and out is not None:
                reporting.write_heatmap(model, result, path, out / "heatmaps", _common(inputs))
            each(result)
    return done


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Metrics of a model on labelled images, and what must be known to read them."""

    metrics: Mapping[str, Any]
    notes: list[str]
    out: Path | None


def evaluate(
    model: Model,
    data: Path,
    *,
    out: Path | None = None,
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    watch: Watch = _unwatched,
) -> Evaluated:
    """Measure a model on labelled images, streamed. Nothing is tuned.

    Args:
        model: The loaded model.
        data: A data set with labels; its test split where it has splits.
        out: Gets metrics.json, results.csv, results.jsonl and report.html.
        group: Regular expression for the physical part.
        columns: Renamed CSV columns.
        watch: Shows progress.

    Raises:
        DataError: No labelled images.
    """
    dataset = find(data, group=group, columns=columns or {})
    samples = _test_samples(dataset)
    fit_hashes = model.bundle.manifest["data"]["fit"]
    evaluation = Evaluation()
    overlap = 0
    with ResultWriter(out) as writer, reporting.Prediction(model, out, dataset) as report:
        for sample in watch(samples, "evaluating"):
            result = model.inspect(sample.path, reference=sample.reference, name=sample.name)
            overlap += result.sha256 in fit_hashes
            evaluation.add(sample, result)
            writer.write(result)
            report.add(result, sample.path, sample)
        metrics = evaluation.metrics()
        notes = [*dataset.notes, *_overlap_notes(overlap, samples, fit_hashes, dataset.grouped)]
        report.finish(metrics, notes)
    if out is not None:
        (out / "metrics.json").write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return Evaluated(metrics, notes, out)


def calibrate(
    model: Path,
    data: Path,
    *,
    out: Path | None = None,
    max_false_reject: float | None = None,
    confidence: float | None = None,
    review: float | None = None,
    exclusions: Sequence[Exclusion] = (),
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    overwrite: bool = False,
    watch: Watch = _unwatched,
) -> Trained:
    """New thresholds for a trained model, from good images that it has not seen. The graph is not touched.

    Args:
        model: The bundle.
        data: Good images.
        out: The new bundle; default: the same place.
        max_false_reject: Default: as at the training.
        confidence: Default: as at the training.
        review: Default: max(5 %, 5 x max_false_reject).
        exclusions: Images left out, and why; recorded.
        group: Regular expression for the physical part.
        columns: Renamed CSV columns.
        overwrite: Replace `out`.
        watch: Shows progress.

    Raises:
        DataError: The model was fitted on some of these images or parts, or none is usable.
    """
    loaded = Model(model)
    if out is not None:
        bundle.refuse_existing(out, overwrite=overwrite)
    dataset = find(data, group=group, columns=columns or {})
    samples = training_samples(dataset)
    fit_hashes = loaded.bundle.manifest["data"]["fit"]
    scored = score(loaded.runtime, watch(samples, "measuring"), refuse=_refuse_fitted(fit_hashes, dataset.grouped))
    before = Calibration.from_json(loaded.bundle.manifest["calibration"])
    calibration = calibrate_scores(
        scored.images,
        CalibrationRequest(
            max_false_reject=max_false_reject or before.reject.asked,
            confidence=confidence or before.confidence,
            review=review,
        ),
        grouped=dataset.grouped,
        errors=len(scored.errors),
        exclusions=exclusions,
        history=before.as_history(),
    )
    written = _recalibrated(loaded, calibration, out or model)
    return Trained(written, calibration, scored.errors)
