"""Changes how the map becomes the score, without a fit: a new graph from the weights that are kept, calibrated anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalib_lite import config as configuration
from anomalib_lite import registry
from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration import calibrate as calibrate_scores
from anomalib_lite.calibration.scoring import Scored, score
from anomalib_lite.config import Config, Rates
from anomalib_lite.data import DataSet, Images, Sample, check_masks, count, training_samples
from anomalib_lite.data.independence import admission
from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.manifest import Manifest, Parity
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import FOLDER
from anomalib_lite.edge.sessions import Feed
from anomalib_lite.errors import ConfigError, ImageError, MissingExtra, ModelError
from anomalib_lite.pipeline import evidence, selfcheck
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.record import readers_of
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import Registry
from anomalib_lite.report import writing as reporting

if TYPE_CHECKING:
    from anomalib_lite.training.rebuilding import Rebuilt

WEIGHTS = "weights.safetensors"
PARITY_IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class Rescoring(Images):
    """What `rescore` is asked, as the command line gives it: good images of the training again, or new ones."""

    model: Path
    settings: Sequence[str] = ()  # "score.reduction=top"
    out: Path | None = None  # the new bundle; default: the same place
    overwrite: bool = False
    threads: int = 0  # that one image is measured with; 0 leaves it to onnxruntime


def rescore(asked: Rescoring, *, plugins: Registry | None = None, track: Track = untracked) -> Trained:
    """The same detector with another reduction or smoothing, and thresholds for it.

    Args:
        asked: What is asked.
        plugins: What is installed, where that was loaded already.
        track: Shows progress.

    Raises:
        ConfigError: Nothing of `score` is changed, or something else is.
        ModelError: The bundle holds no weights: it is an export.
        PluginError: The detector is not installed, or is another than it was.
        DataError: No image is left that the model was not fitted on.
        MissingExtra: torch is not installed.
    """
    installed = plugins or registry.load()
    bundle.refuse_existing(asked.out or asked.model, overwrite=asked.overwrite or asked.out is None)
    model = Model(asked.model, threads=asked.threads, readers=installed.readers)
    config = _changed(model.bundle.manifest, asked.settings)
    dataset = asked.found(model.opener)
    samples, _ = check_masks(training_samples(dataset), dataset.opener)
    made = _rebuilt(model, config, installed, samples)
    fitted: list[str] = []
    admit = admission(model.bundle.manifest.data, dataset, fitted)
    scored = score(made.runtime, track(samples, "measuring"), model.intake, admit=admit)
    written = _written(model, made, scored, dataset, config, asked.out or asked.model, installed)
    notes = [f"{count(len(fitted), 'image')} passed over, which the model was fitted on"] if fitted else []
    if known := model.bundle.manifest.known:
        notes.append(
            f"{count(len(known), 'known defect')} of before, of other scores: give them with calibrate --known"
        )
    return Trained(written, written.manifest.calibration, scored.unjudged, notes)


def _changed(manifest: Manifest, settings: Sequence[str]) -> Config:
    """The configuration of the model with other settings of `score`."""
    given = configuration.load(None, settings)
    if others := [key for key in given if key != "score"]:
        raise ConfigError(
            f"--set {others[0]}: rescore changes score.sigma, score.reduction, score.top_share and score.least alone; "
            "anything else needs a training."
        )
    before = configuration.validate(Config, dict(manifest.config), where="the manifest", help_command="anomalib-lite")
    merged = dict(manifest.config) | {"score": {**manifest.score, **given.get("score", {})}}
    after = configuration.validate(Config, merged, where="--set", help_command="anomalib-lite rescore --help")
    if after.score == before.score:
        raise ConfigError(
            f"nothing changes: the model has {before.score.model_dump()} already. Say what to change, such as "
            "--set score.reduction=top --set score.top_share=0.05."
        )
    return after


def _rebuilt(model: Model, config: Config, plugins: Registry, samples: Sequence[Sample]) -> Rebuilt:
    """The new graph, loaded and compared with torch on some of the images."""
    if WEIGHTS not in model.bundle.manifest.files:
        raise ModelError(
            f"{model.bundle.path} holds no {WEIGHTS}: rescore the folder that `train` wrote, not an export."
        )
    try:
        from anomalib_lite.training.rebuilding import rebuilt
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train", "rescore") from error
    images = _feeds(model, samples[:: -(-len(samples) // PARITY_IMAGES)])
    return rebuilt(model, config, plugins.detector(model.bundle.manifest.detector.name), images, WEIGHTS)


def _feeds(model: Model, samples: Sequence[Sample]) -> Iterator[tuple[str, Feed]]:
    """Names and inputs of images; what cannot be measured is counted where it is."""
    for sample in samples:
        try:
            picture = model.intake.read(sample.path)
            goldens = model.intake.candidates(picture, sample.name, sample.reference)
            for feed in model.runtime.feeds(picture.pixels, goldens):
                yield sample.name, feed
        except ImageError:
            continue


def _written(
    model: Model, made: Rebuilt, scored: Scored, dataset: DataSet, config: Config, out: Path, plugins: Registry
) -> Bundle:
    """The bundle with the new graph, thresholds of its own, and a self-check that expects what it says."""
    manifest, before = model.bundle.manifest, model.bundle.manifest.calibration
    *history, last = before.as_history()
    calibration = calibrate_scores(
        scored.images,
        Rates.of(before.reject.asked, before.confidence, before.review.asked),
        grouped=dataset.grouped,
        per=before.per,
        top_share=before.top_share,
        seed=manifest.seed,
        row=before.row,
        gated=before.gated,
        errors=len(scored.errors),
        holdout=before.holdout,
        unlabelled=before.unlabelled,
        history=(*history, {**last, "score": dict(manifest.score)}),
    )
    taken = _evidence(model, made, scored, calibration, config)
    check = selfcheck.choose(config.calibration.selfcheck, scored, model.intake, made.runtime, calibration.limits)
    kept = {name: model.bundle.read(name) for name in manifest.files if not name.startswith(f"{FOLDER}/")}
    files: dict[str, bytes] = {**kept, **check.files, bundle.GRAPH: made.graph}
    readers = readers_of([image.sample for image in scored.images], model.opener)
    manifest = _rescored(manifest, config, made.parity).recalibrated(
        calibration, held_out=scored.record, selfcheck=check.expected, readers=readers, evidence=taken.record
    )
    unwritten = Model.around(Bundle(out, manifest, "", files), model.intake, made.runtime)
    curve = reporting.curve(files.get("training.csv", b""))
    files["report.html"] = reporting.training(unwritten, scored, curve, [], shown=taken.pictures)
    return bundle.write(out, manifest, files, overwrite=True)


def _evidence(
    model: Model, made: Rebuilt, scored: Scored, calibration: Calibration, config: Config
) -> evidence.Evidence:
    """What the new graph finds of planted defects, of the kinds of before."""
    before = model.bundle.manifest.evidence
    taking = evidence.Taking(
        model.intake,
        made.runtime,
        calibration,
        config.training.seed,
        plants=before.trained_on if before else (),
        finds=before.finds if before else (),
    )
    return evidence.take(taking, scored)


def _rescored(manifest: Manifest, config: Config, parity: Parity) -> Manifest:
    changed: dict[str, Any] = {**manifest.config, "score": config.score.model_dump(mode="json")}
    return replace(manifest, config=changed, graph=replace(manifest.graph, parity=parity), known=())
