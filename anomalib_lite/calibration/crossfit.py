"""Thresholds from all good parts: each is ranked by the sibling that was fitted without its fold, and all are shipped.

K siblings, each fitted on all folds but one. A new part x is compared with the parts of each fold by the sibling that
has seen neither: of n good parts R(x) have at least its score. It is NG where R(x) <= r. Then, on average over
trainings like this one and over new good parts,

    P(NG) <= 2 (r + K) / (n + K).

For each fold k of m_k parts, p_k = (R_k + 1) / (m_k + 1) is a p-value, since its sibling treats them and x alike; twice
the weighted mean of p-values is one, too, and with the weights (m_k + 1) / (n + K) the mean is (R + K) / (n + K).
Cross-conformal prediction: Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 2015;
with alpha = (r + 1) / (n + 1) it is 2 alpha + 2 (1 - alpha) (K - 1) / (n + K). The mean of p-values: Vovk, Wang,
"Combining p-values via averaging", Biometrika 2020.

That is an average and nothing else: of a single training nothing is known at a confidence, and the factor 2 is the
price of siblings that may differ. Where they hardly do, (r + 1) / (n + 1) of new good parts are NG. The bound is on the
ranks within the folds alone: of an average of the siblings' scores nothing could be said. The gate, which learnt from
all parts, is not in it.

A part is NG by any of its photographs, or each photograph counts for itself and one of each part is drawn; both are
covered. A median of photographs is not: that of the ranks is another number than the rank of the medians.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anomalib_lite.calibration import crossfit_words
from anomalib_lite.calibration.average import carried
from anomalib_lite.calibration.scoring import Measured, Scored
from anomalib_lite.calibration.sessions import chance_of
from anomalib_lite.calibration.thresholds import Counted
from anomalib_lite.config import Rates
from anomalib_lite.edge.decision import above, tolerance
from anomalib_lite.edge.manifest import (
    Calibration,
    Certified,
    CertifiedThresholds,
    ImagesPerUnit,
    Joining,
    Per,
    Unmeasured,
)
from anomalib_lite.errors import DataError

NORMAL = 1.4826  # of the median absolute deviation to the standard deviation, where scores are normal
UNLIKELY = 1e-3  # probability, over all pairs of siblings that are alike, of scores as far apart as those refused


@dataclass(frozen=True)
class Fold:
    """The good parts of a fold, measured by the sibling that has not seen them."""

    scored: Scored
    scores: list[float]  # one value of each part, ascending, in the units of its sibling
    peaks: list[float]  # likewise of the anomaly map

    @classmethod
    def of(cls, scored: Scored, number: int, per: Per, seed: int) -> Fold:
        """Count parts as the line does.

        Raises:
            DataError: No part could be measured, or all have the same score.
        """
        counted = Counted(scored.images, lambda image: image.score, Joining(per), seed, 0.5)
        if not counted.values:
            raise DataError(f"fold {number}: no good image could be measured. Restore them, or take fewer folds.")
        if len(counted.values) > 1 and counted.values[0] == counted.values[-1]:
            raise DataError(
                f"fold {number}: all parts have the score {counted.values[0]:g}: its sibling does not tell one from "
                "another. Give different images, check image.white, or train longer."
            )
        return cls(scored, counted.values, replace(counted, value=lambda image: image.map_peak).values)

    @property
    def known(self) -> list[float]:
        """The scores that a new one is compared with: what a processor may move is added."""
        return [one + tolerance(one, self.scores) for one in self.scores]

    def measured(self, n: int) -> list[Measured]:
        """Its images, each with its rank in the fold as one among n, and the map's peak in standard deviations."""
        middle, spread = unit(self.peaks)
        return [
            replace(
                one,
                score=n * bisect_right(self.scores, one.score) / len(self.scores),
                map_peak=(one.map_peak - middle) / spread,
            )
            for one in self.scored.images
        ]


def unit(values: Sequence[float]) -> tuple[float, float]:
    """Median and standard deviation, robustly: what a sibling's numbers are put into before they are averaged."""
    middle = statistics.median(values)
    deviation = NORMAL * statistics.median(abs(one - middle) for one in values)
    return middle, max(deviation, 1e-3 * max(map(abs, values)), 1e-12)


def refuse_apart(folds: Sequence[Fold]) -> None:
    """Raise where siblings say something else of good parts: training one more time gives another detector.

    Raises:
        DataError: Of some sibling's scores so many lie above all of another's that alike ones would hardly do it.
    """
    pairs = len(folds) * (len(folds) - 1)
    for high in folds:
        for low in folds:
            higher = int(above(np.array(high.scores), low.scores[-1]).sum())
            if high is not low and chance_of(higher, len(high.scores), len(low.scores), 0) * pairs <= UNLIKELY:
                places = folds.index(high) + 1, folds.index(low) + 1
                raise DataError(
                    f"the siblings are apart: of {len(high.scores)} parts of fold {places[0]}, {higher} have higher "
                    f"scores than all {len(low.scores)} of fold {places[1]}, so what one learns depends on chance. "
                    "Train longer (--steps, --minutes), or hold out parts instead (--holdout 0.5, without --crossfit)."
                )


def calibrate(folds: Sequence[Fold], rates: Rates, *, grouped: bool, per: Per, **facts: Any) -> Calibration:
    """Thresholds on the ranks 1..n that an ensemble of the siblings gives as scores.

    Args:
        folds: All good parts, at least one more than there are folds.
        rates: What is asked, on average; the confidence plays no part.
        grouped: Whether parts are known.
        per: "photograph" or "part".
        **facts: What else there is to say of the training, as in `rule.Facts`.
    """
    n = sum(len(fold.scores) for fold in folds)
    images = [one for fold in folds for one in fold.scored.images]
    errors = sum(len(fold.scored.errors) for fold in folds)
    peaks = sorted((peak - middle) / spread for fold in folds for middle, spread in [unit(fold.peaks)]
                   for peak in fold.peaks)  # fmt: skip
    ranks = [float(rank) for rank in range(1, n + 1)]
    rejected = carried(n, len(folds), rates.max_false_reject)
    reviewed = max(carried(n, len(folds), rates.review_rate), rejected)
    asked = (rates.max_false_reject, rates.review_rate)
    made = [
        _certified(values, *carries, rate)
        for values in (ranks, peaks)
        for carries, rate in zip((rejected, reviewed), asked, strict=True)
    ]
    number = list(Counter(image.group if grouped else image.image for image in images).values())
    calibration = Calibration(
        confidence=rates.confidence, unit="group" if grouped else "image", images=len(images),
        images_per_unit=ImagesPerUnit(statistics.median(number), max(number), min(number)),
        errors=Unmeasured(errors, errors / (errors + len(images))), thresholds=CertifiedThresholds(*made),
        scores=tuple(ranks), approximate=True, folds=len(folds), per=per, **facts,
    )  # fmt: skip
    return replace(calibration, statement=tuple(crossfit_words.sentences(calibration)))


def _certified(values: Sequence[float], allowed: int, bound: float, missing: int, asked: float) -> Certified:
    base = values[len(values) - 1 - allowed]
    tol = tolerance(base, values)
    return Certified(base + tol, base, tol, asked, bound, allowed, missing, set_by=(), without=None)
