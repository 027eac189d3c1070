"""The distribution of any number of values in bounded memory, whatever their unit and range."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
Weights = npt.NDArray[np.float64]

LIMIT = 1 << 17
"""Points kept at most, 1.5 MiB; about half as many are left when neighbours have been merged."""
PENDING = 1 << 17
"""Values collected before they are sorted into the points."""
SMALLEST = 1e-9
"""Share of the mass at the upper end below which the resolution no longer grows."""


class Distribution:
    """A weighted empirical distribution: sorted points with their masses, exact until there are more than `LIMIT`.

    Then neighbours are merged, such that a point holds at most about 1e-4 of the mass, and of the mass above it at most
    about a thousandth; typically a third of both. A value that occurs more often keeps a point of its own, so ties stay
    ties. The points follow the data: no range, unit or bin width is assumed, and outliers cost no resolution elsewhere.
    A quantile sketch with resolution at the upper end, in the manner of the t-digest (Dunning, Ertl, "Computing
    extremely accurate quantiles using t-digests", 2019).
    """

    def __init__(self) -> None:
        self._values: Values = np.empty(0, np.float32)
        self._weights: Weights = np.empty(0, np.float64)
        self._pending: list[tuple[Values, Weights | None]] = []
        self._waiting = 0

    def add(self, values: npt.NDArray[np.floating[Any]], weights: Weights | None = None) -> None:
        """Take in finite values of any shape (compared as float32), each with its weight; weight 1 by default."""
        flat = np.asarray(values, np.float32).reshape(-1)
        for start in range(0, flat.size, PENDING):
            part = slice(start, start + PENDING)
            self._pending.append((flat[part].copy(), None if weights is None else weights.reshape(-1)[part].copy()))
            self._waiting += self._pending[-1][0].size
            if self._waiting >= PENDING:
                self._settle()

    def points(self) -> tuple[Values, Weights]:
        """Distinct values, ascending, and the mass at each."""
        self._settle()
        return self._values, self._weights

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """The distribution of all values of all parts; as exact as they are."""
        result = cls()
        points = [part.points() for part in parts]
        if points:
            values, weights = (np.concatenate(column) for column in zip(*points, strict=True))
            result._values, result._weights = _gather(values, weights)
        return result

    def _settle(self) -> None:
        if not self._pending:
            return
        new = [_sorted(values, weights) for values, weights in _joined(self._pending)]
        self._pending, self._waiting = [], 0
        values = np.concatenate([self._values, *(values for values, _ in new)])
        weights = np.concatenate([self._weights, *(weights for _, weights in new)])
        self._values, self._weights = _gather(values, weights)
        if self._values.size > LIMIT:
            self._values, self._weights = _thin(self._values, self._weights, LIMIT // 2)


def _joined(pending: list[tuple[Values, Weights | None]]) -> Iterable[tuple[Values, Weights | None]]:
    """All that is pending in at most two pieces: without weights, and with."""
    plain = [values for values, weights in pending if weights is None]
    if plain:
        yield np.concatenate(plain), None
    weighted = [(values, weights) for values, weights in pending if weights is not None]
    if weighted:
        yield np.concatenate([values for values, _ in weighted]), np.concatenate([weights for _, weights in weighted])


def _sorted(values: Values, weights: Weights | None) -> tuple[Values, Weights]:
    """Distinct values, ascending, and the mass at each."""
    if weights is not None:
        return _gather(values, weights)
    values = np.sort(values)
    starts = _starts(values)
    return values[starts], np.diff(starts, append=values.size).astype(np.float64)


def _gather(values: Values, weights: Weights) -> tuple[Values, Weights]:
    """The same, with weights; quick where the values are a few sorted runs."""
    order = np.argsort(values, kind="stable")
    values = values[order]
    starts = _starts(values)
    return values[starts], np.add.reduceat(weights[order], starts) if starts.size else weights


def _starts(ordered: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where runs of equal elements begin."""
    return np.flatnonzero(np.concatenate([np.ones(min(1, ordered.size), bool), ordered[1:] != ordered[:-1]]))


def _thin(values: Values, weights: Weights, buckets: int) -> tuple[Values, Weights]:
    """At most about `buckets` points: those that fall into the same bucket become one, at the median of their mass.

    Half of the buckets divide the mass evenly, half the logarithm of the mass above: precision and small false-positive
    rates hang on the highest values. A heavy point stays where it is and light neighbours join it; of two equal ones
    the lower and the upper are taken in turn, so that nothing drifts when this is done again and again.
    """
    end = np.cumsum(weights)
    middle = (end - weights / 2) / end[-1]
    tail = np.log((1 + SMALLEST) / (1 - middle + SMALLEST)) / np.log((1 + SMALLEST) / SMALLEST)
    starts = _starts(((middle + tail) * (buckets / 2)).astype(np.int64))
    mass = np.add.reduceat(weights, starts)
    half = np.where(np.arange(starts.size) % 2, 0.499, 0.501)
    median = np.searchsorted(end, end[starts] - weights[starts] + half * mass)
    return values[median], mass
