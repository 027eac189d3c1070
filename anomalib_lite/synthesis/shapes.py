"""Shapes of synthetic anomalies as soft coverages: clouds, blobs, cuts through the image, scratches, broken edges.

Every function returns (count, 1, height, width) float32 in [0, 1], the share of each pixel that is covered. Lengths
are in pixels, the same for all images or (count,). Places are drawn within `box`, the whole frame by default.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from anomalib_lite.synthesis.box import Box
from anomalib_lite.synthesis.draw import Draw
from anomalib_lite.synthesis.noise import perlin

__all__ = ["blobs", "broken_edges", "clouds", "cuts", "scratches"]

Range: TypeAlias = tuple[float | Tensor, float | Tensor]


def clouds(draw: Draw, count: int, height: int, width: int) -> Tensor:
    """Where Perlin noise exceeds 0.5 (Zavrtanik et al., DRAEM, 2021, section 3.3): 0 or 1, often in several pieces."""
    return (perlin(draw, count, height, width) > 0.5).to(torch.float32).unsqueeze(1)


def blobs(draw: Draw, count: int, height: int, width: int, *, radius: Range, box: Box | None = None) -> Tensor:
    """One irregular ellipse each, centred anywhere; radius uniform in its logarithm, aspect up to 3."""
    rows, columns, tall, wide = _grid(draw, height, width, box)
    y = rows - draw.uniform(0, 1, count, 1, 1) * (tall - 1)
    x = columns - draw.uniform(0, 1, count, 1, 1) * (wide - 1)
    aspect, turn = draw.logarithmic(1 / 3, 3, count, 1, 1), draw.uniform(0, math.pi, count, 1, 1)
    return _blob(draw, y, x, _logarithmic(draw, radius, count), aspect, turn)


def broken_edges(draw: Draw, count: int, height: int, width: int, *, radius: Range, box: Box | None = None) -> Tensor:
    """One irregular ellipse each, centred within 6 % of an edge of the image and mostly lengthened along it."""
    rows, columns, tall, wide = _grid(draw, height, width, box)
    along, inward = draw.uniform(0, 1, count, 1, 1), draw.uniform(-0.01, 0.06, count, 1, 1)
    inward = torch.where(draw.coin(0.5, count, 1, 1), 1 - inward, inward)
    level = draw.coin(0.5, count, 1, 1)  # at the upper or lower edge
    y = rows - torch.where(level, inward, along) * (tall - 1)
    x = columns - torch.where(level, along, inward) * (wide - 1)
    turn = torch.where(level, 0.0, math.pi / 2) + draw.uniform(-0.3, 0.3, count, 1, 1)
    return _blob(draw, y, x, _logarithmic(draw, radius, count), draw.logarithmic(0.7, 4, count, 1, 1), turn)


def cuts(draw: Draw, count: int, height: int, width: int, *, box: Box | None = None) -> Tensor:
    """What lies on one side of a nearly straight line, or between two: 5 to 60 % of the image's extent.

    The line leans off the rows or columns by up to half a right angle, mostly by little; it is slightly wavy and up to
    6 pixels soft.
    """
    rows, columns, tall, wide = _grid(draw, height, width, box)
    lean = draw.uniform(-1, 1, count, 1, 1) ** 3 * (math.pi / 4)
    turn = torch.where(draw.coin(0.5, count, 1, 1), 0.0, math.pi / 2) + lean
    extent = turn.cos().abs() + turn.sin().abs()
    y, x = rows / (tall - 1).clamp_min(1) - 0.5, columns / (wide - 1).clamp_min(1) - 0.5
    wave = perlin(draw, count, height, width, octaves=(1, 3)) * draw.uniform(0, 0.06, count, 1, 1)
    position = (y * turn.cos() + x * turn.sin()) / extent + 0.5 + wave
    size, place = draw.uniform(0.05, 0.6, count, 1, 1), draw.uniform(0, 1, count, 1, 1)
    band = draw.coin(0.5, count, 1, 1)
    middle, half = torch.where(band, place, place.round()), torch.where(band, size / 2, size)
    inside = (half - (position - middle).abs()) * torch.maximum(tall, wide)
    return (inside / draw.logarithmic(1, 6, count, 1, 1) + 0.5).clamp(0, 1).unsqueeze(1)


def scratches(
    draw: Draw,
    count: int,
    height: int,
    width: int,
    *,
    radius: Range,
    length: Range,
    points: int = 9,
    box: Box | None = None,
) -> Tensor:
    """One thin wandering line each, whose strength varies along it; half of them set out along rows or columns.

    Args:
        draw: Source of randomness.
        count: Lines.
        height: In pixels.
        width: In pixels.
        radius: Smallest and largest half width; below 0.5 a line covers its pixels in part.
        length: Shortest and longest; both ranges are drawn from uniformly in the logarithm.
        points: Corners of the line, its ends included.
        box: Where the middle of each line lies.
    """
    straight = draw.integers(0, 3, count, 1) * (math.pi / 2)
    heading = torch.where(draw.coin(0.5, count, 1), straight, draw.uniform(0, 2 * math.pi, count, 1))
    bends = draw.uniform(-1, 1, count, points - 1) * draw.logarithmic(0.02, 0.8, count, 1)
    headings = heading + bends.cumsum(1)
    stride = _logarithmic(draw, length, count).view(count, 1) / (points - 1)
    steps = torch.stack([headings.sin(), headings.cos()], 2) * stride.unsqueeze(2)  # (count, points - 1, 2) as y, x
    path = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], 1)
    rows, columns, tall, wide = _grid(draw, height, width, box)
    middle = draw.uniform(0, 1, count, 1, 2) * (torch.cat([tall, wide], 2) - 1)
    path = path + middle - path[:, points // 2 : points // 2 + 1]
    nearest = torch.full((count, height, width), math.inf, device=draw.device)
    for start, end in zip(path[:, :-1].unbind(1), path[:, 1:].unbind(1), strict=True):
        nearest = torch.minimum(nearest, _squared_distance(rows, columns, start, end))
    half = _logarithmic(draw, radius, count)
    strength = (0.75 + 0.7 * perlin(draw, count, height, width, octaves=(2, 5))).clamp(0.2, 1)
    return ((half + 0.5 - nearest.sqrt()).clamp(0, 1) * (2 * half).clamp(max=1) * strength).unsqueeze(1)


def _grid(draw: Draw, height: int, width: int, box: Box | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows (N, height, 1) and columns (N, 1, width) in pixels from the corner of the box; its height and its width."""
    rows = torch.arange(height, device=draw.device, dtype=torch.float32).view(1, -1, 1)
    columns = torch.arange(width, device=draw.device, dtype=torch.float32).view(1, 1, -1)
    if box is None:
        return rows, columns, rows.new_full((1, 1, 1), height), rows.new_full((1, 1, 1), width)
    top, left, tall, wide = (one.view(-1, 1, 1) for one in box)
    return rows - top, columns - left, tall, wide


def _logarithmic(draw: Draw, limits: Range, count: int) -> Tensor:
    """(count, 1, 1), uniform in the logarithm between two lengths that may differ from image to image."""
    low, high = (torch.as_tensor(one, dtype=torch.float32, device=draw.device).log().view(-1, 1, 1) for one in limits)
    return torch.exp(low + (high - low) * draw.uniform(0, 1, count, 1, 1))


def _blob(draw: Draw, y: Tensor, x: Tensor, radius: Tensor, aspect: Tensor, turn: Tensor) -> Tensor:
    """An ellipse around the origin of (N, H, 1) and (N, 1, W), its outline displaced by noise, one pixel soft."""
    long, short = radius * aspect.sqrt(), radius / aspect.sqrt()
    along, off = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    distance = ((along / long).square() + (off / short).square()).sqrt()
    ragged = perlin(draw, *distance.shape, octaves=(3, 5)) * draw.uniform(0, 0.8, len(y), 1, 1)
    return ((1 - distance + ragged) * torch.minimum(long, short) + 0.5).clamp(0, 1).unsqueeze(1)


def _squared_distance(rows: Tensor, columns: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Of each pixel from the line between two points (N, 2), as (N, H, W)."""
    y, x = rows - start[:, 0, None, None], columns - start[:, 1, None, None]
    down, across = ((end - start)[:, axis, None, None] for axis in (0, 1))
    share = ((y * down + x * across) / (down.square() + across.square())).clamp(0, 1)
    return (y - share * down).square() + (x - share * across).square()
