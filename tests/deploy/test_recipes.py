"""The recipes for many machines, run on this one: each share by the command that stands there, then joined."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from conftest import picture, save
from needs import need

SHARDS = Path(__file__).parents[2] / "deploy" / "shards"
COUNT = 3


@pytest.fixture
def work(ungated_path: Path, tmp_path: Path) -> Path:
    """What the machines share: a model, images, and where the command is found."""
    shutil.copytree(ungated_path, tmp_path / "model.zip")
    for part in range(6):
        save(tmp_path / "images" / f"part{part}.png", picture(40 + part, defect=part == 0))
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "anomalib-lite"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m anomalib_lite "$@"\n')
    command.chmod(0o755)
    return tmp_path


def run(work: Path, *words: str | Path, **variables: str) -> str:
    path = f"{work / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment: Mapping[str, str] = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_an_array_of_slurm(work: Path) -> None:
    for share in range(1, COUNT + 1):
        run(work, "bash", SHARDS / "slurm.sh", "model.zip", "images", "results",
            SLURM_ARRAY_TASK_ID=str(share), SLURM_ARRAY_TASK_COUNT=str(COUNT))  # fmt: skip
    again = run(work, "bash", SHARDS / "slurm.sh", "model.zip", "images", "results", SLURM_ARRAY_TASK_ID="2",
                SLURM_ARRAY_TASK_COUNT="1", SHARES=str(COUNT))  # fmt: skip
    assert again == ""
    joined(work, "all")


def test_an_indexed_job_of_kubernetes(work: Path) -> None:
    spec = yaml.safe_load((SHARDS / "job.yaml").read_text())["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "SHARES", "value": str(spec["completions"])}]
    assert spec["completionMode"] == "Indexed"
    for index in range(COUNT):
        run(work, *container["command"], *container["args"], JOB_COMPLETION_INDEX=str(index), SHARES=str(COUNT))
    joined(work, "all")


def test_gnu_parallel(work: Path) -> None:
    need(shutil.which("parallel") is not None, "GNU parallel is not installed: apt-get install parallel")
    run(work, "bash", SHARDS / "parallel.sh", "model.zip", "images", "results", str(COUNT))
    assert len((work / "results.all/results.jsonl").read_text().splitlines()) == 6


def joined(work: Path, out: str) -> None:
    shares = sorted((work / "results").iterdir())
    run(work, "anomalib-lite", "merge", *shares, "--out", out)
    assert len((work / out / "results.jsonl").read_text().splitlines()) == 6
