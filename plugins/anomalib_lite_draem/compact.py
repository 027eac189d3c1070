"""Small networks in the manner of the published pair: on blocks of pixels, narrow, for processors and devices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class CompactNet(nn.Module):
    """Encoder and decoder on blocks of `fold` x `fold` pixels, with or without skips.

    Args:
        inputs: Channels.
        outputs: Channels.
        widths: Channels of the levels, from fine to coarse; each level halves the size.
        fold: Side of the blocks whose pixels become channels: the work falls with its square, and no pixel is lost.
        skips: Join the decoder with the encoder's features. An autoencoder that is to forget anomalies has none.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], *, fold: int, skips: bool) -> None:
        super().__init__()
        self.stride = fold * 2 ** (len(widths) - 1)
        self.fold, self.skips = fold, skips
        self.down = nn.ModuleList(_pair(a, b) for a, b in pairwise([inputs * fold**2, *widths]))
        self.up = nn.ModuleList(_pair(b + a * skips, a) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[0], outputs * fold**2, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W); H and W divisible by `stride`."""
        features = F.pixel_unshuffle(image, self.fold)
        if not torch.compiler.is_exporting():
            features = features.contiguous(memory_format=torch.channels_last)  # faster, on processors and GPUs
        kept: list[Tensor] = []
        for block in self.down:
            features = block(F.max_pool2d(features, 2) if kept else features)
            kept.append(features)
        for block, skip in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            features = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat([skip, features], 1) if self.skips else features)
        return F.pixel_shuffle(self.out(features), self.fold)
