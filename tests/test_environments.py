"""A bundle runs where there is no torch: the base package alone, and a bare device."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as users install it."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)], check=True
    )
    return next(out.glob("*.whl"))


def environment(folder: Path, *packages: str) -> Path:
    """A fresh virtual environment with packages; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def test_the_base_package_predicts_evaluates_calibrates_and_verifies(
    wheel: Path, model_path: Path, parts: Path, tmp_path: Path
):
    python = environment(tmp_path / "venv", str(wheel))
    listed = subprocess.run([str(python), "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not [name for name in ("torch", "lightning", "scipy", "opencv", "onnx ") if name in listed]
    model = tmp_path / "model"
    shutil.copytree(model_path, model)

    def run(*arguments: str | Path) -> str:
        command = [str(python), "-m", "anomalib_lite", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "5 of 5 verdicts are the same" in run("verify", model)
    rows = [json.loads(line) for line in run("predict", model, parts / "test", "--json").splitlines()]
    assert [row["verdict"] for row in rows].count("NG") == 10
    run("evaluate", model, parts, "--group", r"part(\d+)", "--out", tmp_path / "evaluation")
    assert json.loads((tmp_path / "evaluation/metrics.json").read_text())["image_auroc"] == 1.0
    run("calibrate", model, parts / "test/good", "--group", r"part(\d+)", "--max-false-reject", "0.3")
    assert "inpainting" in run("plugins", "list")
    assert "pip install 'anomalib-lite[train]'" in run("doctor")
    command = [str(python), "-m", "anomalib_lite", "train", "inpainting", str(parts), "--out", "new"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'anomalib-lite[train]'" in done.stderr


def test_a_bare_device_inspects(wheel: Path, model_path: Path, parts: Path, tmp_path: Path):
    python = environment(tmp_path / "venv", "numpy", "pillow", "onnxruntime")
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    code = (
        "import sys\nfrom anomalib_lite.edge import Model\n"
        f"model = Model({str(model_path)!r})\n"
        "print([model.inspect(path).verdict.value for path in sys.argv[1:]])\n"
        "assert not {'typer', 'pydantic', 'pluggy', 'yaml', 'rich', 'jinja2', 'torch'} & set(sys.modules)"
    )
    images = [next((parts / "test" / kind).iterdir()) for kind in ("good", "dent")]
    done = subprocess.run(
        [str(python), "-c", code, *map(str, images)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "['OK', 'NG']"
