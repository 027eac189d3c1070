"""What several models say of one part, as one number: each in a unit of its good parts, then combined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomalib_lite.edge.manifest import Combined, MemberRecord

WORST = 0.9  # quantile of the scores of good parts, whose distance from the median is the unit
LEAST = 1e-3  # of the largest score: the unit where good parts hardly differ


@dataclass(frozen=True)
class Unit:
    """How far the worst tenth of good parts lies above the median: what a score of a member is counted in."""

    middle: float
    size: float  # above 0
    values: Sequence[float]  # of the good parts, ascending

    @classmethod
    def of(cls, values: Sequence[float]) -> Unit:
        """That of some good parts, by their scores in ascending order."""
        middle, worst = float(np.median(values)), float(np.quantile(values, WORST))
        return cls(middle, max(worst - middle, LEAST * max(abs(values[0]), abs(values[-1])), 1e-12), values)

    def distance(self, score: float) -> float:
        """0 for the median of good parts, 1 for the worst tenth of them."""
        return (score - self.middle) / self.size

    def surprise(self, score: float) -> float:
        """-log p, where p = (1 + as many as score at least that) / (n + 1) is the conformal p-value of a score.

        Linear between the scores of good parts, so that it does not jump; above them all it goes on as an exponential
        tail does, by 1 per unit: p itself ends at 1 / (n + 1), and would not tell defects from each other.
        """
        known, first = np.unique(self.values, return_index=True)
        n = len(self.values)
        told = -np.log((1 + n - first) / (n + 1))
        return float(np.interp(score, known, told)) + max(0.0, score - float(known[-1])) / self.size


def numbers(combined: Combined, scores: Mapping[str, float], members: Sequence[MemberRecord]) -> dict[str, float]:
    """What each member says in its own unit, by name.

    Args:
        combined: How they will be combined.
        scores: Of those members that have measured the part, by name.
        members: All of them.
    """
    measure = Unit.surprise if combined == "fisher" else Unit.distance
    return {one.name: measure(Unit.of(one.values), scores[one.name]) for one in members if one.name in scores}


def joined(combined: Combined, said: Mapping[str, float], members: Sequence[MemberRecord]) -> float:
    """The joint score.

    maximum  the largest: one member that is sure is enough, and what only it sees is not diluted.
    mean     each by its weight: what several see a little adds up, what one alone sees is divided.
    fisher   the sum of the surprises, Fisher's rule: R. A. Fisher, "Statistical Methods for Research Workers", 1932.

    Args:
        combined: Which of these.
        said: What `numbers` gives, of at least one member.
        members: All of them.
    """
    weights = {one.name: one.weight for one in members if one.name in said}
    weighted = [weights[name] * number for name, number in said.items()]
    if combined == "maximum":
        return max(weighted)
    return math.fsum(weighted) / (math.fsum(weights.values()) if combined == "mean" else 1)
