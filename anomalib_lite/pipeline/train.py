"""From good images to a bundle with certified thresholds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from anomalib_lite import registry
from anomalib_lite.calibration import Calibration, CalibrationRequest
from anomalib_lite.calibration import calibrate as calibrate_scores
from anomalib_lite.calibration.scoring import score
from anomalib_lite.data import fingerprint
from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.model import ROI, Model
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.pipeline import record as manifests
from anomalib_lite.pipeline import selfcheck
from anomalib_lite.pipeline.fits import crossfit, fit
from anomalib_lite.registry import Registry
from anomalib_lite.report import writing as reporting
from anomalib_lite.training import partial
from anomalib_lite.training.plan import Plan, Request, prepare

Say = Callable[[str], None]


def _silent(message: str) -> None:
    """Say nothing."""


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
        calibration.limits,
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


def _score(runtime: Runtime, plan: Plan, image: FileBytes, golden: FileBytes | None = None) -> float:
    """Of an image beside its own golden one, or beside those that the model carries, where it compares."""
    pixels = [imaging.read(one, readers=plan.readers).pixels for one in (image, golden) if one is not None]
    carried = plan.goldens.views if plan.goldens else []
    return runtime.measure(pixels[0], [View(one) for one in pixels[1:]] or carried).score


def _rates(plan: Plan) -> CalibrationRequest:
    asked = plan.config.calibration
    return CalibrationRequest(asked.max_false_reject, asked.confidence, asked.review)
