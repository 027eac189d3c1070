"""The guarantee, measured: simulated scores of many shapes, parts photographed several times, and real images.

A violation is a calibration whose true false-reject rate lies above the bound that it prints. At 95 % confidence at
most 5 % of calibrations may be violations, whatever the distribution of the scores.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter
from scipy import stats

from anomalib_lite.calibration import ScoredImage, calibrate
from anomalib_lite.calibration.binomial import bound_of_maximum, largest_allowed
from anomalib_lite.config import Rates
from anomalib_lite.edge.decision import TOLERANCE

Floats = npt.NDArray[np.float64]

ASKED, CONFIDENCE, REPETITIONS = 0.01, 0.95, 4000
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPETITIONS)  # 5 % and three standard errors


def thresholds(scores: Floats, asked: float) -> tuple[Floats, float]:
    """Stored thresholds of many calibrations at once, one per row of one value per part; and the bound they print."""
    n = scores.shape[1]
    allowed = largest_allowed(n, asked, CONFIDENCE)
    bound = bound_of_maximum(n, CONFIDENCE) if allowed is None else asked
    base = np.partition(scores, n - 1 - (allowed or 0), axis=1)[:, n - 1 - (allowed or 0)]
    return base + TOLERANCE * np.maximum(np.abs(base), base - scores.min(axis=1)), bound


def agrees_with_the_package(scores: Floats, values: Floats, bound: float, per_part: int = 1) -> None:
    """The vectorised thresholds of this module are those of `calibrate`, on the first few rows."""
    for row, value in zip(scores[:5], values, strict=False):
        given = [ScoredImage(f"{i}", f"part{i // per_part}", float(score), 0.0) for i, score in enumerate(row)]
        result = calibrate(given, Rates.of(ASKED, CONFIDENCE), grouped=True)
        assert (result.reject.value, result.reject.bound) == (value, bound)


SHAPES: dict[str, Any] = {
    "log-normal": stats.lognorm(1.0),
    "t with 3 degrees": stats.t(3),
    "gamma": stats.gamma(2.0),
    "discrete with ties": stats.poisson(4.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 59, 299, 1000])
@pytest.mark.parametrize("shape", SHAPES)
def test_violations_are_as_rare_as_promised(shape: str, n: int) -> None:
    rng = np.random.default_rng([n, *shape.encode()])
    scores = np.asarray(SHAPES[shape].rvs((REPETITIONS, n), random_state=rng), np.float64)
    values, bound = thresholds(scores, ASKED)
    agrees_with_the_package(scores, values, bound)
    violations = float(np.mean(SHAPES[shape].sf(values) > bound))
    assert violations <= MOST
    if shape != "discrete with ties":  # not by being far too careful
        assert violations >= 0.015


def equicorrelated(rng: np.random.Generator, parts: tuple[int, ...], images: int, correlation: float) -> Floats:
    """Log-normal scores (*parts, images); the logarithms of one part's images are correlated."""
    part = rng.standard_normal((*parts, 1))
    noise = rng.standard_normal((*parts, images))
    return np.asarray(np.exp(math.sqrt(correlation) * part + math.sqrt(1 - correlation) * noise))


def part_rejection(values: Floats, images: int, correlation: float) -> Floats:
    """True probability that one of a new part's images lies above each value, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    inner = (np.log(values)[:, None] - math.sqrt(correlation) * nodes) / math.sqrt(1 - correlation)
    return np.asarray(-np.expm1(images * stats.norm.logcdf(inner)) @ (weights / weights.sum()))


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "images"), [(15, 20), (30, 5), (59, 3), (299, 5)])
def test_the_bound_holds_per_part_for_repeated_images(parts: int, images: int) -> None:
    rng = np.random.default_rng([parts, images])
    scores = equicorrelated(rng, (REPETITIONS, parts), images, 0.7)
    values, bound = thresholds(scores.max(axis=2), ASKED)
    agrees_with_the_package(scores.reshape(REPETITIONS, -1), values, bound, per_part=images)
    violations = float(np.mean(part_rejection(values, images, 0.7) > bound))
    assert 0.015 <= violations <= MOST


@pytest.mark.slow
def test_unequal_numbers_of_images_are_covered_in_the_same_proportions_or_at_the_smallest() -> None:
    """What the statement says of 59 parts, half of them photographed once and half ten times; and why not more."""
    rng = np.random.default_rng(59)
    scores = equicorrelated(rng, (REPETITIONS, 59), 10, 0.3)
    often = rng.random((REPETITIONS, 59)) < 0.5
    values, bound = thresholds(np.where(often, scores.max(axis=2), scores[..., 0]), ASKED)
    once, ten = (part_rejection(values, images, 0.3) for images in (1, 10))
    assert np.mean((once + ten) / 2 > bound) <= MOST
    assert np.mean(once > bound) <= MOST
    assert np.mean(ten > bound) > 2 * MOST


@pytest.mark.slow
def test_counting_repeated_images_as_parts_breaks_it() -> None:
    """Why calibration is per part: 15 parts x 20 images, taken for 300 independent images."""
    rng = np.random.default_rng(0)
    scores = equicorrelated(rng, (REPETITIONS, 15), 20, 0.7).reshape(REPETITIONS, -1)
    values, bound = thresholds(scores, ASKED)
    assert bound == ASKED
    per_image = part_rejection(values, 1, 0.7)  # even the rate of single images, not of parts
    assert np.mean(per_image > bound) > 0.25


def rejection_over_splits(
    scored: Sequence[ScoredImage], request: Rates, splits: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Calibrate on one random half of the parts, count rejected parts in the other, many times.

    Returns:
        Mean share of rejected parts, and the most it may be: (r + 1) / (n + 1) plus twice the standard deviation of
        one beta-binomial split. The splits overlap: no independence is assumed, so averaging narrows nothing.
    """
    groups = sorted({image.group for image in scored})
    n = len(groups) // 2
    rng = np.random.default_rng(seed)
    shares, allowed = [], 0
    for _ in range(splits):
        chosen = set(rng.permutation(groups)[:n].tolist())
        result = calibrate([image for image in scored if image.group in chosen], request, grouped=True)
        allowed = result.reject.allowed
        others = {image.group for image in scored} - chosen
        rejected = {image.group for image in scored if image.group in others and image.score > result.reject.value}
        shares.append(len(rejected) / len(others))
    m = len(groups) - n
    band = stats.betabinom(m, allowed + 1, n - allowed).std() / m
    return float(np.mean(shares)), (allowed + 1) / (n + 1) + 2 * band


def test_exchangeable_parts_are_rejected_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(0)
    scores = equicorrelated(rng, (200,), 3, 0.7)
    scored = [
        ScoredImage(f"{part}-{i}", f"{part}", float(score), 0.0)
        for part, row in enumerate(scores)
        for i, score in enumerate(row)
    ]
    mean, most = rejection_over_splits(scored, Rates.of(0.05, 0.95))
    assert 0 < mean <= most


TILES = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnetic_tile"


def largest_residue(path: Path) -> float:
    """A simple score: the largest difference between a photograph and its median-filtered self, in grey levels."""
    with Image.open(path) as image:
        grey = image.convert("L")
    smooth = grey.filter(ImageFilter.MedianFilter(3))
    return float(np.abs(np.asarray(grey, np.int16) - np.asarray(smooth, np.int16)).max())


@pytest.mark.slow
@pytest.mark.skipif(not TILES.is_dir(), reason="needs ../shared/data/magnetic_tile, which is not part of the project")
def test_real_tiles_are_rejected_no_more_often_than_promised() -> None:
    with (TILES / "samples.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train" and row["label"] == "good"]
    scored = [ScoredImage(row["image"], row["group"], largest_residue(TILES / row["image"]), 0.0) for row in rows]
    assert len({image.group for image in scored}) == 117
    for asked in (0.01, 0.05, 0.1, 0.2):
        mean, most = rejection_over_splits(scored, Rates.of(asked, 0.95))
        assert mean <= most
