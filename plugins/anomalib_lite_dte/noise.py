"""Noise of many grains, and diffusion times that vary over an image."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def time_map(count: int, height: int, width: int, *, regions: int, steps: int) -> Tensor:
    """Diffusion times that are constant within irregular regions, and 0 elsewhere.

    A region is where a smooth random field, of one knot in 1 to 32 cells, exceeds a random level.

    Args:
        count: Maps.
        height: In cells.
        width: In cells.
        regions: Sorts of regions in each map, the later over the earlier.
        steps: T; the times of regions are uniform in [0, T).

    Returns:
        (count, 1, height, width) int64.
    """
    time = torch.zeros(count, 1, height, width, dtype=torch.int64)
    for _ in range(regions):
        knots = 2 ** int(torch.randint(6, ()))
        size = (max(2, height // knots) + 1, max(2, width // knots) + 1)
        field = F.interpolate(torch.randn(count, 1, *size), (height, width), mode="bicubic", align_corners=True)
        level = 0.3 + 1.5 * torch.rand(count, 1, 1, 1)
        time = torch.where(field > level, torch.randint(steps, (count, 1, 1, 1)), time)
    return time


def grainy_noise(count: int, channels: int, height: int, width: int, *, grain: int) -> Tensor:
    """Gaussian noise, each image with grains of its own: white, blotchy, or streaked along an axis.

    White noise would teach to find white noise: real defects are larger than a pixel.

    Args:
        count: Images.
        channels: Of each; in half the images all channels are alike.
        height: In pixels.
        width: In pixels.
        grain: Largest side of a grain in pixels; sides are powers of two.

    Returns:
        (count, channels, height, width), each image of variance 1.
    """
    return torch.stack([_noise(channels, height, width, grain) for _ in range(count)])


def _noise(channels: int, height: int, width: int, grain: int) -> Tensor:
    rows, columns = (2 ** torch.randint(grain.bit_length(), (2,))).tolist()
    alike, square, hard = (torch.rand(3) < 0.5).tolist()
    if square:
        columns = rows
    knots = torch.randn(1, 1 if alike else channels, max(2, -(-height // rows)), max(2, -(-width // columns)))
    noise = F.interpolate(knots, size=(height, width), mode="nearest" if hard else "bilinear")[0]
    return (noise / noise.square().mean().sqrt()).expand(channels, height, width)
