"""Runs the fits that a plan asks for: the model that is shipped and, for small sets, its siblings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anomalib_lite.calibration.scoring import Scored, score
from anomalib_lite.data import Sample, folds
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import MissingExtra
from anomalib_lite.training.plan import Plan, Request

if TYPE_CHECKING:
    from anomalib_lite.training.fitting import Fitted


def fit(plan: Plan, samples: Sequence[Sample], folder: Path, request: Request) -> Fitted | None:
    """One fit of the plan's detector, in its share of the time.

    Args:
        plan: What was decided.
        samples: Good images to fit on.
        folder: Where an interrupted fit leaves what `resume` needs.
        request: What was asked.

    Returns:
        The exported graph, or None in every process but the first.

    Raises:
        MissingExtra: Training needs packages that are not installed.
    """
    try:
        from anomalib_lite.training import fitting
        from anomalib_lite.training.run import LightningRun
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train", "training") from error
    asked = plan.config.training
    shares = 1 + (plan.config.calibration.crossfit or 0)
    run = LightningRun(
        folder=folder,
        seed=asked.seed,
        device=asked.device,
        devices=asked.devices,
        nodes=asked.nodes,
        precision=asked.precision,
        minutes=asked.minutes / shares if asked.minutes else None,
        steps=asked.steps,
        resume=request.resume,
        show_progress=request.show_progress,
    )
    try:
        return fitting.fit(plan.info, plan.options, plan.config, plan.framing, samples, plan.goldens, run, plan.readers)
    finally:
        run.close()


def crossfit(plan: Plan, place: Path, request: Request, say: Callable[[str], None]) -> Scored:
    """Scores of every good image, each by a sibling model that was fitted without its part."""
    scored = Scored()
    number = plan.config.calibration.crossfit or 0
    for fold, (others, held_out) in enumerate(folds(plan.fit, number, plan.config.training.seed), start=1):
        say(f"sibling model {fold} of {number}")
        sibling = fit(plan, others, place / f"fold-{fold}", request)
        if sibling is not None:
            runtime = Runtime(sibling.graph, plan.framing, sibling.inputs)
            scored.extend(score(runtime, held_out, plan.goldens, readers=plan.readers))
    return scored
