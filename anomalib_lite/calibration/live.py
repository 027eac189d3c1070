"""A bound on the rate of rejected good parts that holds whenever one looks, from parts that people have decided on.

A bet against "the rate is p or more": before each good part, a player buys odds that it is not rejected; at the rate p
the money stays what it is on average, above p it shrinks, so it exceeds 1 / delta times its beginning with a
probability of at most delta, however long one plays and whenever one looks (Ville, 1939). Where it does, the rate is
below p. Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting", Journal of the Royal
Statistical Society B 2024, section 4: if always the same share lambda is bet, the money after n parts of which k were
rejected is the product of 1 + lambda (p - x_i). For x_i of 0 and 1 that is q^k (1 - q)^(n - k) / p^k (1 - p)^(n - k)
with q = p - lambda p (1 - p), and dealing the money evenly over all q in (0, p) gives

    E(p) = B(k + 1, n - k + 1) P(Bin(n + 1, p) >= k + 1) / (p^(k + 1) (1 - p)^(n - k)),

which grows with p: all p from the smallest with E(p) >= 1 / delta on are ruled out together. No bet depends on an
earlier part, so E falls with each part that is counted as rejected, and with each accepted one that is not counted:
what is undecided can be taken at its worst, and the bound holds for what it will turn out to be.

The rate may change while one looks. Then what is ruled out is that it was p or more at each of the parts.
"""

from __future__ import annotations

import math

from anomalib_lite.calibration.binomial import binomial_tails

STEPS = 60  # of the bisection for the bound


def log_money(rejected: int, parts: int, rate: float) -> float:
    """Logarithm of E(rate): what 1 has become that was bet against a rate of `rate` or more, in (0, 1).

    Raises:
        ValueError: `rejected` is not in 0..parts.
    """
    if not 0 <= rejected <= parts:
        raise ValueError(f"{rejected} of {parts} parts cannot be rejected")
    accepted = parts - rejected
    beta = math.lgamma(rejected + 1) + math.lgamma(accepted + 1) - math.lgamma(parts + 2)
    tail = binomial_tails(rejected, parts + 1, rate)[1]
    if not tail:  # the rate is so far below that nothing can be won
        return -math.inf
    return beta + math.log(tail) - (rejected + 1) * math.log(rate) - accepted * math.log1p(-rate)


def at_most(rejected: int, parts: int, confidence: float) -> float:
    """The rate that is ruled out, and all above it; 1 where none is yet."""
    needed = -math.log1p(-confidence)
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if 0 < middle < 1 and log_money(rejected, parts, middle) >= needed:
            high = middle
        else:
            low = middle
    return high


def at_least(rejected: int, parts: int, confidence: float) -> float:
    """The same from below: the rate that is ruled out, and all below it; 0 where none is yet."""
    return 1 - at_most(parts - rejected, parts, confidence)
