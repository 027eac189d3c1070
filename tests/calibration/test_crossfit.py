"""Cross-fitting: the ranks within folds, the average that they promise, and siblings that are too far apart."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration.average import average_bound, carried, needed
from anomalib_lite.calibration.crossfit import Fold, calibrate, refuse_apart, unit
from anomalib_lite.calibration.scoring import Measured, Scored
from anomalib_lite.config import Rates
from anomalib_lite.data import Sample
from anomalib_lite.edge.manifest import Per
from anomalib_lite.edge.manifest.parsing import parsed, plain
from anomalib_lite.errors import DataError

SHAPES = {"one": 0.0, "noisy": 0.3, "torn": 2.0}  # how much siblings differ, of the spread of good parts


def fold(scores: list[float], number: int = 1, shots: int = 1, per: Per = "part") -> Fold:
    """A fold of parts with these scores, photographed so many times."""
    images = [
        Measured(f"f{number}_{i}_{shot}", f"f{number}_{i}", score - shot, 2 * score, Sample(Path("x"), "x"), "")
        for i, score in enumerate(scores)
        for shot in range(shots)
    ]
    return Fold.of(Scored(images), number, per, 0)


def certified(folds: list[Fold], asked: float = 0.01) -> Calibration:
    return calibrate(folds, Rates.of(asked), grouped=True, per="part")


def test_what_is_carried_by_hand() -> None:
    assert carried(117, 3, 0.01) == (0, 6 / 120, 480)
    assert carried(117, 3, 0.05) == (0, 0.05, 0)
    assert carried(117, 3, 0.10) == (3, 0.1, 0)
    assert carried(117, 5, 0.10) == (1, 12 / 122, 0)
    assert (needed(0.01, 3), needed(0.05, 3)) == (597, 117)


@given(st.integers(2, 20), st.integers(0, 500), st.integers(0, 50))
def test_it_is_the_bound_of_cross_conformal_prediction(folds: int, more: int, allowed: int) -> None:
    n = folds + 1 + allowed + more
    alpha = (allowed + 1) / (n + 1)
    assert average_bound(allowed, n, folds) == pytest.approx(2 * alpha + 2 * (1 - alpha) * (folds - 1) / (n + folds))
    assert carried(n, folds, average_bound(allowed, n, folds))[0] == allowed
    assert average_bound(0, needed(0.03, folds), folds) <= 0.03 + 1e-12


def test_thresholds_are_ranks_and_the_statement_is_an_average() -> None:
    made = certified([fold([float(i) for i in range(39)], number) for number in (1, 2, 3)], 0.10)
    assert made.scores == tuple(float(rank) for rank in range(1, 118))
    assert (made.n, made.folds, made.approximate, made.menu, made.reject.set_by) == (117, 3, True, (), ())
    assert (made.reject.base, made.reject.allowed, made.reject.bound) == (114.0, 3, 0.1)
    assert 0 < made.reject.tol < 0.25, "less than what breaks ties"
    assert (made.review.allowed, made.has_review_band) == (27, True)
    assert parsed(Calibration, plain(made)) == made
    said = " ".join(made.statement)
    assert made.statement[0] == (
        "Cross-fitted: on average over trainings like this one, at most 10 % of good parts are NG, from 117 parts in 3 "
        "folds, 3 of them allowed above the threshold. That is no bound at a confidence: this training may reject more."
    )
    assert "where siblings hardly differ, 3.39 % are NG" in said
    assert "the gate learnt from all parts" in said
    assert "95 %" not in said
    assert "asked for 1 %: 480 more good parts are needed, 597 in all." in " ".join(
        certified([fold([float(i) for i in range(39)], number) for number in (1, 2, 3)]).statement
    )


def test_images_get_their_rank_in_their_fold() -> None:
    one = fold([5.0, 1.0, 3.0], shots=2)
    assert one.scores == [1.0, 3.0, 5.0]
    ranks = {image.image: image.score for image in one.measured(12)}
    assert ranks == {"f1_0_0": 12, "f1_0_1": 8, "f1_1_0": 4, "f1_1_1": 0, "f1_2_0": 8, "f1_2_1": 4}
    assert [known > score for known, score in zip(one.known, one.scores, strict=True)] == [True, True, True]
    assert unit([1.0, 2.0, 4.0]) == pytest.approx((2.0, 1.4826))
    assert unit([7.0]) == pytest.approx((7.0, 7e-3))


def test_siblings_that_are_apart_are_refused() -> None:
    same = [fold([float(i) for i in range(20)], number) for number in (1, 2, 3)]
    refuse_apart(same)
    refuse_apart([fold([1.0, 2.0]), fold([3.0, 4.0], 2)])  # too few to tell
    other = fold([100.0 + i for i in range(20)], 3)
    with pytest.raises(DataError, match=r"of 20 parts of fold 3, 20 have higher scores than all 20 of fold 1.*0\.5"):
        refuse_apart([*same[:2], other])


@pytest.mark.parametrize(("scores", "said"), [([], "could be measured"), ([2.0, 2.0], "all parts have the score 2")])
def test_a_fold_that_tells_nothing_is_refused(scores: list[float], said: str) -> None:
    with pytest.raises(DataError, match=f"fold 4: .*{said}"):
        fold(scores, 4)


@pytest.mark.parametrize("differ", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("n", "folds"), [(30, 3), (60, 5)])
def test_on_average_no_more_good_parts_are_rejected(differ: float, n: int, folds: int) -> None:
    """A sibling's score of a part: what all siblings see of it, and what this one alone makes of it."""
    random, runs, new, allowed = np.random.default_rng(5), 300, 200, 2
    rates = []
    for _ in range(runs):
        shared, fresh = random.lognormal(size=n), random.lognormal(size=new)
        below = np.zeros(new)
        for k in range(folds):
            own = shared[k::folds] + differ * random.normal(size=len(shared[k::folds]))
            seen = fresh + differ * random.normal(size=new)
            below += np.searchsorted(np.sort(own), seen, side="left")
        rates.append(float((below >= n - allowed).mean()))
    margin = 3 * float(np.std(rates)) / math.sqrt(runs)
    assert np.mean(rates) <= average_bound(allowed, n, folds) + margin
    if not differ:
        assert np.mean(rates) == pytest.approx((allowed + 1) / (n + 1), abs=margin)
