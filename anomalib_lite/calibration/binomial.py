"""The exact binomial tail, and what follows from it: the beta rule and Clopper-Pearson intervals.

P(Beta(k + 1, n - k) <= p) = P(Bin(n, p) >= k + 1): both questions of this package, how many calibration scores may lie
above a threshold and what a measured rate says of the true one, are tails of a binomial. No scipy: the tail is
summed from its largest term, whose logarithm comes from `math.lgamma`; relative error below 1e-8 up to n = 1e6.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def binomial_tails(k: int, n: int, p: float) -> tuple[float, float]:
    """(P(X <= k), P(X > k)) for X ~ Bin(n, p). The smaller of the two is exact to 1e-8 of itself, however small."""
    if k < 0 or k >= n:
        return (0.0, 1.0) if k < 0 else (1.0, 0.0)
    if p <= 0 or p >= 1:
        return (1.0, 0.0) if p <= 0 else (0.0, 1.0)
    if k < n * p:
        lower = min(1.0, _sum_down(k, n, p))
        return lower, 1 - lower
    upper = min(1.0, _sum_down(n - k - 1, n, 1 - p))  # P(X > k) = P(n - X <= n - k - 1)
    return 1 - upper, upper


def _sum_down(k: int, n: int, p: float) -> float:
    """P(X <= k) for k below the mean: the terms fall from the first one on, after O(sqrt(n)) they no longer count."""
    log_first = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
    )
    odds = (1 - p) / p
    total = term = 1.0
    for i in range(k, 0, -1):
        term *= i * odds / (n - i + 1)
        total += term
        if term < 1e-18 * total:
            break
    return math.exp(log_first + math.log(total))


def largest_allowed(n: int, rate: float, confidence: float) -> int | None:
    """Largest r with P(Beta(r + 1, n - r) <= rate) >= confidence: so many of n good scores may lie above a threshold.

    None where not even r = 0 qualifies, because n is too small.
    """
    if binomial_tails(0, n, rate)[0] > 1 - confidence:
        return None
    low, high = 0, n  # low qualifies, high does not: a threshold needs one score at or below it
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_tails(middle, n, rate)[0] <= 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def bound_of_maximum(n: int, confidence: float) -> float:
    """The rate certified by the largest of n scores: 1 - (1 - confidence)^(1 / n)."""
    return -math.expm1(math.log1p(-confidence) / n)


def bound_at(allowed: int, n: int, failing: float) -> float:
    """The rate that s_(n - allowed) certifies, failing with the given probability: a quantile of Beta(r + 1, n - r)."""
    if allowed == 0:
        return bound_of_maximum(n, 1 - failing)
    return _first(lambda p: binomial_tails(allowed, n, p)[0] <= failing)


def needed(rate: float, confidence: float) -> int:
    """Smallest n whose largest score certifies `rate` (Wilks): 59 for 5 % at 95 %, 299 for 1 %."""
    n = max(1, math.ceil(math.log1p(-confidence) / math.log1p(-rate)) - 1)
    return n if largest_allowed(n, rate, confidence) is not None else n + 1


def in_all(held_out: int, holdout: float) -> int:
    """Smallest number of parts of which a share surely makes so many held-out ones: 997 for 299 with 30 %."""
    return math.ceil(held_out / holdout - 1e-9)


def exact_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a rate, two-sided: it covers the true rate at least as often as stated.

    (0, 1) where n = 0: nothing is known.

    Raises:
        ValueError: `successes` is not in 0..n, or `confidence` not in (0, 1).
    """
    if not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(f"no interval for {successes} of {n} at confidence {confidence}")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _first(lambda p: binomial_tails(successes - 1, n, p)[1] >= tail)
    high = 1.0 if successes == n else _first(lambda p: binomial_tails(successes, n, p)[0] <= tail)
    return low, high


def _first(holds: Callable[[float], bool]) -> float:
    """The smallest p in [0, 1] where a monotone condition begins to hold, by bisection to the last bit."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
