"""From good images to a bundle with certified thresholds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anomalib_lite import registry
from anomalib_lite.calibration import Calibration, calibrate
from anomalib_lite.calibration.crossfit import calibrate as calibrate_ranks
from anomalib_lite.calibration.scoring import Scored, score
from anomalib_lite.calibration.units import unit_of
from anomalib_lite.data import Sample
from anomalib_lite.edge import bundle, disk
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.gate import Gate
from anomalib_lite.edge.intake import GATE, ROI, Intake
from anomalib_lite.edge.manifest import EvidenceRecord, GateRecord
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Glance, Runtime
from anomalib_lite.errors import AnomalibLiteError, MissingExtra
from anomalib_lite.pipeline import evidence, known, selfcheck
from anomalib_lite.pipeline.check import carried
from anomalib_lite.pipeline.crossfit import crossfitted
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.record import describe
from anomalib_lite.registry import Registry
from anomalib_lite.report import writing as reporting
from anomalib_lite.training import gate_features, partial
from anomalib_lite.training.choice import held_out_share
from anomalib_lite.training.gating import learnt, told
from anomalib_lite.training.plan import Plan, prepare
from anomalib_lite.training.request import Request

if TYPE_CHECKING:
    from anomalib_lite.training.fitting import Fitted

Say = Callable[[str], None]


def _silent(message: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A new model and what it promises."""

    bundle: Bundle
    calibration: Calibration
    errors: list[tuple[str, str]]  # held-out images that could not be measured: name, reason
    notes: list[str] = field(default_factory=list)  # what was counted otherwise than asked

    @property
    def evidence(self) -> EvidenceRecord | None:
        """Of detection."""
        return self.bundle.manifest.evidence


class Gated(NamedTuple):
    """The limits of a gate, and the graph for those of features, where they count."""

    record: GateRecord
    graph: bytes | None


def train(
    request: Request, *, plugins: Registry | None = None, say: Say = _silent, track: Track = untracked
) -> Trained | None:
    """From good images to a bundle with certified thresholds.

    Args:
        request: What is asked.
        plugins: What is installed, where that was loaded already.
        say: Gets a line at each stage.
        track: Shows progress where held-out images are measured.

    Returns:
        The new model; None in every process but the first, where several train together.

    Raises:
        AnomalibLiteError: Anything the user can mend; nothing is written then, and an interrupted fit can be resumed.
    """
    bundle.refuse_existing(request.out, overwrite=request.overwrite)
    if request.known is not None:
        known.listed(request.known)  # refuses before the fit what could not be used behind it
    with disk.scratch() as scratch:  # holds simulated images, if any
        plan = prepare(request, plugins or registry.load(), scratch)
        for line in (*plan.notes(), carried(plan.choice, plan.config, grouped=plan.dataset.grouped)):
            say(line)
        if request.resume and not partial.folder(request.out).exists():
            say(f"nothing to resume: there is no {partial.folder(request.out)}; starting anew")
        with partial.entered(plan) as place:
            bundle.refuse_existing(request.out, overwrite=request.overwrite)  # another may have ended meanwhile
            if plan.config.calibration.crossfit:
                return _crossfitted(plan, place, say, track)
            fitted = _fitted(plan, plan.fit, place / "fit", say)
            if fitted is None:
                return None
            _tell(fitted, say)
            return _certified(plan, fitted, say, track)


def _fitted(plan: Plan, samples: Sequence[Sample], folder: Path, say: Say) -> Fitted | None:
    """One fit of the plan's detector; None in every process but the first.

    Raises:
        MissingExtra: Training needs packages that are not installed.
    """
    try:
        from anomalib_lite.training.fitting import fit
        from anomalib_lite.training.run import LightningRun
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train", "training") from error
    with LightningRun.of(plan, folder) as run:
        return fit(plan, samples, run, say)


def _tell(fitted: Fitted, say: Say) -> None:
    say(f"fitted in {fitted.steps:,} steps; the exported graph agrees with torch to {fitted.parity.score:.0e}")
    if fitted.ended_early:
        say("ended before the time was over: this detector gains no more by itself; --steps N goes on")
    for reason in fitted.left_out:
        say(f"left out of the fit: {reason}")


def _certified(plan: Plan, fitted: Fitted, say: Say, track: Track) -> Trained:
    """Calibrate what was fitted, and write the bundle."""
    gate = _gate(plan, say)
    scored = score(fitted.runtime, track(plan.held_out, "measuring"), _gated(plan, gate))
    calibration = calibrate(
        scored.images,
        plan.config.calibration,
        grouped=plan.dataset.grouped,
        per=unit_of(plan.config.calibration.per, scored.images, grouped=plan.dataset.grouped),
        top_share=plan.config.calibration.top_share,
        seed=plan.config.training.seed,
        row=plan.config.calibration.row,
        errors=len(scored.errors),
        simulated=plan.simulated,
        gated=gate.record.enabled,
        unlabelled=plan.unlabelled,
        retrained=_retrained(plan, scored),
        holdout=held_out_share(plan.config, plan.choice),
    )
    return _written(plan, fitted, gate, scored, calibration, say, track)


def _crossfitted(plan: Plan, place: Path, say: Say, track: Track) -> Trained:
    """Fit siblings, calibrate on all parts, and write the bundle."""

    def fit(samples: Sequence[Sample], folder: Path) -> Fitted:
        fitted = _fitted(plan, samples, folder, say)
        assert fitted is not None  # the configuration lets siblings train in one process alone
        _tell(fitted, say)
        return fitted

    fitted, folds, per = crossfitted(plan, place, fit, say, track)
    n = sum(len(fold.scores) for fold in folds)
    errors = [error for fold in folds for error in fold.scored.errors]
    scored = Scored([image for fold in folds for image in fold.measured(n)], errors)
    calibration = calibrate_ranks(
        folds,
        plan.config.calibration,
        grouped=plan.dataset.grouped,
        per=per,
        simulated=plan.simulated,
        retrained=_retrained(plan, scored),
    )
    return _written(plan, fitted, _gate(plan, say), scored, calibration, say, track)


def _written(
    plan: Plan, fitted: Fitted, gate: Gated, scored: Scored, calibration: Calibration, say: Say, track: Track
) -> Trained:
    """Take evidence, and write the bundle."""
    intake, runtime, out = _gated(plan, gate), fitted.runtime, plan.request.out
    check = selfcheck.choose(plan.config.calibration.selfcheck, scored, intake, runtime, calibration.limits)
    found = _evidence(plan, intake, runtime, scored, calibration, say, track)
    manifest = describe(plan, fitted, scored, calibration, check.expected, gate.record, found.record)
    files = {**check.files, bundle.GRAPH: fitted.graph, "weights.safetensors": fitted.weights}
    files |= {"training.csv": fitted.log, **(plan.goldens.files if plan.goldens else {})}
    files |= {ROI: plan.region.png} if plan.region else {}
    files |= {GATE: gate.graph} if gate.graph else {}
    say("writing the model and its report")
    unwritten = Model.around(Bundle(out, manifest, "", files), intake, runtime)
    if plan.request.known is not None:
        manifest = known.with_known(manifest, known.measured(unwritten, plan.request.known))
        unwritten = Model.around(Bundle(out, manifest, "", files), intake, runtime)
    files["report.html"] = reporting.training(unwritten, scored, fitted.curve, plan.notes(), shown=found.pictures)
    written = bundle.write(out, manifest, files, overwrite=plan.request.overwrite)
    return Trained(written, calibration, scored.unjudged)


def _retrained(plan: Plan, scored: Scored) -> int:
    """How many trainings this one replaces that were calibrated on some of the same images."""
    if not plan.request.overwrite:
        return 0
    try:
        before = bundle.load(plan.request.out).manifest
    except AnomalibLiteError:  # nothing is there, or no model
        return 0
    same = before.data.calibrated.keys() & scored.hashes.keys()
    return before.calibration.retrained + 1 if same else 0


def _gate(plan: Plan, say: Say) -> Gated:
    """What images like those of the fit are told from others by."""
    record = learnt(plan.config.gate, plan.fit, plan.survey, plan.intake.framing, compares=plan.intake.compares)
    seen = gate_features.learnt(plan.config.gate, plan.fit, plan.intake)
    if seen is not None:
        record = replace(record, limits={**record.limits, "features": (0.0, seen.limit)}, weights=str(seen.weights))
    for line in told(record):
        say(line)
    return Gated(record, seen.graph if seen is not None else None)


def _gated(plan: Plan, gate: Gated) -> Intake:
    """The plan's intake behind a gate."""
    spec = plan.intake.framing.spec
    return replace(plan.intake, gate=Gate(gate.record, spec, Glance(gate.graph, spec) if gate.graph else None))


def _evidence(
    plan: Plan, intake: Intake, runtime: Runtime, scored: Scored, calibration: Calibration, say: Say, track: Track
) -> evidence.Evidence:
    """What the model finds of defects that are planted, and of those that are known."""
    begun = time.monotonic()
    infos = [plan.info, *(info for info, _ in plan.members)]
    taking = evidence.Taking(
        intake,
        runtime,
        calibration,
        plan.config.training.seed,
        plants=tuple({kind for info in infos for kind in info.plants}),
        finds=plan.info.finds,
        known=evidence.known(plan.dataset, [*plan.fit, *plan.held_out]),
        track=track,
    )
    found = evidence.take(taking, scored)
    planted = sum(len(one.scores) for one in found.record.planted)
    judged = f", and judged {len(taking.known):,} labelled test images," if taking.known else ""
    say(f"planted {planted:,} defects into good images{judged} in {time.monotonic() - begun:.0f} s")
    return found
