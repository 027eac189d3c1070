"""A small U-Net with group normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class _Block(nn.Sequential):
    """Two 3 x 3 convolutions, each with group normalisation (so that an image never depends on its batch)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(outputs // 8, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(outputs // 8, outputs),
            nn.SiLU(),
        )


class UNet(nn.Module):
    """Outputs of the resolution of the inputs.

    Args:
        inputs: Channels.
        outputs: Likewise; all 0 before training.
        widths: Channels from fine to coarse, multiples of 8; each level halves the resolution.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(_Block(a, b) for a, b in pairwise([inputs, *widths]))
        self.up = nn.ModuleList(_Block(a + b, a) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[0], outputs, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, blocks: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w); h and w divisible by `stride`."""
        features = blocks
        if not torch.compiler.is_exporting():
            features = features.contiguous(memory_format=torch.channels_last)  # halves a training step on a processor
        skips: list[Tensor] = []
        for depth, block in enumerate(self.down):
            features = block(features if depth == 0 else F.avg_pool2d(features, 2))
            skips.append(features)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            features = block(torch.cat([skip, F.interpolate(features, scale_factor=2.0, mode="nearest")], 1))
        logits: Tensor = self.out(features)
        return logits
