"""The public names of the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import anomalib_lite as al


def test_every_public_name_is_there() -> None:
    assert sorted(al.__all__) == al.__all__
    assert all(getattr(al, name) is not None for name in al.__all__)
    assert set(al._HOME) == set(al.__all__) - {"__version__"}


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, anomalib_lite; assert not {'numpy', 'torch', 'pydantic', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_train_load_and_evaluate(parts: Path, tmp_path: Path) -> None:
    settings = {"image.height": 48, "image.width": 48, "calibration.max_false_reject": 0.3}
    model = al.train("gauss", parts, out=tmp_path / "model", settings=settings, group=r"part(\d+)")
    assert "good parts are rejected" in model._repr_html_()
    result = al.load(tmp_path / "model").inspect(next((parts / "test/hole").iterdir()))
    assert result.verdict is al.Verdict.NG
    assert "<img" in result._repr_html_()
    assert al.evaluate(model, parts, group=r"part(\d+)")["image_auroc"] == 1.0


@pytest.mark.parametrize("progress", [True, False])
def test_a_training_shows_its_progress(
    parts: Path, tmp_path: Path, progress: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"image.height": 48, "image.width": 48, "options.steps": 2}
    al.train("gauss", parts, out=tmp_path / "model", settings=settings, group=r"part(\d+)", progress=progress)
    out, err = capfd.readouterr()
    assert out == ""
    assert all(
        (words in err) is progress for words in ("28 images of 14 parts to fit", "step 2 of 2, loss", "fitted in 2")
    )
    assert progress or err == ""


@pytest.mark.slow
def test_golden_images_are_given_and_inspections_simulated(tmp_path: Path) -> None:
    boards = sorted((Path(__file__).parents[1] / "data_samples/board/golden").glob("*.jpg"))[:2]
    inspected = tmp_path / "inspected"
    inspected.mkdir()
    for number, board in enumerate(boards * 3):
        pixels = np.asarray(Image.open(board)).astype(float) + np.random.default_rng(number).normal(0, 2, (256, 256, 3))
        name = f"{board.stem}_{number}.png"
        Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(inspected / name)
    model = al.train("difference", inspected, out=tmp_path / "given", golden=boards, golden_pattern=r"(\d+)")
    assert model.bundle.manifest.reference
    assert model.bundle.manifest.reference.pattern == r"(\d+)"
    found = model.inspect(boards[1]).anomaly_map
    assert found is not None
    assert found.max() == 0
    folder = tmp_path / "goldens"
    folder.mkdir()
    shutil.copy(boards[0], folder)
    model = al.train("difference", folder, out=tmp_path / "simulated", simulate=6)
    assert model.bundle.manifest.calibration.simulated
