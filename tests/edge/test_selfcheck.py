"""A verdict that differs from the recorded one is a failure, whatever the scores: in `verify` and in `/readyz`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import call
from needs import need
from serving import is_installed, start

from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import Calibration, CertifiedThresholds
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import replay


def raised(calibration: Calibration, value: float) -> Calibration:
    """The same calibration with all thresholds at a value, as if they had been certified there."""
    found = calibration.thresholds
    moved = [
        replace(one, value=value, base=value - one.tol)
        for one in (found.reject, found.review, found.map_reject, found.map_review)
    ]
    return replace(calibration, thresholds=CertifiedThresholds(*moved))


@pytest.fixture
def lenient(model_path: Path, tmp_path: Path) -> Path:
    """A bundle with sound hashes whose thresholds let everything pass."""
    loaded = bundle.load(model_path)
    manifest = replace(loaded.manifest, calibration=raised(loaded.manifest.calibration, 1e30))
    bundle.write(tmp_path / "model", manifest, {name: loaded.read(name) for name in loaded.manifest.files})
    return tmp_path / "model"


def test_the_images_that_it_carries_are_all_judged_as_recorded(model_path: Path) -> None:
    assert not any(one.flipped for one in replay(Model(model_path)))


def test_other_thresholds_are_another_verdict(lenient: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flipped = [one for one in replay(Model(lenient)) if one.flipped]
    assert {one.expected.verdict for one in flipped} == {"NG"}
    assert all(one.difference == 0 for one in flipped)
    assert call("verify", lenient) == 4
    error = capsys.readouterr().err
    assert "give another verdict here" in error
    assert "thresholds are other ones" in error


def test_a_service_of_other_thresholds_is_not_ready(lenient: Path) -> None:
    need(is_installed(), "fastapi and uvicorn: pip install 'anomalib-lite[serve]'")
    service = start(lenient)
    try:
        assert service.ask("GET", "/readyz")[0] == 503
        assert service.inspect(b"any image")[0] == 503
    finally:
        service.process.terminate()
        service.process.wait(30)
