"""Fits one sibling for each fold of the parts, and measures the fold with it: `train --crossfit K`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anomalib_lite.calibration.crossfit import Fold, refuse_apart, unit
from anomalib_lite.calibration.scoring import Scored, score
from anomalib_lite.calibration.units import unit_of
from anomalib_lite.data import Sample, folds
from anomalib_lite.edge.manifest import Per
from anomalib_lite.pipeline.predict import Track
from anomalib_lite.training.plan import Plan

if TYPE_CHECKING:
    from anomalib_lite.training.fitting import Fitted

Fit = Callable[[Sequence[Sample], Path], "Fitted"]


def crossfitted(
    plan: Plan, place: Path, fit: Fit, say: Callable[[str], None], track: Track
) -> tuple[Fitted, list[Fold], Per]:
    """The siblings as one model, the folds as they have measured them, and what the line decides on.

    The gate stands aside: a rank is of all parts, and the shipped gate learns from all of them.

    Args:
        plan: What was decided.
        place: Where the fits keep their checkpoints.
        fit: Fits a detector on samples, in a folder.
        say: Gets a line at each stage.
        track: Shows progress.

    Raises:
        DataError: A fold cannot be measured, or siblings are too far apart.
        ExportError: They cannot be one graph.
    """
    siblings: list[Fitted] = []
    measured: list[Scored] = []
    asked, number = plan.config, plan.config.calibration.crossfit or 0
    for fold, (others, held_out) in enumerate(folds(plan.fit, number, asked.training.seed), start=1):
        say(f"sibling {fold} of {number}")
        siblings.append(fit(others, place / f"fold-{fold}"))
        measured.append(score(siblings[-1].runtime, track(held_out, "measuring"), plan.intake))
    images = [image for one in measured for image in one.images]
    per = unit_of(asked.calibration.per, images, grouped=plan.dataset.grouped)
    made = [Fold.of(one, fold, per, asked.training.seed) for fold, one in enumerate(measured, start=1)]
    refuse_apart(made)
    say("joining the siblings in one graph")
    return _joined(plan, siblings, made), made, per


def _joined(plan: Plan, siblings: Sequence[Fitted], made: Sequence[Fold]) -> Fitted:
    from anomalib_lite.graph.ensemble import Standing
    from anomalib_lite.training.siblings import joined

    return joined(plan, siblings, [Standing(fold.known, *unit(fold.scores), *unit(fold.peaks)) for fold in made])
