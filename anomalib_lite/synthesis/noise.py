"""Smooth random fields: Perlin noise of any image size, and textures made of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from anomalib_lite.synthesis.draw import Draw

__all__ = ["perlin", "procedural_textures"]

_TABLE = 64  # gradients per side: more than the diagonal of the finest lattice, so that nothing repeats


def perlin(draw: Draw, count: int, height: int, width: int, *, octaves: tuple[int, int] = (0, 5)) -> Tensor:
    """Gradient noise (Perlin, Improving Noise, 2002), turned by a random angle of up to 90 degrees either way.

    The lattice of each field has 2^k cells down and 2^l across, k and l drawn uniformly from `octaves`; it is laid over
    the image as a whole, so that no side needs to be divisible by anything.

    Args:
        draw: Source of randomness.
        count: Independent fields.
        height: In pixels.
        width: In pixels.
        octaves: Smallest and largest exponent of the number of cells, both included, within 0 and 5.

    Returns:
        (count, height, width) float32, mean about 0, mostly within [-1, 1] (lattice noise times sqrt 2).
    """
    cells = torch.exp2(draw.integers(*octaves, count, 2, 1, 1).to(torch.float32))
    turn = draw.uniform(-math.pi / 2, math.pi / 2, count, 1, 1)
    start = draw.uniform(0, _TABLE, count, 2, 1, 1)
    angles = draw.uniform(0, 2 * math.pi, count, _TABLE**2)
    y = ((torch.arange(height, device=draw.device) + 0.5) / height - 0.5).unsqueeze(1)
    x = (torch.arange(width, device=draw.device) + 0.5) / width - 0.5
    down = (y * turn.cos() + x * turn.sin()) * cells[:, 0] + start[:, 0]
    across = (x * turn.cos() - y * turn.sin()) * cells[:, 1] + start[:, 1]
    return math.sqrt(2) * _lattice_noise(down, across, angles)


def _lattice_noise(down: Tensor, across: Tensor, angles: Tensor) -> Tensor:
    """Noise at lattice coordinates (N, H, W), from the angles (N, table^2) of the gradients at its points."""
    row, column = down.floor(), across.floor()
    dy, dx = down - row, across - column
    rows = [(row.long() + one) % _TABLE * _TABLE for one in (0, 1)]
    columns = [(column.long() + one) % _TABLE for one in (0, 1)]
    sines, cosines = angles.sin(), angles.cos()

    def corner(i: int, j: int) -> Tensor:
        index = (rows[i] + columns[j]).flatten(1)
        slope_y, slope_x = (part.gather(1, index).view_as(dy) for part in (sines, cosines))
        return slope_y * (dy - i) + slope_x * (dx - j)

    fade = _fade(dx)
    top = torch.lerp(corner(0, 0), corner(0, 1), fade)
    bottom = torch.lerp(corner(1, 0), corner(1, 1), fade)
    return torch.lerp(top, bottom, _fade(dy))


def _fade(t: Tensor) -> Tensor:
    return t**3 * (t * (6 * t - 15) + 10)


def procedural_textures(draw: Draw, count: int, channels: int, height: int, width: int) -> Tensor:
    """Random textures where no folder of them is given: clouds, grain and stripes between two random colours.

    Returns:
        (count, channels, height, width) float32 in [0, 1].
    """
    coarse, fine = perlin(draw, 2 * count, height, width).chunk(2)
    field = torch.lerp(coarse, fine, draw.uniform(0, 1, count, 1, 1))
    striped = draw.coin(0.3, count, 1, 1)
    field = torch.where(striped, torch.sin(20 * field), draw.uniform(1, 8, count, 1, 1) * field)
    grain = draw.uniform(0, 0.5, count, 1, 1) * draw.normal(count, height, width)
    colours = draw.uniform(0, 1, 2, count, channels, 1, 1)
    return torch.lerp(colours[0], colours[1], torch.sigmoid(field + grain).unsqueeze(1))
