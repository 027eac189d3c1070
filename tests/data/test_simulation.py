"""Simulated inspections: the seed decides them, they vary as a station does, and each names its golden image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalib_lite.data import find, simulation
from anomalib_lite.edge.images import imaging

GOLDENS = Path(__file__).parents[2] / "data_samples/board/golden"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_inspection_has_the_size_and_depth_of_the_golden_image(dtype: type) -> None:
    golden: np.ndarray = np.full((60, 80, 1), np.iinfo(dtype).max // 2, dtype)
    seen = simulation.inspection(golden, np.random.default_rng(0))
    assert (seen.shape, seen.dtype) == (golden.shape, golden.dtype)
    share = seen.mean() / golden.mean()
    assert 1 - 2 * simulation.LIGHT <= share <= 1 + 2 * simulation.LIGHT


def test_without_variation_the_golden_image_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TURN", "SHIFT", "SCALE", "WANDER", "LIGHT", "BLUR", "NOISE"):
        monkeypatch.setattr(simulation, name, 0.0)
    golden = imaging.read(GOLDENS / "design1.jpg").pixels
    assert np.array_equal(simulation.inspection(golden, np.random.default_rng(0)), golden)


def test_a_data_set_of_inspections_names_their_golden_images(tmp_path: Path) -> None:
    goldens = find(GOLDENS)
    found = simulation.simulate(goldens, 2, 0, tmp_path)
    assert len(found.samples) == 2 * len(goldens.samples)
    assert [sample.reference for sample in found.samples[::2]] == [golden.path for golden in goldens.samples]
    assert len({sample.group for sample in found.samples}) == len(found.samples)
    again = simulation.simulate(goldens, 2, 0, tmp_path)
    first, second, other = (imaging.read(found.samples[k].path).sha256 for k in (0, 1, 2))
    assert imaging.read(again.samples[0].path).sha256 == first
    assert len({first, second, other}) == 3
