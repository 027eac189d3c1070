"""What a line decides on: one value per part, and a statement that is true of it word for word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anomalib_lite.calibration import ScoredImage, calibrate
from anomalib_lite.calibration.units import decided_on, joined, unit_of, with_level
from anomalib_lite.config import Rates
from anomalib_lite.edge.manifest import PER, Joining, Per
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
    for per in set(PER) - {"part-cusum"}:
        assert calibrate(uneven, ONE_PERCENT, grouped=True, per=per).n == 4
        assert calibrate(photographs(1), ONE_PERCENT, grouped=True, per=per).n == 1
    assert calibrate(uneven, ONE_PERCENT, grouped=True, per="part-cusum").n == 2
    with pytest.raises(DataError, match="Hold out more good parts"):
        calibrate(photographs(1), ONE_PERCENT, grouped=True, per="part-cusum")
    said = calibrate(uneven, ONE_PERCENT, grouped=True, per="part-median").statement
    assert "in the same proportions (1 to 3 images each, median 3)." in said[2]
    assert "safe is" not in said[2]


def test_the_mean_of_the_highest_is_of_a_share_that_is_recorded() -> None:
    tenth = calibrate(photographs(20, 20), ONE_PERCENT, grouped=True, per="part-top")
    assert (tenth.top_share, tenth.scores[-1]) == (0.1, 398.5)  # of 399 and 398
    half = calibrate(photographs(20, 20), ONE_PERCENT, grouped=True, per="part-top", top_share=0.5)
    assert (half.top_share, half.scores[-1]) == (0.5, 394.5)
    assert "by the mean of the highest 50 % of the scores of its photographs" in half.statement[1]
    thirds = calibrate(photographs(20, 30), ONE_PERCENT, grouped=True, per="part-top", top_share=0.1)
    assert thirds.scores[-1] == 598.0, "3 of 30, not 4"


def recordings(rng: np.random.Generator, parts: int, each: int = 6) -> list[ScoredImage]:
    """Scores of parts that differ, in the order of their images."""
    scores = rng.normal(1.0, 0.1, (parts, 1)) + rng.gamma(2.0, 0.1, (parts, each))
    names = [(f"p{part:02}.wav", at) for part in range(parts) for at in range(each)]
    return [
        ScoredImage(f"{part}#{at}", part, one, 10 * one) for (part, at), one in zip(names, scores.flat, strict=True)
    ]


def largest_sum(part: list[float], level: float) -> float:
    """The largest sum over any stretch, by its definition."""
    sums = [sum(one - level for one in part[a:b]) for a in range(len(part)) for b in range(a, len(part) + 1)]
    return level + max(sums)


def test_cusum_adds_up_in_order_from_a_level_of_parts_that_certify_nothing() -> None:
    images = recordings(np.random.default_rng(0), 40)
    cusum, others = with_level(images, 0)
    setting = [image.score for image in images if image.group not in {one.group for one in others}]
    assert (cusum.parts, len(setting)) == (5, 30)
    assert cusum.level == pytest.approx(np.mean(setting) + np.std(setting) / 2)
    made = calibrate(images, ONE_PERCENT, grouped=True, per="part-cusum")
    assert (made.cusum, made.n, made.images) == (cusum, 35, 210)
    parts = [[one.score for one in others[at : at + 6]] for at in range(0, 210, 6)]
    assert made.scores == pytest.approx(sorted(largest_sum(part, cusum.level) for part in parts))
    assert made.thresholds.map_reject.base == max(one.map_peak for one in others), "of pixels no sum is taken"
    assert any("comes from 5 further held-out parts, which certify nothing" in line for line in made.statement)
    backwards = calibrate(images[::-1], ONE_PERCENT, grouped=True, per="part-cusum")
    assert backwards.cusum is not None
    assert backwards.cusum.level == pytest.approx(cusum.level), "parts are drawn by their names"
    assert backwards.scores == pytest.approx(made.scores), "the largest stretch is that of both directions"


def test_the_bound_of_cusum_holds() -> None:
    rng, broken, bound = np.random.default_rng(1), [], 1 - 0.05 ** (1 / 30)
    new = np.array([one.score for one in recordings(rng, 3000)]).reshape(3000, 6)
    for _ in range(300):
        cusum, others = with_level(recordings(rng, 35), 0)
        how = Joining("part-cusum", level=cusum.level)
        highest = max(joined(others[at : at + 6], lambda one: one.score, how) for at in range(0, 180, 6))
        total = largest = np.zeros(len(new))
        for column in new.T:
            total = np.maximum(0.0, total + column - cusum.level)
            largest = np.maximum(largest, total)
        broken.append((cusum.level + largest > highest).mean() > bound)
    assert np.mean(broken) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


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
