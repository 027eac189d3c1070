"""Certifies new thresholds for a trained model, from good images that it has not seen. The graph is not touched.

Without images, another row of the menu that the last calibration gave: its bounds hold together, so nothing has to be
measured and nothing is paid for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anomalib_lite import registry
from anomalib_lite.calibration import Calibration, Exclusion, ScoredImage
from anomalib_lite.calibration import calibrate as calibrate_scores
from anomalib_lite.calibration.binomial import binomial_tails
from anomalib_lite.calibration.scoring import Measured, Scored, score
from anomalib_lite.calibration.statement import percent_up
from anomalib_lite.calibration.units import decided_on, joined, remembered
from anomalib_lite.config import Rates
from anomalib_lite.data import DataSet, Folders, Sample, check_masks, count, find, some, training_samples
from anomalib_lite.data.independence import admission
from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.decision import Verdict, decide
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.manifest import HeldOut, Manifest, Per
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import FOLDER
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.evidence.judging import judged
from anomalib_lite.pipeline.addition import Earlier
from anomalib_lite.pipeline.known import NOBODY, Said, guarded, measured, with_known
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.record import readers_of
from anomalib_lite.pipeline.selfcheck import judged_again
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import Registry
from anomalib_lite.report import writing as reporting

UNLIKELY = 1e-3  # probability of so many rejected parts under the bound of before, below which they are not like those


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """What `calibrate` is asked, as the command line gives it."""

    model: Path
    data: Path | None  # good images; None where another row is taken and nothing else
    out: Path | None = None  # the new bundle; default: the same place
    per: Per | None = None  # what the line decides on; default: as in the last calibration
    row: int | None = None  # of the menu, instead of a rate
    max_false_reject: float | None = None  # default: as in the last calibration
    confidence: float | None = None  # default: as in the last calibration
    review: float | None = None  # default: as in the last calibration; where another rate is asked, of `config.Rates`
    exclusions: Sequence[Exclusion] = ()  # images left out, and why; recorded
    group: str | None = None  # regular expression for the physical part
    session: str | None = None  # likewise for the day, lot or camera
    columns: Mapping[str, str] = field(default_factory=dict)  # renamed CSV columns
    folders: Folders = field(default_factory=Folders)  # which hold good images; or that all are good
    add: bool = False  # count the held-out images of before, too
    known: Path | None = None  # further known defects, beside those that the model records
    said: Said = NOBODY  # who takes another row, or accepts that known defects pass, and why
    overwrite: bool = False
    threads: int = 0  # that one image is measured with; 0 leaves it to onnxruntime

    def rates(self, before: Calibration) -> Rates:
        """What is asked of the thresholds, given the last calibration.

        Raises:
            ConfigError: A value outside its range, or review below max_false_reject.
        """
        rejected = before.reject.asked if self.max_false_reject is None else self.max_false_reject
        review = before.review.asked if self.review is None and self.max_false_reject is None else self.review
        return Rates.of(rejected, before.confidence if self.confidence is None else self.confidence, review)


def calibrate(asked: Recalibration, *, plugins: Registry | None = None, track: Track = untracked) -> Trained:
    """New thresholds for a trained model.

    Args:
        asked: What is asked.
        plugins: What is installed, where that was loaded already.
        track: Shows progress.

    Raises:
        DataError: The model was fitted on some of these images or parts, their parts are not known while those of the
            training are, an image is there twice, none is usable, or many are NG by the threshold of before.
        ConfigError: Rates that make no sense, a row that is not on the menu, or nothing can be added to the calibration
            of before; or as of `known.guarded`.
    """
    installed = (plugins or registry.load()).readers
    model = Model(asked.model, threads=asked.threads, readers=installed)
    manifest, before = model.bundle.manifest, model.bundle.manifest.calibration
    asked.rates(before)  # refuses what makes no sense before anything is measured
    bundle.refuse_existing(asked.out or asked.model, overwrite=asked.overwrite or asked.out is None)
    if asked.known is not None:
        manifest = with_known(manifest, measured(model, asked.known))
    if asked.data is None:
        known_alone = asked.row is None and (asked.known is not None or asked.exclusions)
        return (_as_before if known_alone else _another_row)(asked, model, manifest)
    dataset = _found(asked, asked.data, model.opener)
    earlier = Earlier.of(manifest, dataset) if asked.add else Earlier()
    scored, notes = _measured(model, dataset, earlier if asked.add else None, track)
    notes += _refuse_defects(scored, asked, manifest)
    earlier = earlier.beside([image.image for image in scored.images], manifest.data.root)
    counted = [*earlier.images, *scored.record]
    facts = {"grouped": dataset.grouped, "errors": len(scored.errors), "history": before.as_history()}
    exclusions = {one.image: one for one in (*earlier.exclusions, *asked.exclusions)}
    calibration = _certified(asked, manifest, counted, exclusions=list(exclusions.values()), **facts)
    manifest = manifest.recalibrated(
        calibration,
        held_out=counted,
        selfcheck=judged_again(manifest.selfcheck, calibration.limits),
        readers=readers_of([image.sample for image in scored.images], model.opener),
        evidence=manifest.evidence and judged(manifest.evidence, calibration),
    )
    manifest = guarded(manifest, asked.said, before=model.bundle.manifest.known)
    written = _write(asked, model, manifest, earlier, scored)
    return Trained(written, calibration, scored.unjudged, notes)


def _found(asked: Recalibration, data: Path, opener: Opener) -> DataSet:
    """The images of a new calibration."""
    named = {"group": asked.group, "session": asked.session}
    return find(data, columns=asked.columns, folders=asked.folders, opener=opener, **named)


def _certified(asked: Recalibration, manifest: Manifest, images: Sequence[HeldOut], **facts: Any) -> Calibration:
    """A calibration on these images."""
    before = manifest.calibration
    return calibrate_scores(
        [remembered(one, manifest.data.alias(one.group)) for one in images],
        asked.rates(before),
        per=asked.per or before.per,
        top_share=before.top_share,
        seed=manifest.seed,
        row=asked.row,
        gated=before.gated,
        holdout=before.holdout,
        unlabelled=before.unlabelled,
        **facts,
    )


def _another_row(asked: Recalibration, model: Model, manifest: Manifest) -> Trained:
    """The last calibration, with another row of its menu.

    Args:
        asked: Which.
        model: It.
        manifest: Its, with the known defects that are asked for.
    """
    before = manifest.calibration
    if asked.row is None:
        raise ConfigError(
            "DATA is missing: give a folder of good images to calibrate on. Only another row of the menu, --row N, "
            "needs none."
        )
    if before.approximate:
        raise ConfigError(
            f"{asked.model} is cross-fitted: its averages do not hold for a row that is chosen after looking. "
            "Calibrate on parts that are new (calibrate MODEL DATA --row N), or train with another --max-false-reject."
        )
    others = before.exclusions != model.bundle.manifest.calibration.exclusions
    if asked.confidence is not None or asked.per is not None or asked.exclusions or asked.add or others:
        raise ConfigError(
            "--row takes a row of the last calibration, as it is: leave out --per, --confidence, --exclude and --add, "
            "or give the images of a new calibration."
        )
    again = at_row(asked, manifest)
    if again is None:
        raise DataError(
            f"{asked.model}: does not record what its calibration rests on, as models of older versions and exports "
            "without names. Take the row in the model that it was exported from, or calibrate on images: calibrate "
            f"MODEL DATA --row {asked.row}."
        )
    row = f"row {asked.row} of the menu instead of row {before.reject.allowed}"
    return _rewritten(asked, model, _under(manifest, again), row)


def _as_before(asked: Recalibration, model: Model, manifest: Manifest) -> Trained:
    """Further known defects, under the last calibration; or under it without images that are left out now."""
    before, images = model.bundle.manifest.calibration, manifest.data.held_out
    left_out = {one.image: one for one in (*manifest.calibration.exclusions, *asked.exclusions)}
    rates = (asked.per, asked.max_false_reject, asked.confidence, asked.review)
    if asked.add or any(one is not None for one in rates):
        raise ConfigError("DATA is missing: give a folder of good images; without it, the last calibration stays.")
    if tuple(left_out.values()) == before.exclusions:
        return _rewritten(asked, model, manifest)
    if before.approximate or before.simulated or not images:
        raise ConfigError("--exclude: this model does not record what each of its held-out images had. Give DATA.")
    facts = {"grouped": before.unit == "group", "errors": before.errors.count, "history": before.as_history()}
    asked = replace(asked, row=before.row)
    again = _certified(asked, manifest, images, exclusions=list(left_out.values()), **facts)
    return _rewritten(asked, model, _under(manifest, again))


def _under(manifest: Manifest, again: Calibration) -> Manifest:
    """The manifest under another calibration on the same images."""
    checks = judged_again(manifest.selfcheck, again.limits)
    evidence = manifest.evidence and judged(manifest.evidence, again)
    return manifest.recalibrated(again, held_out=manifest.data.held_out, selfcheck=checks, evidence=evidence)


def _rewritten(asked: Recalibration, model: Model, manifest: Manifest, row: str = "") -> Trained:
    """The model with this manifest; nothing was measured for its thresholds."""
    manifest = guarded(manifest, asked.said, row, before=model.bundle.manifest.known)
    earlier = Earlier(manifest.data.held_out, manifest.calibration.exclusions)
    written = _write(asked, model, manifest, earlier, Scored())
    return Trained(written, manifest.calibration, [])


def at_row(asked: Recalibration, manifest: Manifest) -> Calibration | None:
    """The last calibration with the row that is asked for; None where the model does not record what it rests on.

    Raises:
        ConfigError: There is no such row.
    """
    before, images = manifest.calibration, manifest.data.held_out
    facts = {"grouped": before.unit == "group", "errors": before.errors.count, "exclusions": before.exclusions}
    facts |= {name: getattr(before, name) for name in ("simulated", "history")}
    again = _certified(asked, manifest, images, **facts) if images else None
    return again if again is not None and again.scores == before.scores else None


def _measured(model: Model, dataset: DataSet, earlier: Earlier | None, track: Track) -> tuple[Scored, list[str]]:
    """The images that are new to the model, and notes on the others.

    Args:
        model: It.
        dataset: Good images.
        earlier: What new images are added to; None where all must be new.
        track: Shows progress.
    """
    fitted: list[str] = []
    again: list[str] = []
    known = {one.sha256 for one in earlier.images} if earlier else set()
    independent = admission(model.bundle.manifest.data, dataset, None if earlier is None else fitted)

    def admit(sha256: str, sample: Sample) -> bool:
        if sha256 in known:
            again.append(sample.name)
        return sha256 not in known and independent(sha256, sample)

    samples, _ = check_masks(training_samples(dataset), dataset.opener)
    scored = score(model.runtime, track(samples, "measuring"), model.intake, admit=admit)
    if earlier is None:
        return scored, []
    return scored, earlier.notes(model.bundle.manifest, dataset, scored, fitted, again)


def _refuse_defects(scored: Scored, asked: Recalibration, manifest: Manifest) -> list[str]:
    """Raise where so many parts are NG by the threshold of before that they can hardly be like those it came from."""
    before = manifest.calibration
    images = scored.without({one.image for one in asked.exclusions}).images
    named = [ScoredImage(one.image, _part(one, before), one.score, one.map_peak) for one in images]
    parts = decided_on(named, before.per, manifest.seed)
    rejected = sorted(
        max(part, key=lambda image: image.score).image
        for part in parts
        if decide(joined(part, lambda image: image.score, before.joining), before.limits) in (Verdict.NG, Verdict.ERROR)
    )  # ERROR: the gate refused it, and its score is infinite
    k, n, bound = len(rejected), len(parts), before.reject.bound
    if not k:
        return []
    unit = "part" if before.unit == "group" else "image"
    said = f"{k:,} of {count(n, unit)} NG by the threshold of before, as {some(rejected, 3)}"
    about_these = not (before.simulated or before.approximate)
    unlikely = about_these and binomial_tails(k - 1, n, bound)[1] < UNLIKELY
    if asked.folders.all_good or not (unlikely or 2 * k > n):
        return [said]
    raise DataError(
        f"{asked.data}: {said}; of good ones it rejects at most {percent_up(bound)}. Where they are defective, leave "
        "them out (--exclude FILE --because TEXT, or another folder); where all are good and something else has "
        "changed, such as the light, give --all-good."
    )


def _part(image: Measured, before: Calibration) -> str:
    return image.group if before.unit == "group" else image.image


def _write(asked: Recalibration, model: Model, manifest: Manifest, earlier: Earlier, scored: Scored) -> Bundle:
    """The same bundle with another calibration and a new report."""
    before, out = model.bundle, asked.out or asked.model
    replayed = {name for one in manifest.selfcheck for name in one.files}
    files = {
        name: before.read(name)
        for name in before.manifest.files
        if name != "report.html" and (name in replayed or not name.startswith(f"{FOLDER}/"))
    }
    unwritten = Model.around(Bundle(out, manifest, "", files), model.intake, model.runtime)
    left_out = {one.image for one in manifest.calibration.exclusions}
    added = [one for one in earlier.images if one.image not in left_out]
    curve = reporting.curve(files.get("training.csv", b""))
    files["report.html"] = reporting.training(unwritten, scored.without(left_out), curve, [], earlier=added)
    return bundle.write(out, manifest, files, overwrite=asked.overwrite or asked.out is None)
