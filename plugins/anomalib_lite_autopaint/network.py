"""Fills what is hidden, and says how well it can: an interpolation, corrected by a U-Net of gated convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.synthesis import pull_push

_LOG_SPREAD = (-5.5, 0.5)  # limits of the predicted spread, share of white: 0.004 to 1.6
_USUAL = -3.0  # where it starts


class Gated(nn.Module):
    """Features times gates in [0, 1], both of one 3 x 3 convolution (Yu et al., 2019, eq. 3).

    Normalised by groups, so that an image never depends on its batch.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 2 * outputs, 3, padding=1)
        self.norm = nn.GroupNorm(outputs // 8, outputs)

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        features, gates = self.convolution(values).chunk(2, 1)
        groups = features.unflatten(1, (self.norm.num_groups, -1))  # mean 0 first: else runtimes lose digits
        even = (groups - groups.mean((2, 3, 4), keepdim=True)).flatten(1, 2)
        return F.silu(self.norm(even)) * torch.sigmoid(gates)


class Filler(nn.Module):
    """What good images would show at hidden places, told from the visible ones.

    Args:
        channels: Of the image.
        size: Its height and width.
        widths: Channels of the U-Net, from fine to coarse.
    """

    def __init__(self, channels: int, size: tuple[int, int], widths: Sequence[int]) -> None:
        super().__init__()
        blocks = list(pairwise([4 * (channels + 1), *widths]))
        self.down = nn.ModuleList(nn.Sequential(Gated(a, b), Gated(b, b)) for a, b in blocks)
        self.up = nn.ModuleList(nn.Sequential(Gated(a + b, a), Gated(a, a)) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[0], 4 * 2 * channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]
        self.size, self.multiple = size, 2 ** len(widths)
        self.levels = (max(size) - 1).bit_length()  # the interpolation crosses any hole

    def forward(self, image: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Fill images.

        Args:
            image: (B, C, H, W).
            visible: (B, 1, H, W) in [0, 1]: how much of each pixel may be used.

        Returns:
            Two tensors (B, C, H, W): the filling, also where all is visible; and the logarithm of how far off it is
            expected to be, the spread of a Laplace distribution.
        """
        height, width = self.size
        known, shown = self._padded(2**self.levels, image, visible)
        start = pull_push(known, shown, self.levels)[:, :, :height, :width]
        found = self._unet(torch.cat(self._padded(self.multiple, start, visible), 1))[:, :, :height, :width]
        change, log_spread = found.chunk(2, 1)
        return start + change, (log_spread + _USUAL).clamp(*_LOG_SPREAD)

    def _padded(self, multiple: int, *images: Tensor) -> list[Tensor]:
        """With zeros to the right and below: what is added is hidden, too."""
        height, width = self.size
        return [F.pad(one, (0, -width % multiple, 0, -height % multiple)) for one in images]

    def _unet(self, inputs: Tensor) -> Tensor:
        features = F.pixel_unshuffle(inputs, 2)
        skips: list[Tensor] = []
        for depth, block in enumerate(self.down):
            features = block(features if depth == 0 else F.avg_pool2d(features, 2))
            skips.append(features)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            features = block(torch.cat([skip, F.interpolate(features, scale_factor=2.0, mode="nearest")], 1))
        return F.pixel_shuffle(self.out(features), 2)
