"""The evaluation: which image counts for which figure, by part and by kind."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from anomalib_lite.calibration.binomial import exact_interval
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.metrics import Evaluation

OK, REVIEW, NG, ERROR = Verdict.OK, Verdict.REVIEW, Verdict.NG, Verdict.ERROR


def a_map(seed: int, raised: float = 0.0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    mask = np.zeros((12, 10), bool)
    mask[2:5, 3:6] = True
    return (rng.standard_normal((12, 10)) + raised * mask).astype(np.float32), mask


def test_false_rejects_are_counted_in_parts_and_in_images_beside() -> None:
    """Part a: NG once of three. Part c: an ERROR. Part d: good."""
    evaluation = Evaluation(grouped=True)
    for group, verdict in [("a", OK), ("a", NG), ("a", OK), ("c", ERROR), ("d", OK)]:
        evaluation.add("good", group, verdict, 1.0)
    rate = evaluation.metrics()["false_reject_rate"]
    assert (rate["count"], rate["n"], rate["unit"]) == (1, 2, "group")
    assert (rate["low"], rate["high"]) == exact_interval(1, 2)
    assert rate["images"] == {"count": 1, "n": 4, "value": 1 / 4}


def test_a_part_with_a_defect_elsewhere_is_no_good_part() -> None:
    """Its good images stand on a line of their own, also where the defect could not be measured, or comes first."""
    evaluation = Evaluation(grouped=True)
    evaluation.add("crack", "b", NG, 5.0)
    for group, verdict in [("a", OK), ("b", NG), ("b", OK), ("c", OK)]:
        evaluation.add("good", group, verdict, 1.0)
    evaluation.add("crack", "c", ERROR, 0.0)
    metrics = evaluation.metrics()
    good, others = metrics["false_reject_rate"], metrics["false_reject_rate_of_defective_parts"]
    assert (good["count"], good["n"], good["images"]["n"]) == (0, 1, 1)
    assert (others["count"], others["n"], others["images"]) == (1, 2, {"count": 1, "n": 3, "value": 1 / 3})
    assert metrics["good"] == 4


def test_escapes_are_counted_before_and_after_review() -> None:
    """Images that show a defect; parts with any of them let through; parts with all of them let through."""
    evaluation = Evaluation(grouped=True)
    for kind, group, verdict in [
        ("crack", "a", NG),
        ("crack", "a", REVIEW),
        ("crack", "b", NG),
        ("fray", "b", OK),
        ("fray", "c", NG),
        ("fray", "d", ERROR),
        ("fray", "e", REVIEW),
        ("fray", "e", REVIEW),
        ("good", "e", NG),  # a false alarm does not find the defect
    ]:
        evaluation.add(kind, group, verdict, 1.0)
    metrics = evaluation.metrics()
    counted = {
        name: {kind: (rate["count"], rate["n"]) for kind, rate in metrics[name].items()}
        for name in ("escape_rate", "escape_rate_after_review")
    }
    assert counted == {
        "escape_rate": {"images": (4, 7), "parts_any": (3, 4), "parts_wholly": (1, 4)},
        "escape_rate_after_review": {"images": (1, 7), "parts_any": (1, 4), "parts_wholly": (0, 4)},
    }
    any_of_them, images = metrics["escape_rate"]["parts_any"], metrics["escape_rate"]["images"]
    assert (any_of_them["low"], any_of_them["high"]) == exact_interval(3, 4)
    assert images == {"count": 4, "n": 7, "value": 4 / 7}, "an interval over images of the same parts is not valid"
    crack, fray = (metrics["per_kind"][kind] for kind in ("crack", "fray"))
    assert (crack["n"], crack["escape_rate"]["parts_any"]["count"], crack["escape_rate"]["parts_any"]["n"]) == (3, 1, 2)
    assert (fray["n"], fray["escape_rate_after_review"]["parts_any"]["count"]) == (4, 1)
    assert metrics["errors"] == {"count": 1, "rate": 1 / 9}


def test_without_parts_escapes_are_those_of_images() -> None:
    evaluation = Evaluation(grouped=False)
    for verdict in (OK, NG, NG):
        evaluation.add("crack", "same", verdict, 1.0)
    escaped = evaluation.metrics()["escape_rate"]
    assert (escaped["images"]["count"], escaped["images"]["n"]) == (1, 3)
    assert (escaped["images"]["low"], escaped["images"]["high"]) == exact_interval(1, 3)
    assert escaped["parts_any"] is escaped["parts_wholly"] is None


def test_without_parts_each_image_counts_on_its_own() -> None:
    evaluation = Evaluation(grouped=False)
    for verdict in (NG, NG, OK):
        evaluation.add("good", "same", verdict, 1.0)
    rate = evaluation.metrics()["false_reject_rate"]
    assert (rate["count"], rate["n"], rate["unit"]) == (2, 3, "image")


def test_errors_enter_no_other_figure() -> None:
    evaluation = Evaluation(grouped=True)
    evaluation.add("good", "a", OK, 1.0)
    evaluation.add("crack", "b", NG, 2.0)
    before = evaluation.metrics()
    evaluation.add("good", "c", ERROR, float("nan"), np.full((2, 2), np.nan, np.float32))
    evaluation.add("dent", "d", ERROR, float("nan"))
    after = evaluation.metrics()
    assert after["errors"] == {"count": 2, "rate": 0.5}
    assert after["per_kind"]["dent"]["n"] == 0
    assert after["per_kind"]["dent"]["image_auroc"] is None
    for name in ("image_auroc", "image_ap", "false_reject_rate", "escape_rate", "good", "n"):
        assert after[name] == before[name]


def test_a_kind_is_measured_against_all_good_and_no_other_kind() -> None:
    alone, both = Evaluation(grouped=True), Evaluation(grouped=True)
    for evaluation in (alone, both):
        for seed in range(4):
            evaluation.add("good", f"g{seed}", OK, float(seed), a_map(seed)[0])
        evaluation.add("crack", "c", NG, 2.5, *a_map(9, raised=2))
    both.add("fray", "f", NG, 3.5, *a_map(10, raised=1))
    whole, one = both.metrics(), alone.metrics()
    assert whole["per_kind"]["crack"] == one["per_kind"]["crack"]
    assert one["image_auroc"] == one["per_kind"]["crack"]["image_auroc"] == 0.75
    assert whole["pixel_auroc"] != one["pixel_auroc"]
    assert whole["image_auroc"] == (0.75 + 1) / 2


def test_defects_without_a_mask_are_counted_and_left_out_of_the_pixels() -> None:
    evaluation = Evaluation(grouped=True)
    evaluation.add("good", "g", OK, 1.0, a_map(0)[0])
    evaluation.add("crack", "a", NG, 2.0, *a_map(1, raised=2))
    before = evaluation.metrics()
    evaluation.add("crack", "b", NG, 3.0, a_map(2)[0], None)
    after = evaluation.metrics()
    assert (after["without_mask"], after["per_kind"]["crack"]["without_mask"], after["n"]) == (1, 1, 2)
    assert [after[name] for name in ("pixel_auroc", "pixel_ap", "aupro")] == [
        before[name] for name in ("pixel_auroc", "pixel_ap", "aupro")
    ]


def test_reading_the_figures_does_not_disturb_the_count() -> None:
    often, once = Evaluation(grouped=True), Evaluation(grouped=True)
    for seed in range(3):
        for evaluation in (often, once):
            evaluation.add("good", f"g{seed}", OK, float(seed), a_map(seed)[0], ms=2.0)
            evaluation.add("crack", f"c{seed}", NG, 1.5, *a_map(seed + 5, raised=1), ms=4.0)
        often.metrics()
    assert often.metrics() == once.metrics()


def test_verdicts_add_up_by_label() -> None:
    evaluation = Evaluation(grouped=True)
    for label, verdict in [("good", OK), ("good", NG), ("crack", NG), ("crack", ERROR), ("crack", REVIEW)]:
        evaluation.add(label, "p", verdict, 1.0)
    assert evaluation.verdicts() == {
        "all": {"OK": 1, "REVIEW": 1, "NG": 2, "ERROR": 1},
        "crack": {"OK": 0, "REVIEW": 1, "NG": 1, "ERROR": 1},
        "good": {"OK": 1, "REVIEW": 0, "NG": 1, "ERROR": 0},
    }


def test_the_auroc_has_an_interval_over_parts() -> None:
    """The same in each run; wider where the images are of fewer parts; per kind, too."""
    intervals = []
    for per_part in (1, 4):
        evaluation = Evaluation(grouped=True)
        for i in range(40):
            evaluation.add("good", f"g{i // per_part}", OK, float(i // per_part))
            evaluation.add("crack", f"c{i // per_part}", NG, 20.5 / per_part + float(i // per_part))
        first, again = evaluation.metrics(), evaluation.metrics()
        assert first == again
        assert first["per_kind"]["crack"]["image_auroc_interval"] == first["image_auroc_interval"]
        interval = first["image_auroc_interval"]
        assert interval["low"] < first["image_auroc"] < interval["high"]
        assert (interval["unit"], interval["method"], interval["confidence"]) == ("group", "bootstrap", 0.95)
        intervals.append(interval["high"] - interval["low"])
    assert intervals[1] > 1.5 * intervals[0]


def test_latency_is_given_where_it_was_measured() -> None:
    evaluation = Evaluation(grouped=True)
    assert evaluation.metrics()["latency_ms_p50"] is None
    for ms in range(101):
        evaluation.add("good", "a", OK, 1.0, ms=float(ms))
    metrics = evaluation.metrics()
    assert (metrics["latency_ms_p50"], metrics["latency_ms_p95"]) == pytest.approx((50, 95))


def test_the_figures_are_strict_json_even_where_there_are_none() -> None:
    empty = Evaluation(grouped=True).metrics()
    assert json.loads(json.dumps(empty, allow_nan=False)) == empty
    assert {"image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro", "per_kind", "errors"} <= empty.keys()
    assert empty["false_reject_rate"]["value"] is None
