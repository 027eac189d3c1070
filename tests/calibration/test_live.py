"""The bound that holds whenever one looks: hand-computed money, what it may be read from, and how often it fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalib_lite.calibration.binomial import bound_of_maximum
from anomalib_lite.calibration.live import at_least, at_most, log_money


def test_the_money_is_that_of_bets_on_all_lower_rates() -> None:
    """The average of q^k (1 - q)^(n - k) / p^k (1 - p)^(n - k) over q in (0, p)."""
    for rejected, parts, rate in ((0, 3, 0.2), (1, 4, 0.5), (5, 40, 0.3), (7, 7, 0.9)):
        q = (np.arange(200_000) + 0.5) / 200_000 * rate
        won = (q / rate) ** rejected * ((1 - q) / (1 - rate)) ** (parts - rejected)
        assert log_money(rejected, parts, rate) == pytest.approx(math.log(won.mean()), abs=1e-6)
    assert log_money(0, 1, 0.2) == pytest.approx(math.log((1 - 0.2 / 2) / 0.8))
    with pytest.raises(ValueError, match="5 of 4"):
        log_money(5, 4, 0.1)


def test_the_bound_by_hand() -> None:
    assert at_most(0, 0, 0.95) == 1.0
    assert at_least(0, 0, 0.95) == 0.0
    (bound,) = {at_most(0, 299, 0.95)}
    assert bound == pytest.approx(0.014965, abs=1e-6)
    assert bound > bound_of_maximum(299, 0.95), "looking at any time is paid for"
    assert log_money(0, 299, bound) == pytest.approx(math.log(20))
    assert at_least(299, 299, 0.95) == pytest.approx(1 - bound)


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.5, 0.999))
def test_what_is_counted_as_rejected_or_left_out_stays_on_the_safe_side(
    rejected: int, accepted: int, confidence: float
) -> None:
    parts = rejected + accepted
    bound = at_most(rejected, parts, confidence)
    assert at_least(rejected, parts, confidence) <= (rejected / parts if parts else 0) + 1e-9
    assert bound >= (rejected / parts if parts else 1) - 1e-9
    assert at_most(rejected + 1, parts + 1, confidence) >= bound - 1e-9
    assert at_most(rejected, parts + 1, confidence) <= bound + 1e-9


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_it_fails_in_one_of_twenty_lines_however_often_one_looks(rate: float) -> None:
    """Looked at after every part: the largest money of each line decides."""
    lines, parts = 400, 300
    rejected = np.cumsum(np.random.default_rng(7).random((lines, parts)) < rate, axis=1)
    counts = {(int(k), n) for n in range(1, parts + 1) for k in np.unique(rejected[:, n - 1])}
    broken = {count: log_money(*count, rate) >= math.log(20) for count in counts}
    failed = sum(any(broken[int(k), n] for n, k in enumerate(line, start=1)) for line in rejected)
    assert failed / lines <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / lines)
    assert failed or rate < 0.05, "a bet that never wins proves nothing"
