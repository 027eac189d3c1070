"""The interval of an AUROC: parts are drawn again, since images of one part are not independent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from anomalib_lite.calibration.binomial import exact_interval

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.intp]
Scores: TypeAlias = tuple[npt.ArrayLike, Sequence[str]]  # of images, and the part that each of them shows

CONFIDENCE = 0.95
RESAMPLES = 1000
SEED = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies at `CONFIDENCE`."""

    low: float
    high: float
    method: str  # "bootstrap"; "exact" where no good image scores above a defective one, or each does

    def to_json(self) -> dict[str, Any]:
        """low, high, confidence, method."""
        return {"low": self.low, "high": self.high, "confidence": CONFIDENCE, "method": self.method}


def auroc_interval(good: Scores, defective: Scores) -> Interval | None:
    """The interval of `scores.auroc`, by percentiles over parts that are drawn again; the same in each run.

    Parts with a defective image and those without are drawn apart, as many of each as there are (Efron, Tibshirani, "An
    Introduction to the Bootstrap", 1993, section 13.3; clusters: Field, Welsh, "Bootstrapping clustered data", JRSS B
    2007). All draws are alike where the AUROC is 0 or 1, which says nothing of other parts: the interval is then the
    exact one of k independent pairs of a good and a defective part, all of which are in this order.

    Returns:
        None where good or defective images are of fewer than two parts.
    """
    parts = len({*good[1], *defective[1]})
    showing = [set(good[1]), set(defective[1])]
    if min(map(len, showing)) < 2:
        return None
    low, high = _middle(auroc_draws(good, defective))
    if low == high and low in (0.0, 1.0):
        pairs = min(*map(len, showing), parts // 2)
        return Interval(*exact_interval(round(pairs * low), pairs, CONFIDENCE), "exact")
    return Interval(float(low), float(high), "bootstrap")


def auroc_draws(good: Scores, defective: Scores) -> Floats:
    """The AUROC of each of `RESAMPLES` draws of parts; not a number where a draw holds no good or no defective image.

    The draws are the same for the same parts: of two detectors on the same images they may be subtracted.
    """
    parts, place = np.unique([*good[1], *defective[1]], return_inverse=True)
    places = place[: len(good[1])], place[len(good[1]) :]
    scores = np.asarray(good[0], np.float64), np.asarray(defective[0], np.float64)
    return np.array(list(_resampled(scores, places, len(parts))))


def difference_interval(one: tuple[Scores, Scores], other: tuple[Scores, Scores]) -> Interval | None:
    """The interval of the AUROC of one detector less that of another, both on the same images (good, defective).

    Returns:
        None where good or defective images are of fewer than two parts.
    """
    if min(len(set(scores[1])) for scores in one) < 2:
        return None
    low, high = _middle(auroc_draws(*one) - auroc_draws(*other))
    return Interval(float(low), float(high), "bootstrap")


def _middle(drawn: Floats) -> Floats:
    """The two limits of the middle share `CONFIDENCE` of draws."""
    return np.percentile(drawn[np.isfinite(drawn)], [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])


def _resampled(scores: tuple[Floats, Floats], places: tuple[Ints, Ints], parts: int) -> Iterator[float]:
    """The AUROC of each draw of parts; not a number where a draw holds no good or no defective image.

    Args:
        scores: Of good and of defective images.
        places: Of their parts, in 0..parts - 1.
        parts: How many there are.
    """
    random = np.random.default_rng(SEED)
    with_defect = np.zeros(parts, bool)
    with_defect[places[1]] = True
    strata = [np.flatnonzero(with_defect), np.flatnonzero(~with_defect)]
    distinct, value = np.unique(np.concatenate(scores), return_inverse=True)
    good, defective = value[: len(scores[0])], value[len(scores[0]) :]
    for _ in range(RESAMPLES):
        times = np.zeros(parts)
        for stratum in strata:
            times[stratum] = np.bincount(random.integers(len(stratum), size=len(stratum)), minlength=len(stratum))
        weights = times[places[0]], times[places[1]]
        at = np.bincount(good, weights[0], minlength=len(distinct))
        below = np.cumsum(at) - at / 2  # ties count half
        total = weights[0].sum() * weights[1].sum()
        yield float(weights[1] @ below[defective] / total) if total else np.nan
