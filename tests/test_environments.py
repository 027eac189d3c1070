"""A bundle runs where there is no torch: the base package alone, and a bare device."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from environments import Environment

pytestmark = pytest.mark.slow


def test_the_base_package_predicts_evaluates_calibrates_and_verifies(
    host_wheel: Path, model_path: Path, parts: Path, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(host_wheel)
    listed = environment.run("python", "-m", "pip", "list").out
    assert not [name for name in ("torch", "lightning", "scipy", "opencv", "onnx ") if name in listed]
    model = tmp_path / "model"
    shutil.copytree(model_path, model)

    def run(*arguments: str | Path) -> str:
        return environment.run("python", "-m", "anomalib_lite", *arguments, cwd=tmp_path).out

    assert "5 of 5 verdicts are the same" in run("verify", model)
    rows = [json.loads(line) for line in run("predict", model, parts / "test", "--json").splitlines()]
    assert [row["verdict"] for row in rows].count("NG") == 10
    run("evaluate", model, parts, "--group", r"part(\d+)", "--out", tmp_path / "evaluation")
    assert json.loads((tmp_path / "evaluation/metrics.json").read_text())["image_auroc"] == 1.0
    run("calibrate", model, parts / "test/good", "--group", r"part(\d+)", "--max-false-reject", "0.3")
    assert "inpainting" in run("plugins", "list")
    assert "pip install 'anomalib-lite[train]'" in run("doctor")
    refused = environment.run("anomalib-lite", "train", "inpainting", parts, "--out", "new", cwd=tmp_path, code=2)
    assert "pip install 'anomalib-lite[train]'" in refused.err
    run("export", model, "--out", tmp_path / "part.zip")
    refused = environment.run("anomalib-lite", "serve", tmp_path / "part.zip", cwd=tmp_path, code=2)
    assert "pip install 'anomalib-lite[serve]'" in refused.err
    sized = ("export", model, "--out", "sized.zip", "--source-size", "50x50")
    assert "pip install 'anomalib-lite[train]'" in environment.run("anomalib-lite", *sized, cwd=tmp_path, code=2).err


def test_a_bare_device_inspects(host_wheel: Path, model_path: Path, parts: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install("numpy", "pillow", "onnxruntime")
    environment.install("--no-deps", host_wheel)
    code = (
        "import sys\nfrom anomalib_lite.edge import Model\n"
        f"model = Model({str(model_path)!r})\n"
        "print([model.inspect(path).verdict.value for path in sys.argv[1:]])\n"
        "assert not {'typer', 'pydantic', 'pluggy', 'yaml', 'rich', 'jinja2', 'torch'} & set(sys.modules)"
    )
    images = [next((parts / "test" / kind).iterdir()) for kind in ("good", "dent")]
    assert environment.run("python", "-c", code, *images, cwd=tmp_path).out.strip() == "['OK', 'NG']"
    assert installed_megabytes(environment) < 200


def installed_megabytes(environment: Environment) -> float:
    """What is installed, 10^6 bytes, without what every virtual environment has."""
    files = [path for path in environment.site_packages.rglob("*") if path.is_file()]
    own = [path.relative_to(environment.site_packages).parts[0] for path in files]
    kept = [path for path, top in zip(files, own, strict=True) if not top.startswith(("pip", "setuptools"))]
    return sum(path.stat().st_size for path in kept) / 1e6
