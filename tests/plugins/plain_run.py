"""A training run and a prediction without a host, for tests of what a detector learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from anomalib_lite.detector import Batch, Batches, Detector

T = TypeVar("T")
R = TypeVar("R")


def map_of(detector: Detector, image: Tensor, reference: Tensor | None = None) -> Tensor:
    """The anomaly map (B, 1, h, w) of a detector that gives no score of its own."""
    found = detector(image, reference)
    assert isinstance(found, Tensor)
    return found


class PlainRun:
    """Follows the optimiser, for its own steps or for those asked for; notes losses and what is logged."""

    device = torch.device("cpu")
    seed = 0

    def __init__(self, steps: int | None = None) -> None:
        self.steps = steps
        self.asked = 0
        self.losses: list[float] = []
        self.values: dict[str, list[float]] = {}

    def time_left(self) -> float:
        return math.inf

    def minimise(
        self,
        loss: Callable[[Batch], Tensor],
        module: nn.Module,
        batches: Batches,
        *,
        steps: int,
        optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
        schedule: Callable[[float], float] | None = None,
        at_most: int | None = None,
        share: float = 1.0,
    ) -> None:
        assert optimiser is not None
        self.asked = steps
        descent = optimiser([one for one in module.parameters() if one.requires_grad])
        module.train()
        while len(self.losses) < (steps if self.steps is None else self.steps):
            for batch in batches:
                descent.zero_grad()
                value = loss(batch)
                value.backward()
                descent.step()
                self.losses.append(value.item())
        module.eval()

    def split(self, batches: Batches, share: float) -> tuple[Batches, Batches]:
        raise NotImplementedError

    def progress(self, batches: Iterable[T], label: str) -> Iterator[T]:
        yield from batches

    def map(self, compute: Callable[[Batch], R], batches: Batches, label: str) -> Iterator[R]:
        yield from map(compute, batches)

    def log(self, name: str, value: float | Tensor) -> None:
        assert np.isfinite(float(value))
        self.values.setdefault(name, []).append(float(value))
