"""AUROC, AP, AUPRO and rates, by hand and against scikit-learn, scipy and a plain computation of AUPRO."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from anomalib_lite.errors import DataError
from anomalib_lite.metrics import PixelMetrics, Rate, auroc, average_precision

Maps = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]


def test_by_hand() -> None:
    """Good 1 2 3, defective 2 4: of six pairs four are in order and one ties."""
    assert auroc([1, 2, 3], [2, 4]) == pytest.approx(4.5 / 6)
    # thresholds 4 (recall 1/2, precision 1), 3, 2 (recall 1, precision 2/4)
    assert average_precision([1, 2, 3], [2, 4]) == pytest.approx(0.5 * 1 + 0.5 * 0.5)


@pytest.mark.parametrize(("good", "defective"), [([], [1.0]), ([1.0], []), ([], [])])
def test_a_missing_class_has_no_figure(good: list[float], defective: list[float]) -> None:
    assert auroc(good, defective) is None
    assert average_precision(good, defective) is None


scores = st.lists(st.floats(-5, 5, width=16), min_size=1, max_size=30)


@given(scores, scores)
def test_images_agree_with_scikit_learn(good: list[float], defective: list[float]) -> None:
    truth, both = [0] * len(good) + [1] * len(defective), good + defective
    assert auroc(good, defective) == pytest.approx(roc_auc_score(truth, both), abs=1e-12)
    assert average_precision(good, defective) == pytest.approx(average_precision_score(truth, both), abs=1e-12)


def measured(maps: Maps) -> tuple[float, float, float]:
    metrics = PixelMetrics()
    for anomaly_map, mask in maps:
        metrics.add(anomaly_map, mask)
    found = metrics.auroc(), metrics.average_precision(), metrics.aupro()
    assert None not in found
    return found  # type: ignore[return-value]


def exact(maps: Maps) -> tuple[float, float, float]:
    """The same figures from all pixels at once, sorted: every value is a threshold."""
    values = np.concatenate([anomaly_map.ravel() for anomaly_map, _ in maps])
    truth = np.concatenate([mask.ravel() for _, mask in maps])
    order = np.argsort(-values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), values.size - 1)  # of each run of ties

    def above(mass: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        cumulated = np.cumsum(mass[order], dtype=np.float64)[last]
        return np.concatenate([[0.0], cumulated / cumulated[-1]])

    good, defect, region = (
        above(~truth),
        above(truth),
        above(np.concatenate([region_mass(mask).ravel() for _, mask in maps])),
    )
    hits, misses = defect[1:] * truth.sum(), good[1:] * (~truth).sum()
    inside = good <= 0.3
    x, y = np.append(good[inside], 0.3), np.append(region[inside], np.interp(0.3, good, region))
    return (
        float(np.trapezoid(defect, good)),
        float(np.sum(np.diff(defect) * hits / (hits + misses))),
        float(np.trapezoid(y, x) / 0.3),
    )


def region_mass(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """1 / (pixels of its region) at each pixel of a region, 0 elsewhere."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return np.where(mask, 1 / np.bincount(labels.ravel())[labels], 0.0)


def aupro_by_definition(maps: Maps, steps: int = 20_000) -> float:
    """Mean overlap with each region and false-positive rate, threshold by threshold."""
    good = np.concatenate([anomaly_map[~mask] for anomaly_map, mask in maps])
    regions = []
    for anomaly_map, mask in maps:
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [anomaly_map[labels == index] for index in range(1, count + 1)]
    everything = np.unique(np.concatenate([good, *regions]))[::-1]
    thresholds = everything[:: max(1, everything.size // steps)]
    rate = [0.0] + [float((good >= threshold).mean()) for threshold in thresholds]
    overlap = [0.0] + [float(np.mean([(region >= threshold).mean() for region in regions])) for threshold in thresholds]
    x = np.linspace(0, 0.3, 100_001)
    return float(np.trapezoid(np.interp(x, rate, overlap), x) / 0.3)


Draw = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def random_maps(draw: Draw, count: int = 12, side: int = 160, gain: float = 1.5) -> Maps:
    """Smooth masks of several regions on noise that is raised there; `draw` turns normal values into the map's unit."""
    rng = np.random.default_rng(3)
    maps: Maps = []
    for index in range(count):
        mask = ndimage.gaussian_filter(rng.standard_normal((side, side)), 6) > 0.085
        if index % 3 == 0:
            mask[:] = False
        normal = rng.standard_normal((side, side)) + gain * mask + 0.3 * rng.standard_normal()
        maps.append((draw(normal).astype(np.float32), mask))
    return maps


DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda z: z,
    "tiny": lambda z: 1e-30 * z,
    "huge and negative": lambda z: -1e30 + 1e29 * z,
    "offset 100.0 to 100.1": lambda z: 100 + 0.01 * z,
    "heavy tails": lambda z: np.exp(6 * z),
    "heavy tails on both sides": lambda z: np.sinh(4 * z),
    "ties": lambda z: np.round(z, 1),
    "half at zero": lambda z: np.maximum(z, 0),
    "saturated": lambda z: np.tanh(8 * z),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("gain", [0.2, 1.5, 4.0])
def test_pixels_are_within_1e_4_of_the_exact_computation(name: str, gain: float) -> None:
    maps = random_maps(DISTRIBUTIONS[name], gain=gain)
    assert measured(maps) == pytest.approx(exact(maps), abs=1e-4)


def test_the_reference_is_right() -> None:
    """The sorted computation, which the others compare with, against scikit-learn and the plain definition of AUPRO."""
    maps = random_maps(lambda z: np.round(z, 2), count=3, side=60)
    values = np.concatenate([anomaly_map.ravel() for anomaly_map, _ in maps])
    truth = np.concatenate([mask.ravel() for _, mask in maps])
    assert truth.any()
    expected = roc_auc_score(truth, values), average_precision_score(truth, values), aupro_by_definition(maps)
    assert exact(maps) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["normal", "heavy tails", "half at zero"])
def test_many_pixels_are_within_1e_4_of_the_exact_computation(name: str) -> None:
    """6.4 million pixels: neighbours are merged dozens of times."""
    maps = random_maps(DISTRIBUTIONS[name], count=40, side=400)
    assert measured(maps) == pytest.approx(exact(maps), abs=1e-4)


@pytest.mark.slow
def test_rare_defects_are_within_1e_4_of_the_exact_computation() -> None:
    """About 1 of 20,000 pixels is defective, so that precision hangs on the highest good pixels."""
    rng = np.random.default_rng(4)
    maps: Maps = []
    for index in range(30):
        mask = np.zeros((400, 400), bool)
        mask[50:57, 50 : 50 + index % 4] = index < 20
        maps.append((np.exp(rng.standard_normal((400, 400)) + 3.5 * mask).astype(np.float32), mask))
    assert measured(maps) == pytest.approx(exact(maps), abs=1e-4)


def test_small_regions_weigh_as_much_as_large_ones() -> None:
    """Twenty good pixels at 0..19; one region of 1 pixel above them all, one of 9 pixels below them all."""
    anomaly_map = np.zeros((6, 6), np.float32)
    mask = np.zeros((6, 6), bool)
    mask[0, 0] = mask[3:6, 3:6] = True
    anomaly_map[~mask] = np.arange(26)
    anomaly_map[0, 0], anomaly_map[3:6, 3:6] = 99, -1
    metrics = PixelMetrics()
    metrics.add(anomaly_map, mask)
    assert metrics.aupro() == pytest.approx(0.5)
    assert metrics.aupro(max_fpr=1.0) == pytest.approx(0.5)
    assert metrics.auroc() == pytest.approx(0.1)


def test_diagonal_neighbours_are_one_region() -> None:
    anomaly_map = np.array([[9, 0, 0], [0, -1, 0], [0, 0, 9]], np.float32)
    mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    metrics = PixelMetrics()
    metrics.add(anomaly_map, mask)
    # one region of two pixels: half of it is found at FPR 1/7 (the tie at 9), not more before FPR 1
    assert metrics.aupro(0.5) == pytest.approx((0.5 / 7 / 2 + 0.5 * (0.5 - 1 / 7)) / 0.5)


def test_only_valid_pixels_count() -> None:
    rng = np.random.default_rng(5)
    anomaly_map = rng.standard_normal((20, 20)).astype(np.float32)
    mask = np.zeros((20, 20), bool)
    mask[5:10, 5:15] = mask[0, 0] = True
    valid = np.zeros((20, 20), bool)
    valid[2:, 7:] = True
    metrics = PixelMetrics()
    metrics.add(anomaly_map, mask, valid)
    metrics.add(anomaly_map, None, valid)
    maps = [(anomaly_map[2:, 7:], mask[2:, 7:]), (anomaly_map[2:, 7:], np.zeros((18, 13), bool))]
    assert (metrics.auroc(), metrics.average_precision(), metrics.aupro()) == pytest.approx(exact(maps))


def test_no_figure_without_defects_or_without_good_pixels() -> None:
    good, bad, empty = PixelMetrics(), PixelMetrics(), PixelMetrics()
    good.add(np.zeros((2, 2), np.float32))
    bad.add(np.zeros((2, 2), np.float32), np.ones((2, 2), bool))
    for metrics in (good, bad, empty):
        assert metrics.auroc() is metrics.average_precision() is metrics.aupro() is None
    assert PixelMetrics.merged([good, bad]).auroc() == 0.5


def test_a_defect_outside_the_valid_area_counts_as_nothing() -> None:
    metrics = PixelMetrics()
    mask = np.zeros((3, 3), bool)
    mask[0, 0] = True
    metrics.add(np.ones((3, 3), np.float32), mask, ~mask)
    assert metrics.aupro() is None


def test_what_does_not_fit_is_refused() -> None:
    metrics, anomaly_map = PixelMetrics(), np.zeros((2, 3), np.float32)
    with pytest.raises(DataError, match=r"mask has the shape \(3, 2\)"):
        metrics.add(anomaly_map, np.zeros((3, 2), bool))
    with pytest.raises(DataError, match="valid area"):
        metrics.add(anomaly_map, None, np.zeros((3, 2), bool))
    with pytest.raises(DataError, match="not finite"):
        metrics.add(anomaly_map + np.nan)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images() -> None:
    rng = np.random.default_rng(6)
    metrics, peaks = PixelMetrics(), []
    mask = np.zeros((300, 400), bool)
    mask[100:200, 100:200] = True
    tracemalloc.start()
    try:
        for _ in range(3):
            for _ in range(60):
                metrics.add(rng.standard_normal((300, 400)).astype(np.float32), mask)
            peaks.append(tracemalloc.get_traced_memory())
            tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert max(held for held, _ in peaks) < 9 * 2**20
    assert peaks[2][1] < 1.1 * peaks[1][1]


def test_rates_carry_their_interval() -> None:
    assert Rate(0, 29).to_json() == {
        "count": 0,
        "n": 29,
        "value": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.1194, abs=1e-4),
        "confidence": 0.95,
    }
    assert Rate(0, 0).to_json()["value"] is None
    assert Rate(3, 4).counts() == {"count": 3, "n": 4, "value": 0.75}
