"""The detector `draem` in the host's hands: interrupted and resumed, 16-bit images, letterboxed ones."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anomalib_lite_draem.config import DraemConfig
from anomalib_lite_draem.detector import Draem
from PIL import Image
from torch import Tensor

from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.batches import FrameBatches, TrainingFrame
from anomalib_lite.training.request import Request
from anomalib_lite.training.run import LightningRun


class Noise:
    """Eight frames of noise."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int, /) -> TrainingFrame:
        pixels = np.random.default_rng(index).integers(0, 256, (64, 64, 1), dtype=np.uint8)
        return TrainingFrame(pixels)


def fit(folder: Path, *, resume: bool = False) -> dict[str, Tensor]:
    """What six steps leave."""
    run = LightningRun(folder=folder, steps=6, device="cpu", resume=resume)
    made = Draem(DraemConfig(size="tiny"), ImageSpec(64, 64, 1, "uint8", 255.0))
    try:
        made.fit(FrameBatches(Noise(), white=255, batch_size=8, seed=0, device=run.device), run)
    finally:
        run.close()
    return made.state_dict()


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(tmp_path / "whole")
    calls, loss = 0, Draem._loss

    def counted(*args: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 4:
            signal.raise_signal(signal.SIGINT)  # stop after this step
        return loss(*args)

    monkeypatch.setattr(Draem, "_loss", counted)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "parted")
    resumed = fit(tmp_path / "parted", resume=True)
    assert calls == 6
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
def test_sixteen_bit_images_of_any_shape_train_and_verify(tmp_path: Path, mode: str) -> None:
    for number in range(12):
        pixels = np.random.default_rng(number).normal(20_000, 2_000, (50, 80)).clip(0, 65535).astype(np.uint16)
        (tmp_path / "good").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"good/part{number:02}.png")
    trained = run_training(
        Request(
            detector="draem",
            data=tmp_path / "good",
            out=tmp_path / "model",
            settings=["options.size=tiny"],
            overrides={"training.steps": 2, "image.height": 48, "image.width": 40, "image.mode": mode},
        )
    )
    assert trained is not None
    assert not any(one.flipped for one in replay(Model(tmp_path / "model")))
