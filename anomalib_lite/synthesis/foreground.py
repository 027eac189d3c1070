"""Where the object is, in an image of one in front of an even background."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["foreground"]

_BINS = 64


def foreground(image: Tensor) -> Tensor:
    """Pixels that differ from the rim of the image more than the best split of all such differences (Otsu, 1979).

    Args:
        image: (B, C, H, W) float32.

    Returns:
        (B, 1, H, W) bool. All True for an image without contrast, and where less than 1 % would remain.
    """
    rim = torch.cat([image[:, :, 0], image[:, :, -1], image[:, :, :, 0], image[:, :, :, -1]], 2)
    background = rim.median(2).values[:, :, None, None]
    distance = (image - background).abs().amax(1, keepdim=True)
    object_ = distance > _otsu(distance.flatten(1)).view(-1, 1, 1, 1)
    enough = object_.to(torch.float32).mean((1, 2, 3), keepdim=True) >= 0.01
    return object_ | ~enough


def _otsu(values: Tensor) -> Tensor:
    """The level of each row (B, n) of values >= 0 that parts it into two classes of the largest variance between."""
    top = values.amax(1, keepdim=True).clamp_min(1e-6)
    bins = (values / top * (_BINS - 1)).round().long()
    counts = torch.zeros(len(values), _BINS, device=values.device).scatter_add_(1, bins, torch.ones_like(values))
    levels = torch.arange(_BINS, device=values.device, dtype=torch.float32)
    below, mass = counts.cumsum(1), (counts * levels).cumsum(1)
    total, whole = below[:, -1:], mass[:, -1:]
    above = total - below
    between = (mass * total - whole * below).square() / (below * above).clamp_min(1)
    split = torch.where(above > 0, between, torch.zeros_like(between)).argmax(1, keepdim=True)
    return (split + 0.5) / (_BINS - 1) * top
