"""Time lines of recordings: the score of each image of a video or a sound over the time at which it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from anomalib_lite.edge.results import Result

SHOWN = 24  # recordings: those that go farthest beyond their threshold
POINTS = 400  # of a line: of longer ones the largest of each stretch is drawn
WIDTH, HEIGHT = 200.0, 100.0  # of a drawing


@dataclass
class Recording:
    """What was said of the images of one file, in their order."""

    name: str
    reject: float
    review: float
    points: list[tuple[float, float]] = field(default_factory=list)  # seconds, score
    lost: list[float] = field(default_factory=list)  # seconds of what could not be measured

    @property
    def beyond(self) -> float:
        """How far the highest score is above the reject threshold, in units of it; below 0 where it is not."""
        highest = max((score for _, score in self.points), default=self.reject)
        return (highest - self.reject) / (abs(self.reject) or 1.0)


class Recordings:
    """Gathers results by the recordings that they are of; what is of none is passed over."""

    def __init__(self) -> None:
        self._found: dict[str, Recording] = {}

    def add(self, result: Result) -> None:
        """One more result."""
        if result.seconds is None:
            return
        file = result.image.rpartition("#")[0] or result.image
        one = self._found.setdefault(file, Recording(file, result.reject_threshold, result.review_threshold))
        if result.score is None:
            one.lost.append(result.seconds)
        else:
            one.points.append((result.seconds, result.score))

    def drawn(self) -> dict[str, Any] | None:
        """The lines as the template draws them; None without recordings."""
        if not self._found:
            return None
        ranked = sorted(self._found.values(), key=lambda one: -one.beyond)
        return {"lines": [_line(one) for one in ranked[:SHOWN]], "of": len(ranked)}


def _line(one: Recording) -> dict[str, Any]:
    """One recording: a polyline, its thresholds, and where it could not be measured, in a drawing of 200 x 100."""
    points = sorted(one.points)
    last = max([*(time for time, _ in points), *one.lost]) or 1.0
    values = [*(score for _, score in points), one.reject, one.review]
    low, span = min(values), max(values) - min(values) or 1.0

    def down(score: float) -> float:
        return HEIGHT * (1.0 - (score - low) / span)

    time, score = max(points, key=lambda point: point[1], default=(0.0, None))
    return {
        "name": PurePath(one.name).name,
        "points": " ".join(f"{WIDTH * at / last:.1f},{down(value):.1f}" for at, value in _thinned(points)),
        "reject": down(one.reject),
        "review": down(one.review),
        "lost": [WIDTH * at / last for at in one.lost],
        "last": last,
        "highest": score,
        "at": time,
    }


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of each stretch the highest point, so that no peak is lost."""
    every = -(-len(points) // POINTS) or 1
    return [max(points[at : at + every], key=lambda point: point[1]) for at in range(0, len(points), every)]
