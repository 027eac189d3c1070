"""The detector `logic`: what it counts, how far that is from good images, and where the map says that it comes from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anomalib_lite_logic.config import LogicConfig
from anomalib_lite_logic.detector import Logic
from plain_run import PlainRun
from sklearn.covariance import LedoitWolf
from torch import Tensor
from torch.nn.functional import avg_pool2d

from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite.errors import DataError
from anomalib_lite.registry import load
from anomalib_lite.training.plan import configure
from anomalib_lite.training.request import Request

SPEC = ImageSpec(height=64, width=96, channels=1, dtype="uint8", white=255)
RANDOM: dict[str, Any] = {"weights": "none", "layers": ("blocks.1", "blocks.2"), "words": 8}  # 16 x 24 places
LEFT, RIGHT = 8, 64  # columns at which parts lie


def tray(seed: int, left: str = "square", right: str = "stripes") -> Tensor:
    """(1, 1, 64, 96) with a part on either side, each moved a little."""
    random = np.random.default_rng(seed)
    pixels = 0.4 + random.normal(0, 0.01, (64, 96))
    parts = {
        "square": np.full((20, 20), 0.9),
        "stripes": (np.arange(20) // 2 % 2)[:, None] * np.ones(20),
        "nothing": np.full((20, 20), 0.4),
    }
    for kind, column in ((left, LEFT), (right, RIGHT)):
        top, first = 22 + random.integers(-3, 4), column + random.integers(-3, 4)
        pixels[top : top + 20, first : first + 20] = parts[kind]
    return torch.from_numpy(pixels.astype(np.float32))[None, None]


GOOD = torch.cat([tray(seed) for seed in range(40)])


def fit(batches: list[Batch], **options: Any) -> Logic:
    torch.manual_seed(0)
    detector = Logic(LogicConfig(**RANDOM | options), SPEC)
    detector.eval()
    detector.fit(batches, PlainRun())
    return detector


@cache
def fitted(positions: bool = True) -> Logic:
    return fit([Batch(GOOD[:25]), Batch(GOOD[25:])], positions=positions)


def score(detector: Logic, image: Tensor) -> float:
    return float(detector(image)[1])


@torch.no_grad()
def test_the_score_is_the_distance_of_counts_and_positions_from_those_of_good_images() -> None:
    detector = fitted()
    fine, coarse = (avg_pool2d(one, 3, 1, 1, count_include_pad=False) for one in detector.backbone(GOOD))
    features = torch.cat([fine, torch.nn.functional.interpolate(coarse, fine.shape[2:], mode="bilinear")], 1)
    units = ((features - detector.mean) / detector.spread).flatten(2).transpose(1, 2)  # (40, places, d)
    squares = torch.cdist(units.double(), detector.centres.double()).square()
    shown = torch.softmax(-detector.sharpness.double() * squares, 2).view(40, 16, 24, 8).numpy()
    counts = shown.sum((1, 2))
    rows, columns = np.arange(16)[None, :, None, None] / 16, np.arange(24)[None, None, :, None] / 24
    vectors = [np.log1p(counts)]
    for axis in (rows, columns):
        usual = (shown * axis).sum((0, 1, 2)) / counts.sum(0)
        vectors.append((shown * (axis - usual)).sum((1, 2)) / (counts + 0.25 * counts.mean(0) + 0.5))
    all_of = np.concatenate(vectors, 1)
    scaled = (all_of - all_of.mean(0)) / (all_of.std(0) + 1e-3)
    distances = np.sqrt(LedoitWolf().fit(scaled).mahalanobis(scaled))
    found = detector(GOOD)[1].numpy()
    assert found == pytest.approx(distances / np.sort(distances)[19], rel=2e-2)


@torch.no_grad()
def test_missing_additional_and_swapped_parts_stand_out_where_they_are() -> None:
    worst = max(score(fitted(), tray(seed)) for seed in range(100, 110))
    for left, right in (("square", "nothing"), ("nothing", "stripes"), ("stripes", "square"), ("square", "square")):
        wrong = tray(200, left, right)
        assert score(fitted(), wrong) > 1.5 * worst, (left, right)
        anomaly_map = fitted()(wrong)[0][0, 0]
        place = int(anomaly_map.amax(0).argmax()) * 4  # column in pixels
        changed = [column for kind, right_kind, column in ((left, "square", LEFT), (right, "stripes", RIGHT))
                   if kind != right_kind]  # fmt: skip
        assert any(column - 8 <= place <= column + 28 for column in changed), (left, right, place)
        assert float(anomaly_map.max()) == pytest.approx(score(fitted(), wrong), rel=1e-5)


@torch.no_grad()
def test_without_positions_parts_are_only_counted() -> None:
    detector = fitted(False)
    worst = max(score(detector, tray(seed)) for seed in range(100, 110))
    assert score(detector, tray(200, "square", "nothing")) > 1.5 * worst
    assert score(detector, tray(200, "stripes", "square")) < 1.5 * worst


@torch.no_grad()
def test_what_does_not_count_changes_nothing() -> None:
    valid = torch.zeros(len(GOOD), 1, SPEC.height, SPEC.width, dtype=torch.bool)
    with pytest.raises(DataError, match=r"no pixel.*image.roi"):
        fit([Batch(GOOD, valid=valid)])
    valid[..., :44] = True
    detector = fit([Batch(GOOD, valid=valid)])
    assert score(detector, tray(200, "square", "nothing")) == pytest.approx(score(detector, tray(200)), rel=0.05)
    assert score(detector, tray(200, "nothing", "stripes")) > 1.5 * score(detector, tray(200))


def test_fewer_kinds_of_places_than_words_do() -> None:
    plain = torch.full((6, 1, SPEC.height, SPEC.width), 0.5)
    assert torch.isfinite(fit([Batch(plain)])(GOOD[:2])[1]).all()


def test_weights_are_told() -> None:
    info = load().detector("logic")
    assert "Apache-2.0" in str(LogicConfig().describe(info).weights)
    assert LogicConfig(weights="none").describe(info).weights is None


@pytest.mark.parametrize(("asked", "verdict"), [([], "review"), (["gate.verdict=error"], "error")])
def test_what_lacks_a_part_is_judged_though_it_looks_strange(asked: list[str], verdict: str) -> None:
    request = Request(detector="logic", data=Path("data"), out=Path("out"), settings=asked)
    assert configure(request, load())[2].gate.verdict == verdict
