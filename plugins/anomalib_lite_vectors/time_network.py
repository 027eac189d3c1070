"""The network that tells the diffusion time of a vector, its losses and its scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite_vectors.diffusion import BINS, STEPS

HIDDEN = (256, 512, 256)
DROPOUT = 0.5


class Dropout(nn.Module):
    """As `nn.Dropout`, whose draw from a Bernoulli distribution takes a third of a training step on a CPU."""

    def forward(self, values: Tensor) -> Tensor:
        """Zero a random half in training mode, and double the rest."""
        return values * (torch.rand_like(values) >= DROPOUT) / (1 - DROPOUT) if self.training else values


class TimeNetwork(nn.Sequential):
    """Perceptron d - 256 - 512 - 256 - outputs with dropout behind the second and third layer, over the last axis."""

    def __init__(self, dimensions: int, outputs: int) -> None:
        first, second, third = HIDDEN
        super().__init__(
            nn.Linear(dimensions, first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.ReLU(),
            Dropout(),
            nn.Linear(second, third),
            nn.ReLU(),
            Dropout(),
            nn.Linear(third, outputs),
        )


def bin_loss(outputs: Tensor, time: Tensor, *, bounded: bool) -> Tensor:
    """Cross-entropy of the bin that the time lies in.

    Args:
        outputs: (N, 7) of the network.
        time: (N,) int64 in [0, 400).
        bounded: Take the softmax twice, as the authors' code does: the loss cannot fall below 1.165 then, and the
            probabilities stay soft.
    """
    return F.cross_entropy(outputs.softmax(-1) if bounded else outputs, time * BINS // STEPS)


def expected_bin(outputs: Tensor) -> Tensor:
    """Mean of the bin over its distribution: (..., 7) -> (...) in [0, 6]."""
    return outputs.softmax(-1) @ torch.arange(BINS, dtype=outputs.dtype, device=outputs.device)


def inverse_gamma_loss(outputs: Tensor, variance: Tensor, dimensions: int) -> Tensor:
    """Negative log-likelihood of an inverse gamma distribution, shape d / 2 - 1, scale b = outputs squared.

    Args:
        outputs: (N, 1) of the network.
        variance: (N,) of the noise.
        dimensions: d, above 2.
    """
    scale = outputs.squeeze(-1).square()
    return (scale / variance - (0.5 * dimensions - 1) * (scale + 1e-5).log()).mean()
