"""Detectors side by side on the same labelled images: which finds most, and which cannot be told from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anomalib_lite.metrics.bootstrap import Interval, Scores, difference_interval
from anomalib_lite.metrics.scores import auroc

Judged = Sequence[Mapping[str, Any]]  # rows of an evaluation: image, label, group, score


@dataclass(frozen=True)
class Rank:
    """A detector, and how far it is behind the best."""

    name: str
    auroc: float
    behind: float  # AUROC of the best less its own
    interval: Interval | None  # of that, over parts; None of the best, and where there are too few parts
    curve: list[tuple[float, float]]  # (share of good images above a threshold, share of defective ones below it)

    @property
    def may_be_best(self) -> bool:
        """Whether the images do not tell it from the best."""
        return self.behind == 0 or self.interval is None or self.interval.low <= 0


def ranked(rows: Mapping[str, Judged]) -> list[Rank]:
    """The best first, by image AUROC on those images that every detector could measure.

    Args:
        rows: Name of a detector to its rows; all of the same images.

    Raises:
        ValueError: No good or no defective image is left.
    """
    unmeasured = {row["image"] for judged in rows.values() for row in judged if row["score"] is None}
    halves = {name: _halves([row for row in judged if row["image"] not in unmeasured]) for name, judged in rows.items()}
    found = {name: auroc(good[0], defective[0]) for name, (good, defective) in halves.items()}
    if not found or None in found.values():
        raise ValueError("no good or no defective image that all could measure")
    best = max(found, key=lambda name: found[name] or 0.0)
    ranks = [
        Rank(
            name,
            value or 0.0,
            (found[best] or 0.0) - (value or 0.0),
            None if name == best else difference_interval(halves[best], halves[name]),
            _curve(*halves[name]),
        )
        for name, value in found.items()
    ]
    return sorted(ranks, key=lambda one: one.behind)


def _halves(rows: Judged) -> tuple[Scores, Scores]:
    """Good and defective images, in the same order for every detector."""
    ordered = sorted(rows, key=lambda row: str(row["image"]))
    good = [row for row in ordered if row["label"] == "good"]
    defective = [row for row in ordered if row["label"] != "good"]
    return _scores(good), _scores(defective)


def _scores(rows: Judged) -> Scores:
    return [float(row["score"]) for row in rows], [str(row.get("group") or row["image"]) for row in rows]


def _curve(good: Scores, defective: Scores) -> list[tuple[float, float]]:
    """Escapes over false rejects, for a threshold at each good image from the highest to the lowest."""
    above, bad = np.sort(np.asarray(good[0], float))[::-1], np.sort(np.asarray(defective[0], float))
    escaped = np.searchsorted(bad, above, side="right") / len(bad)
    rejected = np.searchsorted(-above, -above, side="left") / len(above)
    return [(float(x), float(y)) for x, y in zip(rejected, escaped, strict=True)] + [(1.0, 0.0)]
