"""The use cases, each one linear function: train, predict, evaluate, calibrate."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anomalib_lite import manifest as manifests
from anomalib_lite import registry, selfcheck
from anomalib_lite.calibration import Calibration, CalibrationRequest, Exclusion
from anomalib_lite.calibration import calibrate as calibrate_scores
from anomalib_lite.data import Sample, absolute, find, fingerprint, images_of, test_samples, training_samples
from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.images.readers import Readers
from anomalib_lite.edge.model import ROI, Model
from anomalib_lite.edge.results import Result, ResultWriter
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.fits import crossfit, fit
from anomalib_lite.independence import overlap_notes, refuse_dependent
from anomalib_lite.metrics import Evaluation
from anomalib_lite.preparation import Plan, Request, prepare
from anomalib_lite.recalibration import recalibrate
from anomalib_lite.registry import Registry
from anomalib_lite.report import writing as reporting
from anomalib_lite.scoring import score
from anomalib_lite.training import partial

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


def train(request: Request, *, plugins: Registry | None = None, say: Say = _silent) -> Trained | None:
    """From good images to a bundle with certified thresholds.

    Args:
        request: What is asked.
        plugins: What is installed, where that was loaded already.
        say: Gets a line at each stage.

    Returns:
        The new model; None in every process but the first, where several train together.

    Raises:
        AnomalibLiteError: Anything the user can mend; nothing is written then, and an interrupted fit can be resumed.
    """
    bundle.refuse_existing(request.out, overwrite=request.overwrite)
    with TemporaryDirectory(prefix="anomalib-lite-") as scratch:  # holds simulated images, if any
        return _train(request, prepare(request, plugins or registry.load(), Path(scratch)), say)


def _train(request: Request, plan: Plan, say: Say) -> Trained | None:
    """Fit, calibrate and write what was planned."""
    for line in plan.notes():
        say(line)
    if request.resume and not partial.folder(request.out).exists():
        say(f"nothing to resume: there is no {partial.folder(request.out)}; starting anew")
    place = partial.enter(request, plan)
    try:
        fitted = fit(plan, plan.fit, place / "fit", request)
    except Exception:
        partial.leave(place)
        raise
    if fitted is None:
        return None
    say(f"fitted in {fitted.steps:,} steps; the exported graph agrees with torch to {fitted.parity.score:.0e}")
    if fitted.ended_early:
        say("ended before the time was over: this detector gains no more by itself; --steps N goes on")
    for reason in fitted.left_out:
        say(f"left out of the fit: {reason}")
    runtime = Runtime(fitted.graph, plan.framing, fitted.inputs)
    if plan.held_out:
        scored = score(runtime, plan.held_out, plan.goldens, readers=plan.readers)
    else:
        scored = crossfit(plan, place, request, say)
    calibration = calibrate_scores(
        scored.images,
        _rates(plan),
        grouped=plan.dataset.grouped,
        errors=len(scored.errors),
        approximate=not plan.held_out,
        simulated=plan.simulated,
    )
    expected, files = selfcheck.choose(
        plan.config.calibration.selfcheck,
        [(one.score, sample) for one, sample in zip(scored.images, scored.samples, strict=True)],
        plan.framing.spec,
        lambda *files: _score(runtime, plan, *files),
        calibration.thresholds,
        plan.readers,
        plan.goldens if plan.framing.align else None,
    )
    manifest = manifests.describe(plan, fitted, calibration, expected, fingerprint(plan.fit), scored.hashes)
    files |= {bundle.GRAPH: fitted.graph, "weights.safetensors": fitted.weights, "training.csv": fitted.log}
    files |= {ROI: plan.roi} if plan.roi else {}
    files |= plan.goldens.files if plan.goldens else {}
    unwritten = Model(Bundle(request.out, manifest, "", files), readers=plan.readers)
    files["report.html"] = reporting.training(unwritten, scored, fitted.curve, plan.notes())
    written = bundle.write(request.out, manifest, files, overwrite=request.overwrite)
    shutil.rmtree(place, ignore_errors=True)
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
        inputs: Image files, or folders searched for images. A golden pattern looks at the name within the folder, as it
            does in `calibrate` and `evaluate`; of a file, at the file's name.
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
    images = [(path, name) for one in inputs for path, name in _named(one, model.readers)]
    done, root = Predicted(out=out), _root(inputs)
    with ResultWriter(out) as writer, reporting.Inspected(model, out) as report:
        for path, name in watch(images, "inspecting"):
            result = replace(model.inspect(path, reference=reference, name=name), image=os.fspath(path))
            done.counts[result.verdict] += 1
            writer.write(result)
            report.add(result, path)
            if heatmaps and out is not None:
                reporting.write_heatmap(model, result, path, out / "heatmaps", root)
            each(result)
    return done


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
    dataset = find(data, group=group, columns=columns or {}, readers=model.readers)
    samples = test_samples(dataset)
    evaluation = Evaluation(grouped=dataset.grouped)
    hashes: list[str] = []
    with ResultWriter(out) as writer, reporting.Inspected(model, out, dataset) as report:
        for sample in watch(samples, "evaluating"):
            result = model.inspect(sample.path, reference=sample.reference, name=sample.name)
            hashes.append(result.sha256)
            evaluation.add(**_judged(model, sample, result))
            writer.write(result)
            report.add(result, sample.path, sample)
        metrics = report.metrics = evaluation.metrics()
        notes = report.notes = [*dataset.notes, *overlap_notes(model, samples, hashes, dataset)]
    if out is not None:
        _write_metrics(out / "metrics.json", metrics)
    return Evaluated(metrics, evaluation.verdicts(), notes, out)


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
    plugins: Registry | None = None,
    watch: Watch = _unwatched,
) -> Trained:
    """New thresholds for a trained model, from good images that it has not seen. The graph is not touched.

    Args:
        model: The bundle.
        data: Good images.
        out: The new bundle; default: the same place.
        max_false_reject: Default: as in the last calibration.
        confidence: Default: as in the last calibration.
        review: Default: max(5 %, 5 x max_false_reject).
        exclusions: Images left out, and why; recorded.
        group: Regular expression for the physical part.
        columns: Renamed CSV columns.
        overwrite: Replace `out`.
        plugins: What is installed, where that was loaded already.
        watch: Shows progress.

    Raises:
        DataError: The model was fitted on some of these images or parts, their parts are not known while those of the
            training are, an image is there twice, or none is usable.
    """
    installed = (plugins or registry.load()).readers
    loaded = Model(model, readers=installed)
    if out is not None:
        bundle.refuse_existing(out, overwrite=overwrite)
    dataset = find(data, group=group, columns=columns or {}, readers=loaded.readers)
    samples = training_samples(dataset)
    scored = score(
        loaded.runtime,
        watch(samples, "measuring"),
        loaded.goldens,
        readers=loaded.readers,
        refuse=refuse_dependent(loaded, dataset),
    )
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
    scored = scored.without({one.image for one in exclusions})
    written = recalibrate(loaded, calibration, scored, installed, out or model)
    return Trained(written, calibration, scored.errors)


def _score(runtime: Runtime, plan: Plan, image: FileBytes, golden: FileBytes | None = None) -> float:
    """Of an image beside its own golden one, or beside those that the model carries, where it compares."""
    pixels = [imaging.read(one, readers=plan.readers).pixels for one in (image, golden) if one is not None]
    carried = plan.goldens.views if plan.goldens else []
    return runtime.measure(pixels[0], [View(one) for one in pixels[1:]] or carried).score


def _rates(plan: Plan) -> CalibrationRequest:
    asked = plan.config.calibration
    return CalibrationRequest(asked.max_false_reject, asked.confidence, asked.review)


def _named(one: Path, readers: Readers) -> list[tuple[Path, str]]:
    """The images of an input, each with its name: that within the folder, or a file's own."""
    root = one if one.is_dir() else one.parent
    return [(path, path.relative_to(root).as_posix()) for path in images_of(one, readers)]


def _root(inputs: Sequence[Path]) -> Path:
    """The folder that all inputs lie in, absolute and without '..'; links are kept as they are."""
    return Path(os.path.commonpath([absolute(one if one.is_dir() else one.parent) for one in inputs]))


def _write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Make room or choose another --out.") from error


def _judged(model: Model, sample: Sample, result: Result) -> dict[str, Any]:
    """What the evaluation needs to know of one image; map, mask and region at the source's resolution."""
    judged: dict[str, Any] = {
        "label": sample.label,
        "group": sample.group,
        "verdict": result.verdict,
        "score": 0.0 if result.score is None else result.score,  # not read where the verdict is ERROR
        "ms": result.ms,
    }
    if result.anomaly_map is None or result.shape is None:
        return judged
    height, width = result.shape
    judged["anomaly_map"] = imaging.resize_map(result.anomaly_map, height, width)
    if model.framing.roi is not None:  # of the golden frame where images are aligned, so elsewhere in each of them
        judged["valid"] = result.valid if model.framing.align else model.framing.region(height, width)
    if sample.mask:
        judged["mask"] = imaging.read(sample.mask, readers=model.readers).pixels.any(axis=2)
    return judged
