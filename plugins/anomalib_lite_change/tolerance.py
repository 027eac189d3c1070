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
    return _largest(torch.maximum(added, missing)).clamp_min(0)


def without_border(values: Tensor, width: int) -> Tensor:
    """The same (B, 1, H, W), 0 within `width` pixels of the border: what lies beyond the frame may have moved in."""
    if width == 0:
        return values
    return F.pad(values[..., width:-width, width:-width], (width,) * 4)


def _outside(image: Tensor, other: Tensor, shift: int) -> Tensor:
    above = image - highest(other, shift)
    below = -highest(-other, shift) - image
    return torch.maximum(above, below)


def _largest(values: Tensor) -> Tensor:
    """Over the channels, (B, 1, H, W)."""
    return values if values.shape[1] == 1 else values.amax(1, keepdim=True)


def kind(reference: Tensor, shift: int) -> Tensor:
    """Kind of place of each pixel of the golden image, (B, 1, H, W) in [0, CLASSES - 1].

    A place is known by its contrast: the range of values within `shift` + 1 pixels, of the channel where it is
    largest. Between two whole numbers it is of both kinds; kinds lie closer for faint contrasts.
    """
    contrast = _largest(highest(reference, shift + 1) + highest(-reference, shift + 1))
    return contrast.clamp(0, 1).sqrt() * (CLASSES - 1)


def membership(place: Tensor) -> Tensor:
    """Share of each kind in each pixel: (B, 1, H, W) from `kind` to (B, CLASSES, H, W) that sums to 1."""
    kinds = torch.arange(CLASSES, dtype=place.dtype, device=place.device).view(1, -1, 1, 1)
    return (1 - (place - kinds).abs()).clamp_min(0)


def between(values: Tensor, place: Tensor) -> Tensor:
    """Values of the kinds, (CLASSES,), at each pixel's kind (B, 1, H, W), linear between two; the same shape.

    The mean of `values` by `membership`, without its maps.
    """
    found = values[0].expand_as(place)
    for number, step in enumerate(values.diff().unbind()):
        found = found + step * (place - number).clamp(0, 1)
    return found
