"""What differs between two images beyond a shift of an edge, and the kinds of places where good pairs differ alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

CLASSES = 8
"""Kinds of places, by the contrast of the golden image around them: from plain areas to the strongest edges."""


def highest(image: Tensor, radius: int) -> Tensor:
    """Largest value within `radius` pixels, in a square: (B, C, H, W) to the same shape."""
    if radius == 0:
        return image
    side = 2 * radius + 1
    rows = F.max_pool2d(image, (side, 1), 1, (radius, 0))
    return F.max_pool2d(rows, (1, side), 1, (0, radius))


def difference(image: Tensor, reference: Tensor, shift: int) -> Tensor:
    """How far values lie outside of what the other image holds within `shift` pixels, (B, 1, H, W) in [0, 1].

    Both ways, so that what is missing counts as what was added; the largest over channels. 0 where either image can be
    had from the other by moving every pixel by at most `shift`, or by interpolating between pixels that near.
    """
    added = _outside(image, reference, shift)
    missing = _outside(reference, image, shift)
    return torch.maximum(added, missing).amax(1, keepdim=True)


def _outside(image: Tensor, other: Tensor, shift: int) -> Tensor:
    above = image - highest(other, shift)
    below = -highest(-other, shift) - image
    return torch.maximum(above, below).clamp_min(0)


def membership(reference: Tensor, shift: int) -> Tensor:
    """Kind of place of each pixel of the golden image, as shares (B, CLASSES, H, W) that sum to 1.

    A place is known by its contrast: the range of values within `shift` + 1 pixels, of the channel where it is
    largest. It belongs to the two kinds whose contrast is next to its own; kinds lie closer for faint contrasts.
    """
    contrast = highest(reference, shift + 1) + highest(-reference, shift + 1)
    place = contrast.amax(1, keepdim=True).clamp(0, 1).sqrt() * (CLASSES - 1)
    kinds = torch.arange(CLASSES, dtype=place.dtype, device=place.device).view(1, -1, 1, 1)
    return (1 - (place - kinds).abs()).clamp_min(0)
