"""What a line decides on: one value per part, and a statement that is true of it word for word."""

from __future__ import annotations

import math

import pytest

from anomalib_lite.calibration import ScoredImage, calibrate
from anomalib_lite.calibration.units import decided_on, unit_of
from anomalib_lite.config import Rates
from anomalib_lite.edge.manifest import PER, Per
from anomalib_lite.errors import DataError

ONE_PERCENT = Rates.of(0.01)


def photographs(n: int = 35, each: int = 4) -> list[ScoredImage]:
    """Scores 0, 1, 2, ... in the order of parts; the map's peak is twice the score."""
    return [
        ScoredImage(f"p{part:03}_{shot}.png", f"p{part:03}", float(each * part + shot), 2.0 * (each * part + shot))
        for part in range(n)
        for shot in range(each)
    ]


@pytest.mark.parametrize(
    ("per", "highest"), [("part", 139.0), ("part-median", 137.5), ("part-mean", 137.5)], ids=lambda one: str(one)
)
def test_one_value_of_each_part_by_hand(per: Per, highest: float) -> None:
    made = calibrate(photographs(), ONE_PERCENT, grouped=True, per=per)
    assert (made.n, made.images, made.per, made.scores[-1], made.reject.base) == (35, 140, per, highest, highest)
    assert made.thresholds.map_reject.base == 2 * highest
    assert made.reject.bound == pytest.approx(1 - 0.05 ** (1 / 35)), "each unit is certified alike"


def test_one_photograph_of_each_part_is_drawn_by_the_seed_and_stays_where_parts_are_added() -> None:
    images = photographs()
    drawn = {part[0].group: part[0].image for part in decided_on(images, "photograph", 0)}
    assert len(drawn) == 35
    shots = {name[-5] for name in drawn.values()}
    assert shots == set("0123"), "of all photographs"
    fewer = {part[0].group: part[0].image for part in decided_on(images[40:], "photograph", 0)}
    assert fewer.items() < drawn.items()
    other = {part[0].group: part[0].image for part in decided_on(images, "photograph", 1)}
    assert 10 < sum(other[part] != drawn[part] for part in drawn) < 35
    made = calibrate(images, ONE_PERCENT, grouped=True, per="photograph")
    by_name = {image.image: image.score for image in images}
    assert list(made.scores) == sorted(by_name[name] for name in drawn.values())
    assert made.reject.set_by == (drawn["p034"],)


def test_parts_with_different_numbers_of_photographs_and_a_single_part() -> None:
    uneven = [*photographs(3, 3), ScoredImage("alone.png", "alone", 2.5, 5.0)]
    for per in PER:
        assert calibrate(uneven, ONE_PERCENT, grouped=True, per=per).n == 4
        assert calibrate(photographs(1), ONE_PERCENT, grouped=True, per=per).n == 1
    said = calibrate(uneven, ONE_PERCENT, grouped=True, per="part-median").statement
    assert "in the same proportions (1 to 3 images each, median 3)." in said[2]
    assert "safe is" not in said[2]


@pytest.mark.parametrize(
    ("per", "begins", "counted", "scope"),
    [
        (
            "photograph",
            "At most 8.21 % of photographs of good parts are rejected (confidence 95 %), from 35 held-out parts, one "
            "photograph of each, none above",
            "Counted per photograph: of each held-out part one was drawn by the seed.",
            "each part counting once, however often it is photographed.",
        ),
        (
            "part-median",
            "At most 8.21 % of good parts are rejected (confidence 95 %), from 35 held-out parts, none above",
            "Counted per part, decided once by the median of the scores of its photographs",
            "4 images each: with other numbers there is no bound.",
        ),
        (
            "part",
            "At most 8.21 % of good parts are rejected (confidence 95 %), from 35 held-out parts, none above",
            "Counted per part: it is rejected where any of its photographs is.",
            "fewer images per part are on the safe side, more void the bound.",
        ),
    ],
)
def test_the_statement_says_what_is_counted(per: Per, begins: str, counted: str, scope: str) -> None:
    said = calibrate(photographs(), ONE_PERCENT, grouped=True, per=per).statement
    assert said[0].startswith(begins)
    assert said[1].startswith(counted)
    assert said[2].endswith(scope)


def test_photographs_are_counted_where_parts_have_several() -> None:
    assert unit_of(None, photographs(), grouped=True) == "photograph"
    assert unit_of(None, photographs(each=1), grouped=True) == "part"
    assert unit_of(None, photographs(), grouped=False) == "part"
    assert unit_of("part", photographs(), grouped=True) == "part"
    assert "Counted" not in "".join(calibrate(photographs(each=1), ONE_PERCENT, grouped=True).statement)


def test_parts_must_be_known_to_be_decided_on() -> None:
    with pytest.raises(DataError, match=r"--per part-mean decides once for a part.*--group REGEX"):
        calibrate(photographs(), ONE_PERCENT, grouped=False, per="part-mean")
    assert calibrate(photographs(), ONE_PERCENT, grouped=False, per="photograph").n == 140


def test_a_part_of_which_the_gate_refused_one_photograph() -> None:
    images = photographs()
    refused = [ScoredImage(one.image, one.group, math.inf, math.inf) if one.score == 139 else one for one in images]
    for per in ("part", "part-mean", "part-median"):
        made = calibrate(refused, ONE_PERCENT, grouped=True, per=per)
        assert made.refused == 1, "as inspect_part calls it ERROR"
