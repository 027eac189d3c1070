"""The recipe for Ray Train: the model of two processes that it starts is that of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from environments import ROOT
from safetensors.numpy import load_file

RECIPE = ROOT / "deploy" / "ray_train.py"


@pytest.mark.benchmark
def test_two_processes_of_ray_train_fit_as_one(parts: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.train", reason="Ray Train needs pandas, which no extra brings", exc_type=ImportError)
    words = ["train", "invariants", str(parts), "--group", r"part(\d+)", "--max-false-reject", "20%"]
    words += ["--set", "image.height=64", "--set", "image.width=64", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}", "OMP_NUM_THREADS": "1"}
    for out, command in (("one", ["-m", "anomalib_lite"]), ("two", [str(RECIPE), "local", "2"])):
        asked = [sys.executable, *command, *words, "--out", out]
        done = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
