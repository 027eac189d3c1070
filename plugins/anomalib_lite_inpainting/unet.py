"""Fills hidden pixels from their surroundings: pull-push interpolation, corrected by a small U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def pull_push(image: Tensor, visible: Tensor, levels: int) -> Tensor:
    """Fill hidden pixels smoothly from the visible ones (Gortler et al., The Lumigraph, 1996, section 3.4).

    Visible pixels are averaged into ever coarser grids; on the way back each cell that nothing visible fell into takes
    the value of the coarser grid.

    Args:
        image: (B, C, H, W); H and W divisible by 2^levels.
        visible: (B, 1, H, W), 1 where the image may be used and 0 where it is hidden.
        levels: Halvings; a hole of more than about 2^levels pixels across stays 0 in its middle.

    Returns:
        (B, C, H, W): the image where visible, the interpolation elsewhere.
    """
    if levels == 0:
        return image * visible
    seen = F.avg_pool2d(visible, 2)
    coarse = F.avg_pool2d(image * visible, 2) / seen.clamp_min(0.25)
    filled = pull_push(coarse, (seen > 0).to(image.dtype), levels - 1)
    return image * visible + F.interpolate(filled, scale_factor=2.0, mode="bilinear") * (1 - visible)


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
