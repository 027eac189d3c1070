"""What cross-fitting carries: a share on average, in closed form. Why it holds: see `crossfit`."""

from __future__ import annotations

import math

EXACT = 1e-9  # what rounding may take from a whole number


def average_bound(allowed: int, n: int, folds: int) -> float:
    """The share of new good parts that is NG on average, at most: 2 (r + K) / (n + K)."""
    return 2 * (allowed + folds) / (n + folds)


def needed(asked: float, folds: int) -> int:
    """Smallest number of parts for which r = 0 is what is asked for."""
    return math.ceil(2 * folds / asked - folds - EXACT)


def carried(n: int, folds: int, asked: float) -> tuple[int, float, int]:
    """What n parts in so many folds can carry.

    Returns:
        r, the parts that may lie above the threshold; the average bound; and the parts missing for what is asked.
    """
    allowed = math.floor(asked * (n + folds) / 2 - folds + EXACT)
    if allowed < 0:
        return 0, average_bound(0, n, folds), needed(asked, folds) - n
    return allowed, average_bound(allowed, n, folds), 0
