"""The binomial tail against scipy, the tables of tolerance limits, Clopper-Pearson intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from anomalib_lite.calibration.binomial import binomial_tails, bound_of_maximum, exact_interval, largest_allowed, needed


@pytest.mark.parametrize(
    ("rate", "sizes"),
    [(0.05, (59, 93, 124)), (0.02, (149, 236, 313)), (0.01, (299, 473, 628)), (0.005, (598, 947, 1258))],
)
def test_images_needed_for_each_number_allowed_above(rate: float, sizes: tuple[int, ...]) -> None:
    for allowed, n in enumerate(sizes):
        assert largest_allowed(n, rate, 0.95) == allowed
        assert largest_allowed(n - 1, rate, 0.95) == (allowed - 1 if allowed else None)
    assert needed(rate, 0.95) == sizes[0]


@pytest.mark.parametrize(
    ("n", "percent"),
    [(10, 25.9), (20, 13.9), (30, 9.5), (50, 5.8), (100, 2.95), (200, 1.49), (299, 1.00), (1000, 0.30)],
)
def test_what_the_largest_score_certifies(n: int, percent: float) -> None:
    digits = 2 if percent < 3 else 1
    assert round(100 * bound_of_maximum(n, 0.95), digits) == percent
    assert bound_of_maximum(n, 0.95) == pytest.approx(stats.beta.ppf(0.95, 1, n), rel=1e-12)


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(1e-6, 1 - 1e-6))
def test_tails_agree_with_scipy(n: int, position: float, p: float) -> None:
    k = min(n - 1, int(position * n))
    lower, upper = binomial_tails(k, n, p)
    assert lower == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-7, abs=1e-250)
    assert upper == pytest.approx(stats.binom.sf(k, n, p), rel=1e-7, abs=1e-250)


def test_tails_at_the_ends() -> None:
    assert binomial_tails(-1, 5, 0.5) == (0.0, 1.0)
    assert binomial_tails(5, 5, 0.5) == (1.0, 0.0)
    assert binomial_tails(2, 5, 0.0) == (1.0, 0.0)
    assert binomial_tails(2, 5, 1.0) == (0.0, 1.0)
    assert binomial_tails(1, 3, 0.5) == pytest.approx((0.5, 0.5), rel=1e-14)


@given(st.integers(1, 10**6), st.floats(1e-4, 0.5), st.floats(0.5, 0.999))
def test_the_rule_is_the_largest_that_qualifies(n: int, rate: float, confidence: float) -> None:
    def certified(r: int) -> float:
        return float(stats.beta.cdf(rate, r + 1, n - r)) - confidence

    allowed = largest_allowed(n, rate, confidence)
    if allowed is None:
        assert certified(0) < 1e-7
    else:
        assert certified(allowed) > -1e-7
        assert allowed == n - 1 or certified(allowed + 1) < 1e-7


@given(st.integers(1, 3000), st.floats(1e-3, 0.4), st.floats(1e-3, 0.4), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_asking_for_less_never_allows_more(n: int, rate: float, more: float, confidence: float, other: float) -> None:
    def allowed(rate: float, confidence: float) -> int:
        result = largest_allowed(n, rate, confidence)
        return -1 if result is None else result

    assert allowed(rate, confidence) <= allowed(rate + more, confidence)
    assert allowed(rate, max(confidence, other)) <= allowed(rate, min(confidence, other))


@given(st.floats(1e-5, 0.9), st.floats(0.1, 0.999))
def test_needed_is_the_smallest_that_qualifies(rate: float, confidence: float) -> None:
    n = needed(rate, confidence)
    assert largest_allowed(n, rate, confidence) is not None
    assert n == 1 or largest_allowed(n - 1, rate, confidence) is None


@given(st.integers(1, 100_000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_agree_with_scipy(n: int, share: float, confidence: float) -> None:
    successes = round(share * n)
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    assert exact_interval(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_intervals_by_hand() -> None:
    assert exact_interval(0, 0) == (0.0, 1.0)
    assert exact_interval(0, 29) == pytest.approx((0, 1 - 0.025 ** (1 / 29)))  # 11.9 %
    assert exact_interval(29, 29) == pytest.approx((0.025 ** (1 / 29), 1))
    for successes, n, confidence in [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)]:
        with pytest.raises(ValueError, match="no interval"):
            exact_interval(successes, n, confidence)
