"""A large image with a small defect: lost when the image is made small, found with tiles, and no seam in the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import save
from render_part import render_large_part

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

CORE = 204  # 2,448 / 12 and within one pixel of 2,048 / 10: the cores of tiles of 272 with 32 pixels of context


def train(data: Path, out: Path, **overrides: Any) -> Model:
    request = Request(
        detector="inpainting",
        data=data,
        out=out,
        settings=["options.cells=[16]", "options.widths=[8, 16, 32]", "calibration.selfcheck=none"],
        overrides={"training.steps": 120, "calibration.holdout": 0.4, **overrides},
    )
    assert run_training(request) is not None
    return Model(out)


@pytest.mark.benchmark
def test_a_defect_of_twelve_pixels_is_found_with_tiles(tmp_path: Path) -> None:
    for seed in range(5):
        save(tmp_path / f"good/{seed}.png", render_large_part(seed, defect_pixels=0)[0])
    pixels, mask = render_large_part(100)
    rows, columns = np.nonzero(mask)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 14

    sound, _ = render_large_part(100, defect_pixels=0)  # the same part in the same pose
    small = train(tmp_path / "good", tmp_path / "small")
    assert gain(small, pixels, sound) < 1.05

    tiles = {"image.mode": "tile", "image.height": 272, "image.width": 272, "image.overlap": 32}
    tiled = train(tmp_path / "good", tmp_path / "tiled", **tiles)
    result = tiled.inspect(pixels)
    assert result.verdict is Verdict.NG
    best = result.regions[0]
    assert best.x - 8 <= columns.mean() <= best.x + best.width + 8
    assert best.y - 8 <= rows.mean() <= best.y + best.height + 8

    assert gain(tiled, pixels, sound) > 1.2
    good = tiled.inspect(sound)
    assert good.anomaly_map is not None
    assert good.anomaly_map.shape == (2048, 2448)
    assert seam_ratio(good.anomaly_map) <= 1.1


def gain(model: Model, defective: np.ndarray, sound: np.ndarray) -> float:
    """How much the defect raises the score of its part."""
    scores = [model.inspect(pixels).score for pixels in (defective, sound)]
    assert scores[0] is not None
    assert scores[1] is not None
    return scores[0] / scores[1]


def seam_ratio(anomaly_map: np.ndarray) -> float:
    """Mean step across the vertical borders of cores, in units of the mean step elsewhere."""
    steps = np.abs(np.diff(anomaly_map, axis=1)).mean(axis=0)
    border = np.arange(len(steps)) % CORE == CORE - 1
    return float(steps[border].mean() / steps[~border].mean())
