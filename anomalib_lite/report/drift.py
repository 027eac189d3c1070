"""The page on drift: scores part by part, and the money of the bet that they are not what they were."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from anomalib_lite.edge.drift import ALARM, Drift
from anomalib_lite.report.charts import HEIGHT, POINTS, WIDTH, Axis
from anomalib_lite.report.templating import template

DOTS = 2000  # scores that are drawn


def drawn(title: str, drift: Drift, followed: Sequence[float], after: Sequence[float], notes: Sequence[str]) -> bytes:
    """A self-contained HTML page.

    Args:
        title: What was followed.
        drift: After all of it.
        followed: The score of each part, in order; at least one.
        after: The money of the bet after each.
        notes: What must be known of it.
    """
    across = Axis(0.0, float(max(len(followed), 2)), False)
    money = np.log10(np.maximum(np.array(after, np.float64), 1e-300))
    up = Axis.over(np.array([*money, math.log10(ALARM), 0.0]))
    step, every = -(-len(followed) // DOTS), -(-len(followed) // POINTS)
    scores = np.array(followed, np.float64)
    of_scores = Axis(*_span(scores), False)
    marked = None if drift.alarm is None else 10 * across.percent(drift.alarm.since)
    page = template("drift.html").render(
        title=title,
        parts=len(followed),
        value=drift.value,
        highest=drift.highest,
        limit=ALARM,
        alarm=None if drift.alarm is None else str(drift.alarm),
        notes=notes,
        marked=marked,
        level=_down(up, math.log10(ALARM)),
        money=" ".join(
            f"{WIDTH / 100 * across.percent(place + 1):.1f},{_down(up, float(money[place])):.1f}"
            for place in _largest(money, every)
        ),
        dots=[
            (WIDTH / 100 * across.percent(place + 1), _down(of_scores, float(scores[place])))
            for place in range(0, len(followed), step)
        ],
        ticks=across.ticks(),
        money_ticks=up.ticks(),
        score_ticks=of_scores.ticks(),
    )
    return page.encode("utf-8", "backslashreplace")


def _largest(values: np.ndarray, every: int) -> list[int]:
    """Of each stretch of so many values the place of the largest, so that no peak is lost."""
    return [start + int(values[start : start + every].argmax()) for start in range(0, len(values), every)]


def _span(scores: np.ndarray) -> tuple[float, float]:
    low, high = float(scores.min()), float(scores.max())
    margin = 0.02 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def _down(axis: Axis, value: float) -> float:
    """A place of a drawing, whose y grows downwards."""
    return HEIGHT * (1 - axis.percent(value) / 100)
