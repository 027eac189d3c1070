"""A menu of operating points whose bounds hold together, so that one may be chosen after looking at them.

Row r rejects what lies above s_(n-r). The bound of one row alone is the quantile of Beta(r + 1, n - r) at the
confidence; whoever picks the row after seeing what it finds would break that bound 6 to 15 % of the time. Here every
row gets the quantile at 1 - delta', with delta' so that *all* rows hold with the confidence: then the one that is
chosen holds, whatever it was chosen by.

delta' is exact, not simulated. The true rates of the rows are the order statistics of n uniform numbers, whatever the
scores are like (at most, where they tie). Row r holds where at least r + 1 of the numbers lie below b_r, and how many
lie below b_0 < b_1 < ... is a Markov chain of binomial steps: Noe, "The calculation of distributions of two-sided
Kolmogorov-Smirnov type statistics", Annals of Mathematical Statistics 1972, with one side. The idea of simultaneous
bounds for conformal thresholds: Bates et al. 2023, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.calibration.binomial import bound_at

CONSECUTIVE = 8  # rows 0, 1, 2, ... as far as this, then 16, 32, ...
SHARE, LAST = 10, 64  # no row lets more than a tenth of the parts lie above, nor more than this
STEPS = 24  # of the bisection for delta'


def ranks(n: int) -> tuple[int, ...]:
    """The rows for n parts: how many of them lie above the threshold of each. (0, 1, 2, 3) for 35."""
    most = min(n // SHARE, LAST)
    doubled = [CONSECUTIVE * 2**step for step in range(1, 1 + int(math.log2(LAST / CONSECUTIVE)))]
    return (*range(min(CONSECUTIVE, most) + 1), *(rank for rank in doubled if rank <= most))


@cache
def bounds(n: int, confidence: float) -> tuple[float, ...]:
    """What each row of `ranks(n)` certifies, all of them together at the confidence."""
    rows = ranks(n)
    return tuple(bound_at(rank, n, _share_of_each(n, confidence)) for rank in rows)


@cache
def _share_of_each(n: int, confidence: float) -> float:
    """delta': how surely each row may fail so that all hold together at the confidence; on the safe side."""
    rows, delta = ranks(n), 1 - confidence
    low, high = delta / len(rows), delta  # the first holds by the union bound
    if len(rows) == 1:
        return delta
    for _ in range(STEPS):
        middle = (low + high) / 2
        fails = chance_of_failing(rows, [bound_at(rank, n, middle) for rank in rows], n)
        low, high = (middle, high) if fails <= delta else (low, middle)
    return low


def chance_of_failing(rows: Sequence[int], limits: Sequence[float], n: int) -> float:
    """The probability that of n uniform numbers fewer than r + 1 lie below the limit of a row r, for any row.

    Args:
        rows: Ascending ranks r.
        limits: One for each, ascending, in (0, 1).
        n: How many numbers.
    """
    most = rows[-1] + 1
    below = np.zeros(most + 1)  # how many lie below the last limit; `most` stands for that or more, which holds always
    below[0] = 1.0
    failed, reached, fewest = 0.0, 0.0, 0
    for rank, limit in zip(rows, limits, strict=True):
        below = below @ _steps(n, fewest, most, (limit - reached) / (1 - reached))
        reached, fewest = limit, rank + 1
        failed += float(below[:fewest].sum())
        below[:fewest] = 0.0
    return failed


def _steps(n: int, fewest: int, most: int, p: float) -> NDArray[np.float64]:
    """[i, j]: the probability of j numbers below the next limit where i lie below this one, p that of each other.

    Rows for i < fewest, which has not come to be, are left zero.
    """
    matrix = np.zeros((most + 1, most + 1))
    for i in range(fewest, most):
        gained = np.arange(most - i)
        logs = _log_choose(n - i, most - i) + gained * math.log(p) + (n - i - gained) * math.log1p(-p)
        matrix[i, i:most] = np.exp(logs)
        matrix[i, most] = max(0.0, 1.0 - matrix[i].sum())
    matrix[most, most] = 1.0
    return matrix


@cache
def _log_choose(n: int, number: int) -> NDArray[np.float64]:
    """Logarithm of n over 0, 1, ..., number - 1."""
    found = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(number) if k <= n]
    return np.array(found + [-math.inf] * (number - len(found)))
