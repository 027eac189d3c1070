"""Thresholds from good images: the rule, the parts, the statement, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalib_lite.calibration import Calibration, Exclusion, ScoredImage, calibrate
from anomalib_lite.calibration.binomial import needed
from anomalib_lite.calibration.statement import percent_down, percent_up, sentences
from anomalib_lite.config import Rates
from anomalib_lite.edge.decision import Verdict, decide
from anomalib_lite.edge.manifest import ImagesPerUnit, Thresholds
from anomalib_lite.edge.manifest.parsing import parsed, plain
from anomalib_lite.errors import ConfigError, DataError


def images(scores: Sequence[float], per_part: int = 1) -> list[ScoredImage]:
    """Images a0, a1, ... with these scores, so many per part; the map's peak is twice the score."""
    return [ScoredImage(f"a{i}", f"part{i // per_part}", score, 2 * score) for i, score in enumerate(scores)]


ONE_PERCENT = Rates.of(0.01)


def test_the_largest_good_score_is_the_threshold_where_parts_are_missing() -> None:
    result = calibrate(images([float(i) for i in range(1, 36)]), ONE_PERCENT, grouped=True)
    reject = result.reject
    assert (reject.base, reject.allowed, reject.missing, reject.asked) == (35.0, 0, 264, 0.01)
    assert reject.bound == pytest.approx(1 - 0.05 ** (1 / 35))
    assert reject.tol == pytest.approx(35e-4)
    assert reject.value == reject.base + reject.tol
    assert reject.set_by == ("a34",)
    assert reject.without == pytest.approx(34 * 1.0001)
    assert result.thresholds.map_reject.base == 70.0
    review, peaks = result.review, result.thresholds
    assert (review.base, review.allowed, review.simultaneous) == (32.0, 3, True)
    assert (review.asked, review.missing) == (0.05, 24)
    assert peaks.map_review.base == 64.0
    assert result.limits == Thresholds(
        reject.value, review.value, peaks.map_reject.value, peaks.map_review.value, review.tol
    )


@pytest.mark.parametrize(("n", "review"), [(29, None), (35, 0.01)], ids=["too few for row 3", "no band is wanted"])
def test_without_a_review_band_both_thresholds_are_one(n: int, review: float | None) -> None:
    result = calibrate(images([float(i) for i in range(n)]), Rates.of(0.01, review=review), grouped=True)
    assert not result.has_review_band
    assert result.review.value == result.reject.value
    assert result.statement[2] == f"No review band: with {n} parts the review threshold is the reject threshold."


def test_rows_that_tie_with_the_reject_threshold_make_no_band() -> None:
    scores = [float(min(i, 31)) for i in range(40)]  # the ten highest are one
    assert not calibrate(images(scores), ONE_PERCENT, grouped=True).has_review_band
    scores = [float(min(i, 37)) for i in range(40)]
    assert calibrate(images(scores), ONE_PERCENT, grouped=True).review.base == 36.0


def test_two_thresholds_from_enough_parts() -> None:
    """Of 628, two may lie above reject at 1 %, and 22 above review at 5 %: P(Bin(628, 5 %) <= 22) = 4.6 %."""
    scores = [float(i) for i in range(1, 629)]
    random.Random(0).shuffle(scores)
    result = calibrate(images(scores), ONE_PERCENT, grouped=True)
    assert (result.reject.allowed, result.reject.base, result.reject.bound, result.reject.missing) == (
        2,
        626.0,
        0.01,
        0,
    )
    assert result.review.asked == result.review.bound == 0.05
    assert (result.review.allowed, result.review.base) == (22, 606.0)
    assert result.has_review_band
    verdicts = [decide(score, result.limits) for score in scores]
    assert verdicts.count(Verdict.NG) == 2
    assert verdicts.count(Verdict.REVIEW) == 20


def test_an_outlier_that_the_rule_ignores_does_not_move_the_threshold() -> None:
    """93 parts allow one above at 5 %: whether that one scores 1 or 3e4, the stored threshold is the same."""
    scores = [float(i) / 92 for i in range(92)]
    one, other = (calibrate(images([*scores, last]), Rates.of(0.05), grouped=True).thresholds for last in (1.0, 3e4))
    assert (one.reject.value, one.map_reject.value) == (other.reject.value, other.map_reject.value)
    assert one.reject.allowed == 1


def test_one_value_per_part() -> None:
    result = calibrate(images([1, 9, 2, 3, 8, 4], per_part=2), ONE_PERCENT, grouped=True)
    assert result.scores == (3, 8, 9)
    assert (result.n, result.images, result.images_per_unit, result.unit) == (3, 6, ImagesPerUnit(2, 2, 2), "group")


def test_unknown_parts_count_each_image() -> None:
    result = calibrate(images([1, 9, 2, 3], per_part=4), ONE_PERCENT, grouped=False)
    assert result.scores == (1, 2, 3, 9)
    assert (result.unit, result.images_per_unit.max) == ("image", 1)
    assert "images are rejected if images are independent" in result.statement[0]


def test_a_part_falls_back_to_its_next_image_without_the_one_that_sets_the_threshold() -> None:
    reject = calibrate(images([1, 9, 2, 3, 5, 8.5], per_part=2), ONE_PERCENT, grouped=True).reject
    assert reject.set_by == ("a1",)
    assert reject.without == pytest.approx(8.5 * 1.0001)


def test_a_part_vanishes_with_its_only_image() -> None:
    reject = calibrate(images([9, 5, 7]), ONE_PERCENT, grouped=True).reject
    assert reject.without == pytest.approx(7 * 1.0001)
    assert calibrate(images([9]), ONE_PERCENT, grouped=True).reject.without is None


def test_all_images_that_tie_set_the_threshold_and_none_that_its_part_outdoes() -> None:
    scores = [7.0, 1, 7.0, 2, 3, 4]
    assert calibrate(images(scores, 2), ONE_PERCENT, grouped=True).reject.set_by == ("a0", "a2")
    # r = 1 of 93 at 5 %: the threshold is the second largest; part 0 holds a larger one and an equal one
    request = Rates.of(0.05)
    many = [ScoredImage("high", "p0", 9.0, 0), ScoredImage("same", "p0", 8.0, 0), ScoredImage("sets", "p1", 8.0, 0)]
    many += [ScoredImage(f"x{i}", f"q{i}", 1.0, 0) for i in range(91)]
    reject = calibrate(many, request, grouped=True).reject
    assert (reject.allowed, reject.base, reject.set_by) == (1, 8.0, ("sets",))


def test_dropping_an_image_can_lower_the_number_allowed() -> None:
    """93 parts allow one above at 5 %; 92 allow none, so that the threshold rises."""
    reject = calibrate(images([float(i) for i in range(93)]), Rates.of(0.05), grouped=True).reject
    assert reject.base == 91
    assert reject.without is not None
    assert reject.without > 92


finite = st.floats(-1e30, 1e30, allow_subnormal=False)
several = st.lists(finite, min_size=2, max_size=120).filter(lambda scores: len(set(scores)) > 1)


@given(several, st.integers(1, 4), st.floats(0.005, 0.5), st.floats(0.005, 0.5), st.floats(0.51, 0.99))
def test_asking_for_fewer_false_rejects_never_lowers_a_threshold(
    scores: list[float], per_part: int, rate: float, more: float, confidence: float
) -> None:
    request = Rates.of(rate, confidence, review=min(0.999, rate + more))
    result = calibrate(images(scores, per_part), request, grouped=True)
    assert result.reject.value >= result.review.value
    assert result.thresholds.map_reject.value >= result.thresholds.map_review.value
    for threshold in (result.reject, result.review):
        assert threshold.value >= threshold.base == result.scores[result.n - 1 - threshold.allowed]
        assert threshold.bound >= threshold.asked
        assert (threshold.missing == 0) == (threshold.bound == threshold.asked)


@given(several, st.floats(0.005, 0.5), st.floats(0.51, 0.99), st.floats(0.51, 0.99))
def test_more_confidence_never_lowers_a_threshold(scores: list[float], rate: float, one: float, other: float) -> None:
    low, high = (
        calibrate(images(scores), Rates.of(rate, confidence), grouped=True).reject
        for confidence in sorted((one, other))
    )
    assert high.value >= low.value
    assert high.bound >= low.bound


@given(several, st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_order_of_images_is_of_no_consequence(scores: list[float], per_part: int, order: random.Random) -> None:
    given_order = images(scores, per_part)
    shuffled = given_order.copy()
    order.shuffle(shuffled)
    assert calibrate(shuffled, ONE_PERCENT, grouped=True) == calibrate(given_order, ONE_PERCENT, grouped=True)


@given(several)
def test_no_more_parts_lie_above_than_allowed(scores: list[float]) -> None:
    result = calibrate(images(scores), Rates.of(0.05, 0.6), grouped=True)
    verdicts = [decide(score, result.limits) for score in scores]
    assert verdicts.count(Verdict.NG) <= result.reject.allowed
    assert len(scores) - verdicts.count(Verdict.OK) <= result.review.allowed


@pytest.mark.parametrize(
    ("asked", "review", "expected"),
    [
        (0.01, None, 0.05),
        (0.005, None, 0.05),
        (0.02, None, 0.1),
        (0.3, None, 0.5),
        (0.6, None, 0.6),
        (0.01, 0.01, 0.01),
    ],
)
def test_the_rate_of_the_review_threshold(asked: float, review: float | None, expected: float) -> None:
    assert Rates.of(asked, review=review).review_rate == expected


@pytest.mark.parametrize(
    "arguments",
    [
        (0.0, 0.95),
        (1.0, 0.95),
        (0.01, 0.0),
        (0.01, 0.5),
        (0.01, 1.0),
        (0.01, 0.95, 1.0),
        (math.nan, 0.95),
        (0.02, 0.95, 0.01),
    ],
)
def test_impossible_requests_are_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"calibration\."):
        Rates.of(*arguments)


def test_scores_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(DataError, match=r"no good image is left.*3 could not be measured.*--holdout"):
        calibrate([], ONE_PERCENT, grouped=True, errors=3)
    for broken in (math.nan, -math.inf):
        with pytest.raises(DataError, match="'a1' has the score"):
            calibrate(images([1.0, broken]), ONE_PERCENT, grouped=True)
    with pytest.raises(DataError, match="'a0' is given more than once"):
        calibrate([*images([1.0]), *images([2.0])], ONE_PERCENT, grouped=True)
    with pytest.raises(DataError, match="'b' is to be excluded but is not among the 2"):
        calibrate(images([1.0, 2.0]), ONE_PERCENT, grouped=True, exclusions=[Exclusion("b", "it is torn")])
    with pytest.raises(DataError, match="1 excluded"):
        calibrate(images([1.0]), ONE_PERCENT, grouped=True, exclusions=[Exclusion("a0", "it is torn")])


def test_the_statement_for_few_parts() -> None:
    scores = [float(i) for i in range(1, 141)]
    said = calibrate(images(scores, per_part=4), ONE_PERCENT, grouped=True, errors=2).statement
    assert list(said) == [
        "At most 8.21 % of good parts are rejected (confidence 95 %), from 35 held-out parts, none above the "
        "threshold; asked for 1 %: 299 held-out parts are needed: give 333 new ones to `calibrate --add` (a repeated "
        "calibration needs 368).",
        "Counted per part: it is rejected where any of its photographs is.",
        "For parts made and photographed like these, 4 images each: fewer images per part are on the safe side, more "
        "void the bound.",
        "At most 23.7 % of good parts are not OK, that is REVIEW or NG (confidence 95 %), 3 of them allowed above the "
        "threshold: row 3 of the menu, since the threshold for 5 % would not lie below that of NG. Each of the two "
        "statements holds at its confidence, not both jointly.",
        "The reject threshold 140.014 is set by a139; without it it would be 139.014.",
        "The review threshold 128.013 is set by a127; without it it would be 127.013.",
        "The map reject threshold 280.028 is set by a139; without it it would be 278.028.",
        "The map review threshold 256.026 is set by a127; without it it would be 254.025.",
        "2 further images could not be measured (ERROR, 1.41 % of all): the bound is about images that could be "
        "measured.",
    ]


def test_parts_of_uneven_numbers_of_images_are_covered_as_a_mixture_alone() -> None:
    uneven = [*images([float(i) for i in range(30)]), ScoredImage("more", "part0", 0.5, 1.0)]
    known = calibrate(uneven, ONE_PERCENT, grouped=True)
    assert known.statement[2] == (
        "For parts made and photographed like these, in the same proportions (1 to 2 images each, median 1); safe is "
        "at most 1 image each."
    )
    older = dataclasses.replace(known, images_per_unit=ImagesPerUnit(1, 2))
    assert sentences(older)[2].endswith("in the same proportions (up to 2 images each, median 1).")


def test_the_statement_for_enough_images_excluded_and_calibrated_again() -> None:
    first = calibrate(images([1.0] * 473 + [0.5]), ONE_PERCENT, grouped=False)
    second = calibrate(
        images([float(i) for i in range(474)]),
        ONE_PERCENT,
        grouped=False,
        exclusions=[Exclusion("a473", "it is scratched")],
        history=first.as_history(),
    )
    said = "\n".join(second.statement)
    for part in (
        "At most 1 % of good images are rejected if images are independent (confidence 95 %), from 473 held-out images"
        ", none above the threshold.\n",
        "At most 5 % of good images are not OK, that is REVIEW or NG (confidence 95 %)",
        "not both jointly",
        "Excluded: a473, because it is scratched.",
        "The bound holds if the excluded are confirmed not good.",
        "Calibrated 1 time before",
    ):
        assert part in said
    assert "a0, a1, a10 and 470 more; without them it would be 0.50005" in "\n".join(first.statement)
    alone = calibrate(images([1.0]), ONE_PERCENT, grouped=False)
    assert "a0; without it there would be none" in "\n".join(alone.statement)


@pytest.mark.parametrize(
    ("rate", "up", "down"),
    [
        (0.08203, "8.21 %", "8.2 %"),
        (0.07, "7 %", "7 %"),
        (0.01, "1 %", "1 %"),
        (0.002991, "0.3 %", "0.299 %"),
        (0.99989, "99.99 %", "99.98 %"),
        (1e-7, "0.00001 %", "0.00001 %"),
        (0.9999999, "100 %", "99.99 %"),
        (0.0, "0 %", "0 %"),
    ],
)
def test_percentages_never_claim_too_much(rate: float, up: str, down: str) -> None:
    assert (percent_up(rate), percent_down(rate)) == (up, down)


@given(st.floats(1e-9, 1))
def test_rounded_percentages_stay_on_their_side(rate: float) -> None:
    up, down = (float(text.removesuffix(" %")) / 100 for text in (percent_up(rate), percent_down(rate)))
    assert down <= rate * (1 + 1e-15)
    assert up >= rate * (1 - 1e-15)
    assert up - down <= 0.0101 * rate


def test_json_comes_back_the_same_and_holds_what_a_device_needs() -> None:
    first = calibrate(images([3.0, 1.5, 2.0]), ONE_PERCENT, grouped=True)
    result = calibrate(
        images([0.1, 0.7, 0.3]),
        ONE_PERCENT,
        grouped=True,
        errors=1,
        exclusions=[Exclusion("a0", "it is torn")],
        history=first.as_history(),
    )
    text = json.dumps(plain(result), allow_nan=False)
    assert parsed(Calibration, json.loads(text)) == result
    assert json.loads(text)["statement"] == list(result.statement)
    assert json.loads(text)["n"] == 2


def test_history_is_a_flat_list_oldest_first() -> None:
    last = calibrate(images([1.0]), ONE_PERCENT, grouped=True)
    for score in (2.0, 3.0):
        last = calibrate(images([score]), ONE_PERCENT, grouped=True, history=last.as_history())
    assert [earlier["scores"] for earlier in last.history] == [[1.0], [2.0]]
    assert all("history" not in earlier for earlier in last.history)


def test_a_calibration_cannot_be_changed() -> None:
    result = calibrate(images([1.0, 2.0]), ONE_PERCENT, grouped=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.reject.value = 0.0  # type: ignore[misc]


def test_scores_that_are_all_the_same_certify_nothing() -> None:
    """Such as those of a model whose white level is 1e-30."""
    same = [ScoredImage(f"{number}.png", f"part{number}", 3.5, float(number)) for number in range(20)]
    with pytest.raises(DataError, match=r"all 20 images have the score 3\.5"):
        calibrate(same, Rates(), grouped=True)
    calibrate(same[:1], Rates(), grouped=True)
    calibrate([*same, ScoredImage("other.png", "other", 3.6, 1.0)], Rates(), grouped=True)


def test_a_repeated_calibration_is_paid_for() -> None:
    """The k-th is held to delta / 2^k: parts for 1 % grow from 299 to 368, 437, 505."""
    scores = [float(i) for i in range(35)]
    last = calibrate(images(scores), ONE_PERCENT, grouped=True, holdout=0.3)
    for k, parts in enumerate((299, 368, 437, 505)):
        assert last.reject.bound == pytest.approx(1 - (0.05 / 2**k) ** (1 / 35))
        assert last.reject.missing == parts - 35
        more = needed(0.01, 1 - 0.05 / 2 ** (k + 1))
        adding = f"give {more - 35} new ones to `calibrate --add` (a repeated calibration needs {more})"
        assert adding in last.statement[0]
        assert "train again with 997 good parts in all" in last.statement[0], "which is a first calibration"
        last = calibrate(images(scores), ONE_PERCENT, grouped=True, holdout=0.3, history=last.as_history())
    assert last.statement[-1] == (
        "Calibrated 4 times before: to pay for that, this one is held to 99.68 %. All repetitions together break a "
        "bound in at most 5 % of cases, with the first calibration in at most 10 %."
    )
    assert last.menu[0].bound > calibrate(images(scores), ONE_PERCENT, grouped=True).menu[0].bound


def test_a_history_of_twelve_calibrations() -> None:
    last = calibrate(images([1.0, 2.0]), Rates.of(0.01, 1 - 1e-6), grouped=True)
    for _ in range(60):
        last = calibrate(images([1.0, 2.0]), Rates.of(0.01, 1 - 1e-6), grouped=True, history=last.as_history())
        assert 0 < last.reject.bound < 1
    assert len(last.history) == 60


def test_a_history_of_older_versions_was_not_paid_for_and_nothing_joint_is_said() -> None:
    last = calibrate(images([1.0, 2.0]), ONE_PERCENT, grouped=True)
    for _ in range(2):
        last = calibrate(images([1.0, 2.0]), ONE_PERCENT, grouped=True, history=last.as_history())
    older = tuple({key: value for key, value in one.items() if key != "menu"} for one in last.history)
    said = sentences(dataclasses.replace(last, history=older))[-1]
    assert said == "Calibrated 2 times before: to pay for that, this one is held to 98.7 %."


def test_trainings_on_the_same_images_are_recorded() -> None:
    said = calibrate(images([1.0, 2.0]), ONE_PERCENT, grouped=True, retrained=2).statement[-1]
    assert said.startswith("Trained 2 times before and calibrated on some of the same images: the bound is about each")
