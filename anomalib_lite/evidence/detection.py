"""The probability of detection over the size of a defect, from hits and misses (MIL-HDBK-1823A, 2009, appendix G).

A logistic curve in the logarithm of the size, moved along it by the contrast:

    logit p = slope x (log size + trade x (log contrast - log reference) - log a90) + logit 0.9

a90 is the size of which 90 % are found at the reference contrast, a90/95 its upper bound at 95 % confidence by the
likelihood ratio. The likelihood is evaluated on a grid rather than climbed: it has its maximum at a bound where all are
found, none, or where a size parts hits from misses, and there Newton's method and Wald's bound break down. A slope is
at most 8 (from 10 to 90 % within a factor of 1.7): a steeper one, as of any separation by chance, gives bounds that are
too low. Few defects make the bound high, which is what it is for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

SHARE = 0.9  # that is found at a90
LOGIT = math.log(SHARE / (1 - SHARE))
DROP = 2.7055  # of the log-likelihood to the bound: 1.3528 is for many defects, and covers 85 % instead of 95 % with 30
PLACES = 80  # sizes on the grid
BEYOND = 4.0  # times the largest size, and as much below the smallest, the grid goes
SLOPES = np.geomspace(0.5, 8.0, 16)
TRADES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # by how much a stronger contrast makes up for a smaller size
POINTS = 48


@dataclass(frozen=True, slots=True)
class Curve:
    """How large a defect of a kind must be to be found; sizes in pixels of the image, at the reference contrast."""

    a90: float | None  # None where that is beyond the largest size
    a90_95: float | None  # the same of its bound
    smallest: float  # size planted
    largest: float
    points: tuple[tuple[float, float], ...]  # (size, probability), ascending


@lru_cache(maxsize=64)  # screen, manifest and report ask for the same
def curve(
    sizes: tuple[float, ...], contrasts: tuple[float, ...], found: tuple[bool, ...], reference: float
) -> Curve | None:
    """The curve of one kind of defect; None without any.

    Args:
        sizes: In pixels, above 0.
        contrasts: Shares, above 0.
        found: Whether each was.
        reference: The contrast at which sizes are stated.
    """
    if not found:
        return None
    log_size = np.log(np.asarray(sizes, np.float64))
    log_contrast = np.log(np.asarray(contrasts, np.float64) / reference)
    low, high = float(log_size.min()), float(log_size.max())
    places = np.linspace(low - math.log(BEYOND), high + math.log(BEYOND), PLACES)
    likelihood = _likelihoods(log_size, log_contrast, np.asarray(found, bool), places)  # (trades, slopes, places)
    profile = likelihood.max((0, 1))
    best = np.flatnonzero(profile >= profile.max() - 1e-6)[-1]  # of a gap between misses and hits its upper end
    bound = np.flatnonzero(profile >= profile.max() - DROP)[-1]
    _, slope = np.unravel_index(likelihood[:, :, best].argmax(), likelihood.shape[:2])
    drawn = np.linspace(low, high, POINTS)
    p = 1 / (1 + np.exp(-(SLOPES[slope] * (drawn - places[best]) + LOGIT)))
    return Curve(
        a90=_reached(places[best], low, high),
        a90_95=_reached(places[bound], low, high),
        smallest=math.exp(low),
        largest=math.exp(high),
        points=tuple(zip(np.exp(drawn).tolist(), p.tolist(), strict=True)),
    )


def _likelihoods(log_size: Floats, log_contrast: Floats, found: NDArray[np.bool_], places: Floats) -> Floats:
    """Log-likelihood of hits and misses at each trade, slope and place of a90."""
    moved = log_size + np.array(TRADES)[:, None] * log_contrast  # (trades, n)
    logit = SLOPES[:, None, None] * (moved[:, None, None, :] - places[None, None, :, None]) + LOGIT
    return np.asarray(-np.logaddexp(0, np.where(found, -logit, logit)).sum(3))


def _reached(place: float, low: float, high: float) -> float | None:
    """A size within what was planted; None beyond it, where nothing is known."""
    return None if place > high + 1e-9 else math.exp(max(place, low))
