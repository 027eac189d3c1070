"""How much faster the small networks of `draem` are than the published ones, measured in one run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from anomalib_lite_draem.config import DraemConfig
from anomalib_lite_draem.detector import Draem
from anomalib_lite_draem.networks import Averaged
from plain_run import PlainRun
from test_draem import export

from anomalib_lite.detector import Batch
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.synthesis import Anomalies


def made(size: str, side: int) -> Draem:
    weights = {"weights": "none"} if size == "features" else {}
    return Draem(DraemConfig.model_validate({"size": size} | weights), ImageSpec(side, side, 1, "uint8", 255.0))


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Median of some repetitions after a first one."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


@pytest.mark.benchmark
def test_a_training_step_of_small_is_twenty_times_faster(capsys: pytest.CaptureFixture[str]) -> None:
    def step(size: str) -> Callable[[], object]:
        detector = made(size, 128).train()
        trainer, anomalies = Averaged(detector.networks), Anomalies(detector.config.mix.model_dump())
        weights = torch.optim.Adam(trainer.live.parameters(), lr=1e-4)

        def one() -> None:
            weights.zero_grad()
            detector._loss(trainer, anomalies, Batch(torch.rand(4, 1, 128, 128)), PlainRun()).backward()
            weights.step()

        return one

    small, large = seconds(step("small"), 9), seconds(step("large"), 2)
    with capsys.disabled():
        ratio = f"small {small:.3f} s, large {large:.2f} s: {large / small:.0f} x"
        sys.stdout.write(f"\ntraining step, 4 images of 128 x 128: {ratio}\n")
    assert large / small >= 20


@pytest.mark.benchmark
def test_an_exported_small_is_twenty_times_faster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    image = torch.rand(1, 1, 256, 256)
    spent = {}
    for size, repeats in (("tiny", 9), ("small", 9), ("features", 9), ("large", 2)):
        export(made(size, 256).eval(), torch.rand(2, 1, 256, 256), tmp_path / f"{size}.onnx")
        session = onnxruntime.InferenceSession(tmp_path / f"{size}.onnx", options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: image.numpy()}
        spent[size] = seconds(partial(session.run, None, feed), repeats)
    with capsys.disabled():
        times = ", ".join(f"{size} {1000 * one:.0f} ms" for size, one in spent.items())
        sys.stdout.write(f"\none image of 256 x 256 on one core: {times}\n")
    assert spent["large"] / spent["small"] >= 20
