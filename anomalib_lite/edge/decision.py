"""Verdicts: the only place where a score or an anomaly map is compared with a threshold.

Scores and maps are raw (not normalised, higher is more anomalous), in the unit of the model they come from.
Every comparison is strict: a score that equals the threshold is not above it, because the threshold is the value of
an accepted good image (plus a tolerance, see `tolerance`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalib_lite.edge.manifest import Thresholds

TOLERANCE = 1e-4
"""Share of the scale of the scores by which a score may move between two processors."""


class Verdict(StrEnum):
    """What is said of one image. What could not be measured is ERROR, never OK."""

    OK = "OK"
    REVIEW = "REVIEW"
    NG = "NG"
    ERROR = "ERROR"


def decide(score: float, thresholds: Thresholds) -> Verdict:
    """NG above reject, REVIEW above review, else OK; ERROR where the score is NaN or infinite."""
    if not math.isfinite(score):
        return Verdict.ERROR
    if score > thresholds.reject:
        return Verdict.NG
    return Verdict.REVIEW if score > thresholds.review else Verdict.OK


def above(anomaly_map: npt.NDArray[np.floating[Any]], threshold: float) -> npt.NDArray[np.bool_]:
    """Pixels of the map above the threshold, same shape.

    Exact: a float32 pixel is above exactly where `float(pixel) > threshold` is true, though the comparison itself is
    made in the precision of the map. NaN is not above; a map with NaN belongs to an image whose verdict is ERROR.
    """
    limit = anomaly_map.dtype.type(threshold)
    if float(limit) > threshold:
        limit = np.nextafter(limit, anomaly_map.dtype.type(-np.inf))
    return np.asarray(anomaly_map > limit)


def p_value(
    score: float, calibration_scores: Sequence[float] | npt.NDArray[np.floating[Any]], refused: int = 0
) -> float:
    """Conformal p-value (1 + #{s_i >= s}) / (n + 1), in [1 / (n + 1), 1].

    Bates et al. 2023, equation 2. `calibration_scores` are those of good parts, ascending; `refused` is how many
    further ones the gate refused, which count as higher than any score.

    Raises:
        ValueError: the score is NaN; there is no p-value for an ERROR.
    """
    if math.isnan(score):
        raise ValueError("a score that is not a number has no p-value")
    n = len(calibration_scores) + refused
    at_least = n - int(np.searchsorted(calibration_scores, score, side="left"))
    return (1 + at_least) / (n + 1)


def tolerance(base: float, scores: Sequence[float] | npt.NDArray[np.floating[Any]]) -> float:
    """1e-4 x max(|base|, base - lowest score): what the last bits of a processor may move.

    The scale is that of the calibration scores up to the base of the threshold, s_(n-r). What lies above it, the rule
    ignores, and an outlier of any size must not move the threshold by its share.
    """
    return TOLERANCE * max(abs(base), base - float(np.min(scores)))


def is_decisive(score: float, thresholds: Thresholds) -> bool:
    """Whether a score is further than the tolerance from both thresholds: its verdict is then the same everywhere."""
    return min(abs(score - thresholds.reject), abs(score - thresholds.review)) > thresholds.tol
