"""A small training as a program of its own: test_training_processes starts, interrupts, kills and resumes it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from anomalib_lite.detector import Batch
from anomalib_lite.errors import ConfigError
from anomalib_lite.training import descent
from anomalib_lite.training.batches import FrameBatches, TrainingFrame
from anomalib_lite.training.run import LightningRun


class Noise:
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int, /) -> TrainingFrame:
        # contrast differs, so that half of a batch has another gradient than the whole
        return TrainingFrame(np.random.default_rng(index).integers(0, 25 * (index + 1), (8, 8, 1), dtype=np.uint8))


class Normalised(nn.Module):
    """With statistics that gradients do not keep in step, and with a parameter that only odd steps use."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))
        self.sometimes = nn.Parameter(torch.zeros(1))
        self.steps = 0

    def forward(self, image: Tensor) -> Tensor:
        self.steps += 1
        restored: Tensor = self.layers(image)
        return restored + self.sometimes if self.steps % 2 else restored


def take_apart() -> None:
    """Break what two processes have in common, for a test that must see it."""
    begin = DistributedDataParallel.__init__

    def broken(self: DistributedDataParallel, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self.require_backward_grad_sync = False

    DistributedDataParallel.__init__ = broken  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds in each step")
    parser.add_argument("--nan-in", type=int, help="rank whose loss becomes nan in the sixth step")
    parser.add_argument("--apart", action="store_true", help="processes that do not share their gradients")
    options = parser.parse_args()
    if options.apart:
        take_apart()
    descent.SAVE_EVERY = 0.1

    run = LightningRun(
        folder=options.folder, device="cpu", devices=options.devices, steps=options.steps, resume=options.resume
    )
    batches = FrameBatches(Noise(), white=255, batch_size=4, seed=0, device=run.device, rank=run.rank, world=run.world)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    normalised = Normalised()
    steps = 0

    def plain_loss(batch: Batch) -> Tensor:
        nonlocal steps
        steps += 1
        time.sleep(options.pause)
        loss = nn.functional.mse_loss(plain(batch.image), batch.image)
        return loss * float("nan") if run.rank == options.nan_in and steps == 6 else loss

    def normalised_loss(batch: Batch) -> Tensor:
        return nn.functional.mse_loss(normalised(batch.image + 0.1 * torch.randn_like(batch.image)), batch.image)

    try:
        maps = torch.cat([one for one, _ in run.map(lambda batch: (plain(batch.image), batch.image), batches, "maps")])
        run.minimise(plain_loss, plain, batches, steps=1)
        run.minimise(normalised_loss, normalised, batches, steps=1)
    except ConfigError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted")
    finally:
        run.close()  # as the host does: threads of the process group must not outlive it
    weights = {"maps": {"all": maps.detach()}, "plain": plain.state_dict(), "normalised": normalised.state_dict()}
    torch.save(weights, options.folder.with_name(f"{options.folder.name}-rank{run.rank}.pt"))


if __name__ == "__main__":
    main()
