"""A small U-Net that corrects what hidden pixels are filled with."""

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
            nn.GroupNorm(max(1, outputs // 8), outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(max(1, outputs // 8), outputs),
            nn.SiLU(),
        )


class UNet(nn.Module):
    """U-Net on 2 x 2 pixel blocks: four times cheaper than on pixels, and the cells to fill are larger than that."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stride = 2 ** len(widths)
        self.down = nn.ModuleList(_Block(a, b) for a, b in pairwise([4 * inputs, *widths]))
        self.up = nn.ModuleList(_Block(a + b, a) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[0], 4 * outputs, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W); H and W divisible by `stride`."""
        features = F.pixel_unshuffle(image, 2)
        if not torch.compiler.is_exporting():
            features = features.contiguous(memory_format=torch.channels_last)  # halves a training step on a processor
        skips: list[Tensor] = []
        for depth, block in enumerate(self.down):
            features = block(features if depth == 0 else F.avg_pool2d(features, 2))
            skips.append(features)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            features = block(torch.cat([skip, F.interpolate(features, scale_factor=2.0, mode="nearest")], 1))
        return F.pixel_shuffle(self.out(features), 2)
