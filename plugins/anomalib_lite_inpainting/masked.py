"""Predicts hidden places of a map from the visible ones, and how far off it expects to be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Generator, Tensor, nn

from anomalib_lite.synthesis import grid_cells, pull_push, superpixels
from anomalib_lite_inpainting.unet import UNet

_NOISE = 0.01  # smallest spread of a map that is not taken as flat
_LOG_SPREAD = (-6.0, 4.0)  # limits of the predicted log spread, relative to that of the visible places


class Masked(nn.Module):
    """Disjoint-set inpainting (Zavrtanik et al., 2021) with a predicted Laplace distribution for each value.

    Args:
        channels: Of the map.
        size: Its height and width.
        cells: Sides of the hidden cells.
        sets: Into which the cells are dealt; each is hidden in turn.
        widths: Channels of the U-Net.
        own_units: See each map in units of the mean and spread of what is visible of it, as exposure asks for.
    """

    hidden: Tensor  # (cell sizes, sets, h, w) bool: what is hidden in each pass

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        cells: Sequence[int],
        sets: int,
        widths: Sequence[int],
        *,
        own_units: bool,
    ) -> None:
        super().__init__()
        generator = Generator().manual_seed(0)  # part of the method, not of the run: every model hides the same
        masks = [grid_cells(1, *size, cell=cell, sets=sets, generator=generator) for cell in cells]
        self.register_buffer("hidden", torch.cat(masks))
        self.cells, self.sets, self.own_units = tuple(cells), sets, own_units
        self.unet = UNet(channels + 1, 2 * channels, widths)
        self.levels = (max(cells) - 1).bit_length()
        multiple = max(self.unet.stride, 2**self.levels)
        self.padding = (0, -size[1] % multiple, 0, -size[0] % multiple)  # left, right, top, bottom

    def at_random(self, values: Tensor) -> Tensor:
        """Hide cells of a random size anew: (B, sets, h, w) bool for maps (B, C, h, w)."""
        cell = self.cells[int(torch.randint(len(self.cells), ()))]
        return grid_cells(len(values), *values.shape[2:], cell=cell, sets=self.sets).to(values.device)

    def shapes_at_random(self, values: Tensor) -> Tensor:
        """The same with superpixels of a random size in place of cells: their edges are those of the image."""
        cell = min(self.cells[int(torch.randint(len(self.cells), ()))], min(values.shape[2:]) // 2)
        labels = superpixels(values, cell)
        order = torch.rand(len(labels), int(labels.max()) + 1, device=values.device).argsort(1)
        owner = (order % self.sets).gather(1, labels.flatten(1)).view_as(labels)
        return owner.unsqueeze(1) == torch.arange(self.sets, device=values.device).view(1, -1, 1, 1)

    def inpaint(self, values: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Predict each place from the sets that it is not in.

        Args:
            values: (B, C, h, w).
            hidden: (B, sets, h, w) bool, each place True in exactly one set. B may be 1 for all maps alike.

        Returns:
            Two tensors (B, C, h, w): the median of the predicted Laplace distribution, and the logarithm of its
            spread, both in units of `values`. Neither depends on the values of the same place.
        """
        batch, channels, height, width = values.shape
        sets = hidden.shape[1]
        hole = hidden.to(values.dtype).unsqueeze(2)  # (B, sets, 1, h, w)
        copies = values.unsqueeze(1).expand(batch, sets, channels, height, width)
        visible = (1 - hole).expand(batch, sets, 1, height, width)
        filled, log_spread = self._predict(copies.flatten(0, 1), visible.flatten(0, 1))
        shape = (batch, sets, channels, height, width)
        return (filled.view(shape) * hole).sum(1), (log_spread.view(shape) * hole).sum(1)

    def surprise(self, values: Tensor, hidden: Tensor) -> Tensor:
        """|residual| / predicted spread, mean over the channels, about 1 where all is as predicted.

        Args:
            values: (B, C, h, w).
            hidden: (sets, h, w) bool, as for `inpaint`.

        Returns:
            (B, 1, h, w).
        """
        median, log_spread = self.inpaint(values, hidden.unsqueeze(0))
        return ((values - median).abs() * (-log_spread).exp()).mean(1, keepdim=True)

    def _predict(self, values: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """One pass: (B, C, h, w) and what is visible (B, 1, h, w) to median and log spread of every place."""
        height, width = values.shape[2:]
        mean, spread = _units(values, visible) if self.own_units else (torch.zeros(()), torch.ones(()))
        inputs = F.pad((values - mean) / spread * visible, self.padding)
        visible = F.pad(visible, self.padding)  # what is added is hidden, too
        start = pull_push(inputs, visible, self.levels)
        change, log_spread = self.unet(torch.cat([start, visible], 1)).chunk(2, 1)
        median = (start + change)[:, :, :height, :width] * spread + mean
        return median, log_spread[:, :, :height, :width].clamp(*_LOG_SPREAD) - 1 + spread.log()


def _units(values: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, C, 1, 1) and spread (B, 1, 1, 1) of what is visible."""
    count = visible.sum((2, 3), keepdim=True)
    mean = (values * visible).sum((2, 3), keepdim=True) / count
    # once more from there: a long sum in float32 is off by more than a faint image's contrast tolerates
    mean = mean + ((values - mean) * visible).sum((2, 3), keepdim=True) / count
    variance = ((values - mean) * visible).square().sum((2, 3), keepdim=True) / count
    return mean, (variance.mean(1, keepdim=True) + _NOISE**2).sqrt()


def surprisal(values: Tensor, median: Tensor, log_spread: Tensor) -> Tensor:
    """-log of the Laplace density of each value, less log 2; all (B, C, h, w)."""
    return (values - median).abs() * (-log_spread).exp() + log_spread
