"""Units and thresholds of a joint model come of different parts, and the bound holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anomalib_lite.calibration.joint import FEW, Member, Part, certified, divided
from anomalib_lite.config import Rates
from anomalib_lite.edge import combining
from anomalib_lite.errors import DataError

MEMBERS = [Member("sound", "sound", 0.0), Member("top", "video", 0.0), Member("side", "video", 0.0)]
RATES = Rates.of(0.2)


def parts(number: int, seed: int = 0) -> list[Part]:
    random = np.random.default_rng(seed)
    scores = random.gamma(2.0, 1.0, (number, len(MEMBERS))) * [1, 10, 100]
    once = {one.name: 1 for one in MEMBERS}
    return [
        Part(f"{place:04}", dict(zip(once, map(float, row), strict=True)), once) for place, row in enumerate(scores)
    ]


def test_no_part_sets_a_unit_and_a_threshold() -> None:
    known = parts(40)
    setting, certifying = divided(known)
    assert len(setting) == FEW
    assert sorted(part.name for part in (*setting, *certifying)) == [part.name for part in known]
    assert divided(known[::-1]) == (setting, certifying), "drawn by names alone"
    assert [len(half) for half in divided(parts(200))] == [40, 160]
    assert [len(half) for half in divided(parts(7))] == [3, 4]
    with pytest.raises(DataError, match="3 good parts that every member has measured"):
        divided(parts(3))


def test_the_threshold_is_that_of_the_joint_scores() -> None:
    records, calibration, scores = certified(MEMBERS, parts(40), RATES, combined="mean", errors=2)
    assert len(scores) == calibration.n == 30
    assert calibration.scores == tuple(sorted(filter(None, scores.values())))
    assert calibration.images == 60, "top and side look at the same photographs"
    assert calibration.errors.count == 2
    _, certifying = divided(parts(40))
    said = combining.numbers("mean", certifying[0].scores, records)
    assert scores[certifying[0].name] == combining.joined("mean", said, records)
    assert "1 of sound, 1 of video" in " ".join(calibration.statement)
    assert "map" not in " ".join(calibration.statement)


def test_a_part_that_a_gate_refused_counts_as_rejected() -> None:
    known = parts(40)
    refused = divided(known)[1][0]
    known[known.index(refused)] = Part(refused.name, dict(refused.scores) | {"top": math.inf}, refused.photographs)
    _, calibration, scores = certified(MEMBERS, known, RATES, combined="maximum", gated=True)
    assert (calibration.refused, scores[refused.name]) == (1, None)
    assert "The gate refused 1 good part of the 30" in " ".join(calibration.statement)


def test_the_bound_holds_where_the_same_parts_for_both_would_break_it() -> None:
    """Over 1,000 calibrations: more false rejects than certified in 5 % of them, within three standard errors."""
    repetitions, n, confidence = 1000, 30, 0.95
    random = np.random.default_rng(7)
    new = random.gamma(2.0, 1.0, (5000, 3))
    setting, certifying = (random.gamma(2.0, 1.0, (repetitions, number, 3)) for number in (FEW, n))
    bound = 1 - (1 - confidence) ** (1 / n)

    def broken(units: np.ndarray) -> float:
        """How often the true rate is above what the largest of n certifies."""
        count = 0
        for of_units, of_thresholds in zip(units, certifying, strict=True):
            known = [combining.Unit.of(np.sort(column).tolist()) for column in of_units.T]
            middle, size = [one.middle for one in known], [one.size for one in known]
            threshold = ((of_thresholds - middle) / size).max()
            count += float(np.mean(((new - middle) / size).max(1) > threshold)) > bound
        return count / repetitions

    highest = 1 - confidence + 3 * math.sqrt(confidence * (1 - confidence) / repetitions)
    assert broken(setting) <= highest < broken(certifying)
