"""Geometry of the report's histogram and training curve: where bars, lines and ticks go. The template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

BINS = 60
SKEWED = 8  # an axis is logarithmic where its largest value is more than this many medians
WIDTH, HEIGHT = 1000.0, 100.0  # of a drawing, stretched to the page
HEADROOM = 22.0  # above the tallest bar, for the name of the panel
SHORTEST_BAR = 2.5  # so that a single image is seen beside a bar of hundreds
TICKS = 7
POINTS = 500  # most points of a curve


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear or logarithmic axis from `low` to `high` > `low`."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, values: NDArray[np.float64]) -> Self:
        """An axis over all values, with a margin; logarithmic where they are positive and far apart."""
        low, high = float(values.min()), float(values.max())
        if low > 0 and high > SKEWED * float(np.median(values)):
            margin = (high / low) ** 0.02
            return cls(low / margin, high * margin, True)
        margin = 0.02 * (high - low) or 0.5 * abs(high) or 0.5
        return cls(low - margin, high + margin, False)

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie, from 0 (`low`) to 1 (`high`)."""
        if self.log:
            return np.asarray(np.log(values / self.low) / math.log(self.high / self.low))
        return np.asarray((values - self.low) / (self.high - self.low))

    def percent(self, value: float) -> float:
        """Where one value lies, from 0 to 100."""
        return 100 * float(self.place(np.array(value)))

    def ticks(self) -> list[tuple[float, str]]:
        """Round values on the axis: place from 0 to 100, and text."""
        values = self._powers() if self.log else self._steps()
        return [(self.percent(value), f"{value:.4g}") for value in values]

    def _steps(self) -> list[float]:
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [round(index * step, 12 - math.floor(math.log10(step))) for index in range(first, last + 1)]

    def _powers(self) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        factors = (1, 2, 5) if len(decades) <= 4 else (1,)
        inside = [f * 10.0**d for d in decades for f in factors if self.low <= f * 10.0**d <= self.high]
        return inside[:: math.ceil(len(inside) / (2 * TICKS)) or 1]


def histogram(scores: NDArray[np.float64], axis: Axis) -> dict[str, Any]:
    """A histogram as the template draws it: bars (x, width, height), and what it shows in numbers."""
    counts, edges = np.histogram(axis.place(scores), BINS, (0.0, 1.0))
    tallest = int(counts.max())
    heights = np.maximum(counts / tallest * (HEIGHT - HEADROOM), SHORTEST_BAR)
    width = WIDTH / BINS
    return {
        "bars": [(float(WIDTH * edges[i]), width * 0.94, float(heights[i])) for i in np.flatnonzero(counts)],
        "tallest": tallest,
        "total": len(scores),
        "low": float(scores.min()),
        "median": float(np.median(scores)),
        "high": float(scores.max()),
    }


def curve(points: Sequence[tuple[int, float]]) -> dict[str, Any] | None:
    """A training curve (step, loss) as the template draws it, averaged to `POINTS` points; None if none is finite."""
    kept = np.array([point for point in points if math.isfinite(point[1])], np.float64).reshape(-1, 2)
    if len(kept) == 0:
        return None
    size = math.ceil(len(kept) / POINTS)
    mean = np.stack([kept[start : start + size].mean(axis=0) for start in range(0, len(kept), size)])
    across, up = Axis(float(kept[0, 0]), max(float(kept[-1, 0]), kept[0, 0] + 1), False), Axis.over(mean[:, 1])
    places = zip(WIDTH * across.place(mean[:, 0]), HEIGHT * (1 - up.place(mean[:, 1])), strict=True)
    return {
        "points": " ".join(f"{x:.1f},{y:.2f}" for x, y in places),
        "x_ticks": across.ticks(),
        "y_ticks": up.ticks(),
        "log": up.log,
        "first": float(kept[0, 1]),
        "last": float(kept[-1, 1]),
        "steps": int(kept[-1, 0]),
    }
