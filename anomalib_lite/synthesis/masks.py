"""Random masks of places to hide: grid cells dealt into disjoint sets, squares, discs and brush strokes.

Every sampler is vectorised over its samples, draws from `generator` alone (from torch's default one when it is None),
and returns bool tensors, True where a pixel is hidden. They are made on the processor; move them where they are needed.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from anomalib_lite.errors import ConfigError

__all__ = ["discs", "grid_cells", "squares", "strokes"]


def grid_cells(
    count: int, height: int, width: int, *, cell: int, sets: int, generator: Generator | None = None
) -> Tensor:
    """Deal the cells of a grid at random into disjoint sets of equal size (Zavrtanik et al., RIAD, 2021, section 3.1).

    Args:
        count: Independent partitions.
        height: In pixels; the last row of cells is cut where it does not fit.
        width: In pixels, likewise.
        cell: Side of a square cell in pixels.
        sets: Into how many sets; a set has one cell more than another where they cannot be equal.
        generator: Source of randomness.

    Returns:
        (count, sets, height, width) bool. Each pixel is True in exactly one set.

    Raises:
        ConfigError: There are fewer cells than sets, so that a set would be empty and another hide too much.
    """
    rows, columns = -(-height // cell), -(-width // cell)
    if rows * columns < sets:
        raise ConfigError(
            f"An image of {height} x {width} pixels has {rows * columns} cells of {cell} pixels, which cannot make "
            f"{sets} sets: use larger images or smaller cells."
        )
    order = torch.rand(count, rows * columns, generator=generator).argsort(1)
    owner = (order % sets).view(count, 1, rows, columns)
    owner = owner.repeat_interleave(cell, 2).repeat_interleave(cell, 3)[:, :, :height, :width]
    return owner == torch.arange(sets).view(1, sets, 1, 1)


def squares(
    count: int, height: int, width: int, *, holes: int, side: tuple[int, int], generator: Generator | None = None
) -> Tensor:
    """Axis-parallel squares at random places, which may overlap.

    Args:
        count: Masks.
        height: In pixels.
        width: In pixels.
        holes: Squares per mask.
        side: Shortest and longest side in pixels, both included; drawn uniformly for each square.
        generator: Source of randomness.

    Returns:
        (count, height, width) bool, True inside a square. Each square lies wholly in the image.

    Raises:
        ConfigError: The range is empty, or a square may not fit into the image.
    """
    _check_range("side", side, 1, min(height, width))
    sides = torch.randint(side[0], side[1] + 1, (count, holes), generator=generator)
    top = (torch.rand(count, holes, generator=generator) * (height - sides + 1)).long()
    left = (torch.rand(count, holes, generator=generator) * (width - sides + 1)).long()
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top.unsqueeze(2)) & (rows < (top + sides).unsqueeze(2))  # (count, holes, height)
    in_columns = (columns >= left.unsqueeze(2)) & (columns < (left + sides).unsqueeze(2))
    return (in_rows.unsqueeze(3) & in_columns.unsqueeze(2)).any(1)


def discs(
    count: int, height: int, width: int, *, holes: int, radius: tuple[float, float], generator: Generator | None = None
) -> Tensor:
    """Discs with centres anywhere in the image, which may overlap and be cut by its edge.

    Args:
        count: Masks.
        height: In pixels.
        width: In pixels.
        holes: Discs per mask.
        radius: Smallest and largest radius in pixels; drawn uniformly for each disc.
        generator: Source of randomness.

    Returns:
        (count, height, width) bool, True where the middle of a pixel is at most the radius from a centre.

    Raises:
        ConfigError: The range is empty or not positive.
    """
    _check_range("radius", radius, 0.5, math.inf)
    y = torch.rand(count, holes, 1, 1, generator=generator) * (height - 1)
    x = torch.rand(count, holes, 1, 1, generator=generator) * (width - 1)
    radii = _uniform((count, holes, 1, 1), radius, generator)
    distance = (torch.arange(height).view(-1, 1) - y).square() + (torch.arange(width) - x).square()
    return (distance <= radii.square()).any(1)


def strokes(
    count: int,
    height: int,
    width: int,
    *,
    holes: int,
    points: int,
    step: tuple[float, float],
    radius: tuple[float, float],
    generator: Generator | None = None,
) -> Tensor:
    """Brush strokes: broken lines of round ends that turn by up to a right angle at each point.

    Free-form masks in the manner of Yu et al., Free-Form Image Inpainting with Gated Convolution, 2019, section 3.3.

    Args:
        count: Masks.
        height: In pixels.
        width: In pixels.
        holes: Strokes per mask.
        points: Corners of a stroke, its ends included; at least 2.
        step: Shortest and longest distance of neighbouring points in pixels.
        radius: Smallest and largest half width of a stroke in pixels; drawn once per stroke.
        generator: Source of randomness.

    Returns:
        (count, height, width) bool, True where the middle of a pixel is at most the radius from a line. Strokes are
        cut by the edge of the image.

    Raises:
        ConfigError: A range is empty or not positive, or there are fewer than 2 points.
    """
    _check_range("step", step, 1.0, math.inf)
    _check_range("radius", radius, 0.5, math.inf)
    if points < 2:
        raise ConfigError(f"A stroke of {points} points is no line: use at least 2.")
    starts, ends = _broken_lines((count, holes, points - 1), height, width, step, generator)
    radii = _uniform((count, holes, 1, 1), radius, generator)
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), 2).to(torch.float32)
    mask = torch.zeros(count, height, width, dtype=torch.bool)
    for segment in range(points - 1):  # one at a time: all at once would take points times the memory
        near = _distance(grid, starts[:, :, segment], ends[:, :, segment]) <= radii
        mask |= near.any(1)
    return mask


def _broken_lines(
    shape: tuple[int, int, int], height: int, width: int, step: tuple[float, float], generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """Where the segments of lines begin and end: two tensors of `shape` (masks, lines, segments) x 2, as y, x."""
    count, holes, _ = shape
    turns = _uniform(shape, (-math.pi / 2, math.pi / 2), generator)
    heading = _uniform((count, holes, 1), (0, 2 * math.pi), generator) + turns.cumsum(2)
    stride = _uniform(shape, step, generator).unsqueeze(3) * torch.stack([heading.sin(), heading.cos()], 3)
    start = torch.rand(count, holes, 1, 2, generator=generator) * torch.tensor([height - 1.0, width - 1.0])
    ends = start + stride.cumsum(2)
    return torch.cat([start, ends[:, :, :-1]], 2), ends


def _distance(grid: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Distance of each pixel (H, W, 2) from each line (N, M, 2) to (N, M, 2), as (N, M, H, W)."""
    start, along = start[:, :, None, None], (end - start)[:, :, None, None]
    share = ((grid - start) * along).sum(4) / along.square().sum(4)
    nearest = start + share.clamp(0, 1).unsqueeze(4) * along
    return (grid - nearest).square().sum(4).sqrt()


def _uniform(shape: tuple[int, ...], limits: tuple[float, float], generator: Generator | None) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * torch.rand(shape, generator=generator)


def _check_range(name: str, limits: tuple[float, float], lowest: float, highest: float) -> None:
    if not lowest <= limits[0] <= limits[1] <= highest:
        raise ConfigError(
            f"{name} from {limits[0]} to {limits[1]}: expected a range in order, within {lowest} and {highest} pixels."
        )
