"""Every ready configuration trains on the samples, briefly."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from anomalib_lite import registry
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def test_there_are_configurations() -> None:
    assert CONFIGS


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_trains_on_the_samples(path: Path, tmp_path: Path) -> None:
    detector = yaml.safe_load(path.read_text())["detector"]
    compares = "reference" in registry.load().detector(detector).inputs
    small = {"training.steps": 2, "image.height": 128, "image.width": 128}
    trained = run_training(
        Request(
            detector=detector,
            data=ROOT / "data_samples" / ("board/pairs.csv" if compares else "part"),
            out=tmp_path / "model",
            config=path,
            overrides={} if compares else small,
            group=None if compares else r"part(\d+)",
        )
    )
    assert trained is not None
    assert trained.calibration.n == (7 if compares else 24)
    assert not any(one.flipped for one in replay(Model(tmp_path / "model")))
    manifest = trained.bundle.manifest
    weights = manifest.detector.weights
    assert (weights is not None) == (detector in ("draem", "neighbours"))  # which see by a pretrained network
    if weights is not None:
        assert manifest.options.get("size", "features") == "features"
        assert "Apache-2.0" in weights
        assert "EfficientNet-Lite0" in (tmp_path / "model/report.html").read_text(encoding="utf-8")
