"""What differs between two images beyond a shift of an edge, and the kinds of places where good pairs differ alike.

Values are compared, and the direction of edges: strokes that run the other way are as bright as the right ones, and lie
within the shift of these.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

CLASSES = 8
"""Kinds of places, by the contrast of the golden image around them: from plain areas to the strongest edges."""

WINDOW = 7  # pixels: side of the square that a direction is that of
FAINT = 0.02  # contrast from pixel to pixel, share of white, of edges that have hardly a direction
TURNED = 0.5  # weight of a direction beside a value, for whose differences one spread is learnt


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


def changed(image: Tensor, reference: Tensor, shift: int) -> Tensor:
    """`difference` of values, or half of that of directions where this is more: (B, 1, H, W) in [0, 1]."""
    turned = difference(direction(image), direction(reference), shift)
    return torch.maximum(difference(image, reference, shift), TURNED * turned)


def direction(image: Tensor) -> Tensor:
    """Which way edges around each pixel run, and how strong they are, (B, 2, H, W); 0 in plain areas.

    The structure tensor (Foerstner and Gulch, 1987): cosine and sine of twice the angle, since both sides of a stroke
    run one way, by squared contrast; over the root of all squared contrasts, so that it is in units of contrast.
    """
    padded = F.pad(image, (1,) * 4, mode="replicate")
    across = _smoothed_by_one(padded[..., 2:] - padded[..., :-2], 2)
    down = _smoothed_by_one(padded[..., 2:, :] - padded[..., :-2, :], 3)
    products = (across.square() - down.square(), 2 * across * down, across.square() + down.square())
    sums = without_border(torch.cat([one.sum(1, keepdim=True) for one in products], 1), 2)  # over channels of colour
    radius = WINDOW // 2
    means = F.avg_pool2d(F.avg_pool2d(sums, (WINDOW, 1), 1, (radius, 0)), (1, WINDOW), 1, (0, radius))
    return means[:, :2] / (means[:, 2:] + FAINT**2).sqrt()


def _smoothed_by_one(steps: Tensor, axis: int) -> Tensor:
    """Differences over two pixels as steps from one to the next, smoothed along an axis that is shortened by two."""
    size = steps.shape[axis]
    before, middle, after = (steps.narrow(axis, start, size - 2) for start in range(3))
    return (before + 2 * middle + after) / 8


def smoothed(values: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing of (B, 1, H, W) by a standard deviation in pixels."""
    radius = math.ceil(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=values.device) / sigma) ** 2)
    taps = taps / taps.sum()
    padded = F.pad(values, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))


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
