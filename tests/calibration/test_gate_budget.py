"""Simulated: the certified event is "NG or refused"; its bound holds whatever share of good parts is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from anomalib_lite.calibration import menu
from anomalib_lite.calibration.binomial import bound_of_maximum

REPETITIONS = 4000
Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
SCORES: dict[str, tuple[Draw, Callable[[float], float]]] = {
    "uniform": (lambda random, size: random.random(size), lambda level: level),
    "exponential": (lambda random, size: random.exponential(1.0, size), lambda level: -math.expm1(-level)),
}


@pytest.mark.parametrize("refused", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("n", [35, 117])
@pytest.mark.parametrize("kind", SCORES)
def test_the_bound_counts_what_the_gate_refuses(kind: str, n: int, refused: float) -> None:
    """As `calibrate` does: the maximum where it is finite, else the first finite row of the menu, with its bound."""
    draw, below = SCORES[kind]
    random = np.random.default_rng([n, round(1000 * refused)])
    scores = np.sort(
        np.where(random.random((REPETITIONS, n)) < refused, np.inf, draw(random, (REPETITIONS, n))), axis=1
    )
    bounds = dict(zip(menu.ranks(n), menu.bounds(n, 0.95), strict=True))
    violated = decided = 0
    for one in scores:
        row = int(np.isinf(one).sum())
        if row and row not in bounds:
            continue  # refused with an error: nothing is certified
        bound = bounds[row] if row else bound_of_maximum(n, 0.95)
        rate = refused + (1 - refused) * (1 - below(float(one[n - 1 - row])))
        decided, violated = decided + 1, violated + (rate > bound)
    assert decided > 0.9 * REPETITIONS
    assert violated / REPETITIONS <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPETITIONS)
