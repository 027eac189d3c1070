"""Verdicts, thresholds on maps, p-values, tolerance and flips."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalib_lite.edge.decision import Verdict, above, decide, is_decisive, p_value, tolerance
from anomalib_lite.edge.manifest import Thresholds

LIMITS = Thresholds(reject=3.0, review=2.0, map_reject=5.0, map_review=4.0, tol=0.01)


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (-1e30, Verdict.OK),
        (2.0, Verdict.OK),
        (math.nextafter(2.0, 3), Verdict.REVIEW),
        (3.0, Verdict.REVIEW),
        (math.nextafter(3.0, 4), Verdict.NG),
        (math.nan, Verdict.ERROR),
        (math.inf, Verdict.ERROR),
        (-math.inf, Verdict.ERROR),
    ],
)
def test_only_what_is_strictly_above_a_threshold_is_not_ok(score: float, verdict: Verdict) -> None:
    assert decide(score, LIMITS) is verdict


def test_no_review_where_both_thresholds_coincide() -> None:
    limits = Thresholds(reject=3.0, review=3.0, map_reject=3.0, map_review=3.0, tol=0.0)
    assert {decide(score, limits) for score in (2.9, 3.0, 3.1)} == {Verdict.OK, Verdict.NG}


@given(st.floats(-(2.0**99), 2.0**99, width=32), st.integers(-2, 2), st.floats(-1, 1))
def test_pixels_are_compared_as_exactly_as_scores(pixel: float, steps: int, within: float) -> None:
    """A threshold between two float32 neighbours separates them: a map's maximum and its pixels never disagree."""
    value = np.float32(pixel)
    for _ in range(abs(steps)):
        value = np.nextafter(value, np.float32(math.copysign(np.inf, steps)))
    threshold = pixel + within * float(abs(np.spacing(np.float32(pixel))))
    assert above(np.array([[value]]), threshold)[0, 0] == (float(value) > threshold)


def test_a_map_is_compared_pixel_by_pixel() -> None:
    anomaly_map = np.array([[1.0, 5.0], [5.1, np.nan]], np.float32)
    assert above(anomaly_map, 5.0).tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize(
    ("score", "expected"), [(0.5, 1.0), (1.0, 1.0), (1.5, 0.8), (2.0, 0.8), (3.0, 0.4), (9.0, 0.2)]
)
def test_p_value_counts_ties_as_at_least(score: float, expected: float) -> None:
    assert p_value(score, [1.0, 2.0, 2.0, 3.0]) == expected


def test_an_error_has_no_p_value() -> None:
    with pytest.raises(ValueError, match="no p-value"):
        p_value(math.nan, [1.0])


def test_tolerance_follows_the_larger_of_threshold_and_range() -> None:
    assert tolerance(100.0, [99.0, 100.0]) == pytest.approx(0.01)
    assert tolerance(-1.0, [-9.0, -1.0]) == pytest.approx(8e-4)


def test_tolerance_is_that_of_the_scores_up_to_the_threshold() -> None:
    """What the rule ignores, one bad image at 3e4 among scores around 1, must not move the threshold by 3."""
    assert tolerance(2.0, [1.0, 2.0, 3e4]) == tolerance(2.0, [1.0, 2.0]) == pytest.approx(2e-4)


def test_a_decisive_score_keeps_its_verdict_within_the_tolerance() -> None:
    assert is_decisive(2.5, LIMITS)
    assert not is_decisive(2.995, LIMITS)
    assert not is_decisive(2.01, LIMITS)
