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
        given: Stride and channels of each map of features that is added to the encoder, at the level of that stride.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        *,
        fold: int,
        skips: bool,
        given: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        self.stride = fold * 2 ** (len(widths) - 1)
        self.fold, self.skips = fold, skips
        self.levels = [(stride // fold).bit_length() - 1 for stride, _ in given]
        self.join = nn.ModuleList(
            nn.Conv2d(channels, widths[level], 1) for level, (_, channels) in zip(self.levels, given, strict=True)
        )
        self.down = nn.ModuleList(_pair(a, b) for a, b in pairwise([inputs * fold**2, *widths]))
        self.up = nn.ModuleList(_pair(b + a * skips, a) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[0], outputs * fold**2, 3, padding=1)

    def forward(self, image: Tensor, given: Sequence[Tensor] = ()) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W); H and W divisible by `stride`."""
        features = _channels_last(F.pixel_unshuffle(image, self.fold))
        joined = [join(_channels_last(one)) for join, one in zip(self.join, given, strict=True)]
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(F.max_pool2d(features, 2) if kept else features)
            features = sum((one for own, one in zip(self.levels, joined, strict=True) if own == level), features)
            kept.append(features)
        for block, skip in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            features = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat([skip, features], 1) if self.skips else features)
        return F.pixel_shuffle(self.out(features), self.fold)


def _channels_last(features: Tensor) -> Tensor:
    """Faster, on processors and GPUs; nothing that a graph would hold."""
    return features if torch.compiler.is_exporting() else features.contiguous(memory_format=torch.channels_last)
