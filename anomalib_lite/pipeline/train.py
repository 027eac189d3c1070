"""From good images to a bundle with certified thresholds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from anomalib_lite import registry
from anomalib_lite.calibration import Calibration, calibrate
from anomalib_lite.calibration.scoring import Scored, score
from anomalib_lite.calibration.units import unit_of
from anomalib_lite.data import Sample, folds
from anomalib_lite.edge import bundle, disk
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.gate import Gate
from anomalib_lite.edge.intake import GATE, ROI, Intake
from anomalib_lite.edge.manifest import EvidenceRecord, GateRecord
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Glance, Runtime
from anomalib_lite.errors import AnomalibLiteError, MissingExtra
from anomalib_lite.pipeline import evidence, selfcheck
from anomalib_lite.pipeline.check import carried
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
    with disk.scratch() as scratch:  # holds simulated images, if any
        plan = prepare(request, plugins or registry.load(), scratch)
        for line in (*plan.notes(), carried(plan.choice, plan.config, grouped=plan.dataset.grouped)):
            say(line)
        if request.resume and not partial.folder(request.out).exists():
            say(f"nothing to resume: there is no {partial.folder(request.out)}; starting anew")
        with partial.entered(plan) as place:
            bundle.refuse_existing(request.out, overwrite=request.overwrite)  # another may have ended meanwhile
            fitted = _fitted(plan, plan.fit, place / "fit", say)
            if fitted is None:
                return None
            _tell(fitted, say)
            return _certified(plan, fitted, place, say, track)


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


def _certified(plan: Plan, fitted: Fitted, place: Path, say: Say, track: Track) -> Trained:
    """Calibrate what was fitted, and write the bundle."""
    gate, gate_graph = _gate(plan, plan.fit)
    for line in told(gate):
        say(line)
    intake, runtime, out = _gated(plan, gate, gate_graph), fitted.runtime, plan.request.out
    if plan.held_out:
        scored = score(runtime, track(plan.held_out, "measuring"), intake)
    else:
        scored = _crossfitted(plan, place, say, track)
    calibration = calibrate(
        scored.images,
        plan.config.calibration,
        grouped=plan.dataset.grouped,
        per=unit_of(plan.config.calibration.per, scored.images, grouped=plan.dataset.grouped),
        seed=plan.config.training.seed,
        row=plan.config.calibration.row,
        errors=len(scored.errors),
        approximate=not plan.held_out,
        simulated=plan.simulated,
        gated=gate.enabled,
        unlabelled=plan.unlabelled,
        retrained=_retrained(plan, scored),
        holdout=held_out_share(plan.config, plan.choice),
    )
    check = selfcheck.choose(plan.config.calibration.selfcheck, scored, intake, runtime, calibration.limits)
    found = _evidence(plan, intake, runtime, scored, calibration, say, track)
    manifest = describe(plan, fitted, scored, calibration, check.expected, gate, found.record)
    files = {**check.files, bundle.GRAPH: fitted.graph, "weights.safetensors": fitted.weights}
    files |= {"training.csv": fitted.log, **(plan.goldens.files if plan.goldens else {})}
    files |= {ROI: plan.region.png} if plan.region else {}
    files |= {GATE: gate_graph} if gate_graph else {}
    say("writing the model and its report")
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


def _gate(plan: Plan, samples: Sequence[Sample]) -> tuple[GateRecord, bytes | None]:
    """What images like these are told from others by, and the graph for it, where features count."""
    record = learnt(plan.config.gate, samples, plan.survey, plan.intake.framing, compares=plan.intake.compares)
    seen = gate_features.learnt(plan.config.gate, samples, plan.intake)
    if seen is None:
        return record, None
    limits = {**record.limits, "features": (0.0, seen.limit)}
    return replace(record, limits=limits, weights=str(seen.weights)), seen.graph


def _gated(plan: Plan, gate: GateRecord, graph: bytes | None) -> Intake:
    """The plan's intake behind a gate."""
    spec = plan.intake.framing.spec
    return replace(plan.intake, gate=Gate(gate, spec, Glance(graph, spec) if graph else None))


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
    say(f"planted {planted:,} defects into held-out good images{judged} in {time.monotonic() - begun:.0f} s")
    return found


def _crossfitted(plan: Plan, place: Path, say: Say, track: Track) -> Scored:
    """Scores of every good image, each by a sibling model that was fitted without its part."""
    scored, number = Scored(), plan.config.calibration.crossfit or 0
    for fold, (others, held_out) in enumerate(folds(plan.fit, number, plan.config.training.seed), start=1):
        say(f"sibling model {fold} of {number}")
        sibling = _fitted(plan, others, place / f"fold-{fold}", say)
        if sibling is not None:
            scored += score(sibling.runtime, track(held_out, "measuring"), _gated(plan, *_gate(plan, others)))
    return scored
