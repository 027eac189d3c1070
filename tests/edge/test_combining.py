"""What members say, in units of their good parts, as one number: by hand."""

from __future__ import annotations

import math

import pytest

from anomalib_lite.edge.combining import Unit, joined, numbers
from anomalib_lite.edge.manifest import ImagesPerUnit, MemberRecord

ONE = ImagesPerUnit(1, 1, 1)
VALUES = tuple(float(value) for value in range(11))  # median 5, nine tenths 9: the unit is 4


def member(name: str, values: tuple[float, ...] = VALUES, weight: float = 1.0) -> MemberRecord:
    return MemberRecord(name, name, values, ONE, weight)


def test_a_unit_reaches_from_the_median_to_the_worst_tenth() -> None:
    unit = Unit.of(VALUES)
    assert (unit.middle, unit.size) == (5, 4)
    assert [unit.distance(score) for score in (5, 9, 13)] == [0, 1, 2]


def test_a_unit_of_parts_that_hardly_differ_is_no_zero() -> None:
    assert Unit.of((7.0, 7.0, 7.0)).distance(7.07) == pytest.approx(10)
    assert math.isfinite(Unit.of((0.0, 0.0)).distance(1.0))


def test_surprise_is_that_of_the_conformal_p_value_and_goes_on_above_it() -> None:
    unit = Unit.of(VALUES)
    assert unit.surprise(0.0) == unit.surprise(-100.0) == 0, "11 of 11 score at least that: p is 1"
    assert unit.surprise(9.0) == pytest.approx(-math.log(3 / 12))
    assert unit.surprise(10.0) == pytest.approx(-math.log(2 / 12))
    assert unit.surprise(9.5) == pytest.approx((unit.surprise(9.0) + unit.surprise(10.0)) / 2)
    assert unit.surprise(18.0) == pytest.approx(unit.surprise(10.0) + 2)
    tied = Unit.of((1.0, 2.0, 2.0, 3.0))
    assert tied.surprise(2.0) == pytest.approx(-math.log(4 / 5)), "three of four score at least 2"


def test_the_rules() -> None:
    members = [member("top"), member("side", tuple(10 * value for value in VALUES))]
    said = numbers("maximum", {"top": 13.0, "side": 50.0}, members)
    assert said == {"top": 2, "side": 0}
    assert joined("maximum", said, members) == 2
    assert joined("mean", said, members) == 1
    surprises = numbers("fisher", {"top": 9.0, "side": 90.0}, members)
    assert joined("fisher", surprises, members) == pytest.approx(-2 * math.log(3 / 12))


def test_weights_count_in_every_rule() -> None:
    members = [member("top", weight=3.0), member("side")]
    said = {"top": 1.0, "side": 2.0}
    assert joined("maximum", said, members) == 3
    assert joined("mean", said, members) == pytest.approx(5 / 4)
    assert joined("fisher", said, members) == 5


def test_who_has_measured_nothing_is_left_out() -> None:
    members = [member("top"), member("side", weight=5.0)]
    said = numbers("mean", {"top": 9.0}, members)
    assert joined("mean", said, members) == 1
