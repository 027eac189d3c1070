"""The same graph in OpenVINO: its verdicts are those of onnxruntime, and its scores are within the tolerance."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import call
from environments import ROOT
from needs import need
from numpy.typing import NDArray

from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.sessions import Feed

try:
    import openvino  # type: ignore[import-untyped]
except ImportError:
    openvino = None


@pytest.fixture(autouse=True)
def _is_installed() -> None:
    need(openvino, "openvino is not installed")


class InOpenVino(Runtime):
    """The runtime, but for who computes the graph."""

    def __init__(self, model: Model, threads: int = 1) -> None:
        graph, inputs = model.bundle.graph, model.bundle.manifest.graph.inputs
        super().__init__(graph, model.framing, inputs, threads=threads)
        core = openvino.Core()
        self._compiled = core.compile_model(
            core.read_model(graph), "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        )

    def run(self, feed: Feed) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found = self._compiled(feed)
        return found["score"], found["anomaly_map"]


def both(path: Path, threads: int = 1) -> tuple[Model, Model]:
    model = Model(path, threads=threads)
    return model, Model.around(model.bundle, model.intake, InOpenVino(model, threads))


@pytest.fixture(params=["gauss", "inpainting", "neighbours"])
def trained(request: pytest.FixtureRequest, model_path: Path, inpainting_path: Path, tmp_path: Path) -> Path:
    if request.param != "neighbours":
        return {"gauss": model_path, "inpainting": inpainting_path}[request.param]
    words = ("neighbours", request.getfixturevalue("parts"), "--group", r"part(\d+)", "--out", tmp_path / "model")
    small = ("image.height=64", "image.width=64", "options.gallery=200")
    assert call("train", *words, *(word for setting in small for word in ("--set", setting))) == 0
    return tmp_path / "model"


@pytest.mark.slow
def test_every_verdict_is_the_same(trained: Path, parts: Path) -> None:
    ours, theirs = both(trained)
    verdicts = set()
    for path in sorted((parts / "test").rglob("*.png")):
        mine, other = ours.inspect(path), theirs.inspect(path)
        assert (mine.verdict, len(mine.regions)) == (other.verdict, len(other.regions)), path.name
        assert mine.score == pytest.approx(other.score, rel=1e-4, abs=ours.thresholds.tol)
        verdicts.add(mine.verdict)
    assert "NG" in verdicts


def durations(model: Model, images: list[Path]) -> Iterator[float]:
    for path in images:
        started = time.perf_counter()
        result = model.inspect(path)
        yield time.perf_counter() - started
        assert result.score is not None


@pytest.mark.benchmark
def test_the_time_beside_that_of_onnxruntime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the ratio, both in turn, one thread; nothing is asserted of it."""
    images = sorted((ROOT / "data_samples/part/test/good").glob("*.jpg"))[:20]
    for detector in ("neighbours", "draem", "inpainting"):
        out = tmp_path / detector
        assert call("train", detector, ROOT / "data_samples/part", "--steps", "2", "--out", out) == 0
        ours, theirs = both(out)
        mine: list[float] = []
        other: list[float] = []
        for _ in range(3):
            mine += durations(ours, images)
            other += durations(theirs, images)
        ratio = statistics.median(other) / statistics.median(mine)
        with capsys.disabled():
            sys.stdout.write(f"\n{detector}: OpenVINO takes {ratio:.2f} of onnxruntime's time, file to verdict\n")
