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
    """Part a: NG once of three. Part b: good and defective images, only the good ones count. Part c: an ERROR."""
    evaluation = Evaluation(grouped=True)
    for group, verdict in [("a", OK), ("a", NG), ("a", OK), ("b", OK), ("b", REVIEW), ("c", ERROR), ("d", OK)]:
        evaluation.add("good", group, verdict, 1.0)
    evaluation.add("crack", "b", NG, 5.0)
    rate = evaluation.metrics()["false_reject_rate"]
    assert (rate["count"], rate["n"], rate["unit"]) == (1, 3, "group")
    assert (rate["low"], rate["high"]) == exact_interval(1, 3)
    assert rate["images"] == {"count": 1, "n": 6, "value": 1 / 6}


def test_escapes_are_counted_before_and_after_review() -> None:
    """A part has escaped when any image that shows a defect was let through."""
    evaluation = Evaluation(grouped=True)
    for kind, group, verdict in [
        ("crack", "a", NG),
        ("crack", "a", REVIEW),
        ("crack", "b", NG),
        ("fray", "b", OK),
        ("fray", "c", NG),
        ("fray", "d", ERROR),
    ]:
        evaluation.add(kind, group, verdict, 1.0)
    metrics = evaluation.metrics()
    assert [metrics[name]["count"] for name in ("escape_rate", "escape_rate_after_review")] == [2, 1]
    assert metrics["escape_rate"]["n"] == 3
    assert metrics["escape_rate"]["images"] == {"count": 2, "n": 5, "value": 0.4}
    crack, fray = metrics["per_kind"]["crack"], metrics["per_kind"]["fray"]
    assert (crack["n"], crack["escape_rate"]["count"], crack["escape_rate"]["n"]) == (3, 1, 2)
    assert (fray["n"], fray["escape_rate_after_review"]["count"], fray["escape_rate_after_review"]["n"]) == (2, 1, 2)
    assert metrics["errors"] == {"count": 1, "rate": 1 / 6}


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
