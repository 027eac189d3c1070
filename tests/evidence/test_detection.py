"""The curve of detection: what it recovers, how often its bound holds, and what it says where there is no curve."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anomalib_lite.evidence.detection import LOGIT, Curve, curve


def drawn(n: int, a90: float, slope: float, trade: float, random: np.random.Generator) -> Curve:
    """A curve through n defects of 2 to 64 pixels and contrasts of 15 to 60 %, as `pipeline.evidence` grades them."""
    spread = [(random.permutation(n) + random.random(n)) / n for _ in range(2)]
    sizes, contrast = 2 * 32 ** spread[0], 0.15 * 4 ** spread[1]
    logit = slope * (np.log(sizes / a90) + trade * np.log(contrast / 0.3)) + LOGIT
    found = random.random(n) < 1 / (1 + np.exp(-logit))
    one = curve(tuple(sizes), tuple(contrast), tuple(map(bool, found)), 0.3)
    assert one is not None
    return one


@pytest.mark.parametrize(("a90", "slope", "trade"), [(20, 3, 1), (12, 1.5, 0), (30, 6, 2), (15, 30, 0)])
def test_the_bound_is_above_the_true_size_as_often_as_it_says(a90: float, slope: float, trade: float) -> None:
    """95 % less three standard errors, with as few defects as a training plants of each kind."""
    random, repetitions = np.random.default_rng(3), 120
    bounds = [drawn(30, a90, slope, trade, random).a90_95 for _ in range(repetitions)]
    held = sum(bound is None or bound >= a90 for bound in bounds)
    assert held / repetitions >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / repetitions)


def test_many_defects_give_the_true_size() -> None:
    one = drawn(800, 20, 4, 1, np.random.default_rng(1))
    assert one.a90 == pytest.approx(20, rel=0.2)
    assert one.a90_95 == pytest.approx(one.a90, rel=0.35)
    assert one.a90 is not None
    assert one.a90_95 is not None
    assert one.a90 <= one.a90_95
    sizes, shares = zip(*one.points, strict=True)
    assert list(sizes) == sorted(sizes)
    assert list(shares) == sorted(shares)
    assert np.interp(one.a90, sizes, shares) == pytest.approx(0.9, abs=0.02)


SIZES = tuple(np.geomspace(2, 64, 30).tolist())
SAME = (0.3,) * 30


def test_where_none_is_found_no_size_is_reached() -> None:
    one = curve(SIZES, SAME, (False,) * 30, 0.3)
    assert one is not None
    assert (one.a90, one.a90_95) == (None, None)
    assert one.largest == pytest.approx(64)
    assert max(share for _, share in one.points) < 0.5


def test_where_all_are_found_the_bound_is_above_the_smallest() -> None:
    one = curve(SIZES, SAME, (True,) * 30, 0.3)
    assert one is not None
    assert one.a90 == pytest.approx(2)
    assert one.a90_95 is not None
    assert 2 < one.a90_95 < 10


def test_a_size_that_parts_hits_from_misses_has_a_bound() -> None:
    one = curve(SIZES, SAME, tuple(size > 12 for size in SIZES), 0.3)
    assert one is not None
    assert one.a90 is not None
    assert one.a90_95 is not None
    assert 10 < one.a90 < 24
    assert one.a90 <= one.a90_95 < 64


def test_larger_defects_that_are_missed_make_the_bound_unreached() -> None:
    one = curve(SIZES, SAME, tuple(size < 12 for size in SIZES), 0.3)
    assert one is not None
    assert one.a90_95 is None


@pytest.mark.parametrize("hit", [True, False])
def test_one_defect_proves_nothing(hit: bool) -> None:
    one = curve((8.0,), (0.3,), (hit,), 0.3)
    assert one is not None
    assert one.a90_95 is None


def test_without_defects_there_is_no_curve() -> None:
    assert curve((), (), (), 0.3) is None
