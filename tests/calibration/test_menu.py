"""The menu: bounds that hold together, a row that is chosen, and images that the gate refused."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalib_lite.calibration import Calibration, Exclusion, ScoredImage, calibrate, menu, menu_words
from anomalib_lite.calibration.binomial import bound_at, exact_interval, largest_allowed
from anomalib_lite.config import Rates
from anomalib_lite.edge.decision import p_value
from anomalib_lite.edge.manifest import HeldOut
from anomalib_lite.edge.manifest.parsing import parsed, plain
from anomalib_lite.errors import ConfigError, DataError

ONE_PERCENT = Rates.of(0.01)


def parts(scores: list[float]) -> list[ScoredImage]:
    return [ScoredImage(f"a{i}", f"part{i}", score, 2 * score) for i, score in enumerate(scores)]


def numbered(n: int) -> list[float]:
    return [float(i) for i in range(1, n + 1)]


@pytest.mark.parametrize(
    ("n", "rows", "each", "percent"),
    [
        (35, 4, 2.1, (10.4, 15.4, 19.7, 23.6)),
        (117, 9, 1.4, (3.6, 5.2, 6.6, 8.0, 9.2)),
        (9, 1, 5.0, (28.3,)),
        (1, 1, 5.0, (95.0,)),
    ],
)
def test_the_table_of_operating_points(n: int, rows: int, each: float, percent: tuple[float, ...]) -> None:
    bounds = menu.bounds(n, 0.95)
    assert (len(bounds), menu.ranks(n)) == (rows, tuple(range(rows)))
    assert tuple(round(100 * bound, 1) for bound in bounds[: len(percent)]) == percent
    assert bounds[0] == pytest.approx(bound_at(0, n, each / 100), rel=0.02)
    expected = [point.expected for point in calibrate(parts(numbered(n)), ONE_PERCENT, grouped=True).menu]
    assert expected == [(rank + 1) / (n + 1) for rank in range(rows)]


def test_further_rows_are_further_apart() -> None:
    assert menu.ranks(299) == (*range(9), 16)
    assert menu.ranks(10**6) == (*range(9), 16, 32, 64)
    assert menu.bounds(10**6, 0.95)[-1] < 1e-4


@pytest.mark.parametrize(("n", "confidence"), [(12, 0.95), (35, 0.95), (35, 0.8), (117, 0.99), (299, 0.95)])
def test_all_rows_hold_together_as_often_as_promised(n: int, confidence: float) -> None:
    """By simulation: the true rates of the rows are the smallest of n uniform numbers."""
    repetitions = 20_000
    rates = np.sort(np.random.default_rng(n).random((repetitions, n)), axis=1)
    ranks, bounds = menu.ranks(n), menu.bounds(n, confidence)
    failed = int(np.any(rates[:, list(ranks)] > np.array(bounds), axis=1).sum())
    low, high = exact_interval(failed, repetitions, 0.999)
    assert low <= 1 - confidence <= high
    assert menu.chance_of_failing(ranks, bounds, n) == pytest.approx(1 - confidence, rel=1e-5)


@settings(max_examples=25)
@given(st.integers(1, 130), st.sampled_from([0.6, 0.9, 0.95, 1 - 1e-6]))
def test_no_row_promises_more_than_it_would_alone_and_higher_rows_promise_less(n: int, confidence: float) -> None:
    ranks, bounds = menu.ranks(n), menu.bounds(n, confidence)
    assert all(0 < one < 1 for one in bounds)
    assert all(a < b for a, b in pairwise(bounds))
    for rank, bound in zip(ranks, bounds, strict=True):
        assert bound >= bound_at(rank, n, 1 - confidence) * (1 - 1e-9)
        assert (largest_allowed(n, bound, confidence) or 0) >= rank


def test_without_a_row_rule_and_bound_are_as_before_and_the_menu_stands_beside() -> None:
    made = calibrate(parts(numbered(35)), ONE_PERCENT, grouped=True)
    assert (made.row, made.reject.allowed, made.reject.simultaneous) == (None, 0, False)
    assert made.reject.bound == pytest.approx(1 - 0.05 ** (1 / 35))
    assert [point.base for point in made.menu] == [35.0, 34.0, 33.0, 32.0]
    assert made.menu[0].value == made.reject.value
    advice = menu_words.advice(made)
    assert "* taken since too few parts are held out for 1 %" in advice
    assert "for who does not choose, its bound is the 8.21 % above" in advice


def test_a_threshold_between_the_rows_is_told_as_such() -> None:
    made = calibrate(parts(numbered(450)), Rates.of(0.05), grouped=True)
    assert made.reject.allowed == 14
    assert "A threshold between these, with 14 above it, taken by the rule for 5 %" in menu_words.advice(made)


def test_a_row_that_is_chosen_has_the_bound_of_its_row() -> None:
    made = calibrate(parts(numbered(35)), ONE_PERCENT, grouped=True, row=2)
    reject = made.reject
    assert (made.row, reject.allowed, reject.base, reject.missing, reject.simultaneous) == (2, 2, 33.0, 0, True)
    assert (reject.value, reject.bound) == (made.menu[2].value, made.menu[2].bound)
    assert reject.set_by == ("a32",)
    assert reject.without == pytest.approx(32 * 1.0001)
    assert made.thresholds.map_reject.base == 66.0
    assert (made.review.allowed, made.review.simultaneous) == (3, True)
    assert made.statement[3].endswith("Both are rows of the menu and hold jointly.")
    assert made.statement[0] == (
        "At most 19.7 % of good parts are rejected (confidence 95 %), from 35 held-out parts, 2 of them allowed above "
        "the threshold."
    )
    assert made.statement[1].startswith("Row 2 of the menu was chosen; its bound holds together with those of all")
    assert menu_words.advice(made).endswith("* chosen with --row.")


@pytest.mark.parametrize("row", [4, 99])
def test_a_row_that_does_not_exist_names_those_that_do(row: int) -> None:
    with pytest.raises(ConfigError, match=rf"row {row} is not on the menu: 35 good parts carry the rows 0, 1, 2, 3\."):
        calibrate(parts(numbered(35)), ONE_PERCENT, grouped=True, row=row)


def test_a_refused_part_is_a_rejected_one() -> None:
    made = calibrate(parts([*numbered(34), math.inf]), ONE_PERCENT, grouped=True, gated=True)
    assert (made.n, made.refused, len(made.scores)) == (35, 1, 34)
    assert [point.rank for point in made.menu] == [1, 2, 3]
    reject = made.reject
    assert (reject.allowed, reject.base, reject.simultaneous) == (1, 34.0, True)
    assert reject.bound == menu.bounds(35, 0.95)[1]
    assert made.statement[0].startswith(
        "At most 15.5 % of good parts are rejected, or refused by the gate, (confidence"
    )
    assert "Row 1 of the menu is taken, the first with a finite threshold" in made.statement[1]
    assert made.statement[2] == "The gate refused 1 good part of the 35: counted as rejected, above every threshold."
    with pytest.raises(ConfigError, match="rows 1, 2, 3"):
        calibrate(parts([*numbered(34), math.inf]), ONE_PERCENT, grouped=True, row=0)
    back = parsed(Calibration, json.loads(json.dumps(plain(made), allow_nan=False)))
    assert back == made
    assert p_value(100.0, made.scores, made.refused) == 2 / 36
    assert p_value(0.0, made.scores, made.refused) == 1.0


def test_a_refused_part_among_those_allowed_above_changes_no_threshold() -> None:
    scores = numbered(627)
    made = calibrate(parts([*scores, math.inf]), ONE_PERCENT, grouped=True)
    assert (made.reject.allowed, made.reject.base, made.reject.bound, made.reject.simultaneous) == (
        2,
        626.0,
        0.01,
        False,
    )


def test_more_refused_parts_than_may_lie_above_certify_nothing() -> None:
    refused = parts([*numbered(31), *[math.inf] * 4])
    with pytest.raises(DataError, match=r"refused 4 of 35 good images, as a31, a32, a33: .*--exclude.*gate\.enabled"):
        calibrate(refused, ONE_PERCENT, grouped=True)
    left_out = [Exclusion("a31", "empty belt")]
    assert calibrate(refused, ONE_PERCENT, grouped=True, exclusions=left_out).reject.allowed == 3
    with pytest.raises(DataError, match="refused 3 of 3 good images"):
        calibrate(parts([math.inf] * 3), ONE_PERCENT, grouped=True)


def test_the_highest_good_images_are_named_with_what_to_do() -> None:
    held_out = [HeldOut(f"a{i}", f"part{i}", "0", None if i == 3 else float(i), 0.0) for i in range(9)]
    said = menu_words.suspects(held_out, 3)
    assert said.startswith("The highest of the good images: a3 (refused), a8 (8), a7 (7). Look at all of them")
    assert "only what is confirmed to be defective" in said
    assert menu_words.suspects([]) == ""
