"""Random numbers of one device and one generator: what the samplers of synthetic anomalies draw from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

__all__ = ["Draw"]


@dataclass(frozen=True)
class Draw:
    """Where random tensors are made, and from what.

    Args:
        device: Of every tensor.
        generator: On that device; None for torch's default one, which training seeds anew in every step.
    """

    device: torch.device | str = "cpu"
    generator: Generator | None = None

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Float32 in [low, high)."""
        return low + (high - low) * torch.rand(shape, device=self.device, generator=self.generator)

    def logarithmic(self, low: float, high: float, *shape: int) -> Tensor:
        """Float32 in [low, high), uniform in the logarithm."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Int64 from low to high, both included."""
        return torch.randint(low, high + 1, shape, device=self.device, generator=self.generator)

    def coin(self, chance: float, *shape: int) -> Tensor:
        """Bool, True with the given chance."""
        return self.uniform(0, 1, *shape) < chance

    def normal(self, *shape: int) -> Tensor:
        """Float32 of mean 0 and standard deviation 1."""
        return torch.randn(shape, device=self.device, generator=self.generator)

    def choices(self, weights: Tensor, count: int) -> Tensor:
        """Int64 (count,): indices drawn in proportion to the weights (n,)."""
        return torch.multinomial(weights, count, replacement=True, generator=self.generator)
