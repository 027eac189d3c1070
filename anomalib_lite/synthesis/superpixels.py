"""Holes with the shapes of what is in the image: superpixels, of which those that look alike are merged.

After *Shape-aware masking for inpainting in medical imaging*, arXiv 2207.05787. How superpixels are merged there is not
published in detail; what is here is a variant of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Generator, Tensor

__all__ = ["shapes", "superpixels"]

_ROUNDS = 5  # of k-means
_NEAR = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]  # cells whose centre may take a pixel


def superpixels(image: Tensor, side: int, *, compactness: float = 0.1) -> Tensor:
    """Cut images into superpixels: k-means of value and place, each centre near its cell (Achanta et al., SLIC, 2012).

    Args:
        image: (B, C, H, W), about [0, 1].
        side: Of the cells of the grid that the centres start from, in pixels.
        compactness: Difference of values that counts as much as a distance of `side`.

    Returns:
        (B, H, W) int64, the number of the cell that each pixel belongs to. Most superpixels are connected.
    """
    batch, _, height, width = image.shape
    rows, columns = -(-height // side), -(-width // side)
    y, x = torch.meshgrid(
        torch.arange(height, device=image.device), torch.arange(width, device=image.device), indexing="ij"
    )
    place = torch.stack([y, x]).to(image.dtype).expand(batch, 2, height, width) * (compactness / side)
    points = torch.cat([image, place], 1).flatten(2).transpose(1, 2)  # (B, H * W, C + 2)
    row, column = (y // side).flatten(), (x // side).flatten()
    label = (row * columns + column).expand(batch, -1)
    near = [((row + i).clamp(0, rows - 1) * columns + (column + j).clamp(0, columns - 1)) for i, j in _NEAR]
    for _ in range(_ROUNDS):
        centres = _means(points, label, rows * columns)
        far = torch.stack([(points - centres[:, cell]).square().sum(2) for cell in near])
        label = torch.stack(near)[far.argmin(0), torch.arange(height * width, device=image.device)]
    return label.view(batch, height, width)


def shapes(
    image: Tensor,
    *,
    side: int,
    area: tuple[float, float] = (0.02, 0.15),
    holes: int = 1,
    allowed: Tensor | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Shapes of the image: from a random superpixel on, the neighbour that looks most alike is added until it is large.

    Args:
        image: (B, C, H, W), about [0, 1].
        side: Of a superpixel, about, in pixels.
        area: Smallest and largest share of what is allowed that a shape covers, before it is widened by a pixel.
        holes: Shapes per image, which may overlap.
        allowed: (B, 1, H, W) bool: where shapes begin, such as in a body and not in the flat ground around it; None for
            everywhere.
        generator: Source of randomness, on the processor.

    Returns:
        (B, H, W) bool, on the processor. Each shape is a set of superpixels that touch.
    """
    image = image.detach().cpu()
    labels = superpixels(image, side)
    count = int(labels.max()) + 1
    values = _means(image.flatten(2).transpose(1, 2), labels.flatten(1), count)
    counted = torch.ones_like(labels, dtype=torch.bool) if allowed is None else allowed.squeeze(1).cpu()
    masks = []
    for label, value, inside in zip(labels, values, counted, strict=True):
        size, touching = torch.bincount(label.flatten(), minlength=count), _touching(label, count)
        begins = torch.bincount(label[inside], minlength=count).to(torch.float32)
        merged = torch.zeros(count, dtype=torch.bool)
        for _ in range(holes):
            share = area[0] + (area[1] - area[0]) * float(torch.rand((), generator=generator))
            if bool(inside.any()):
                seed = int(torch.multinomial(begins, 1, generator=generator))
                merged |= _grown(seed, touching, value, size, round(share * int(inside.sum())))
        masks.append(merged[label])
    hidden = torch.stack(masks).to(torch.float32).unsqueeze(1)
    return F.max_pool2d(hidden, 3, 1, 1).squeeze(1) > 0  # its edge is part of a shape


def _grown(seed: int, touching: Tensor, value: Tensor, size: Tensor, target: int) -> Tensor:
    """Superpixels (n,) bool around the seed, most alike first, of `target` pixels at least if there are as many."""
    merged = torch.zeros(len(size), dtype=torch.bool)
    border = merged.clone()
    border[seed] = True
    mean, covered = value[seed], 0
    while covered < target and bool(border.any()):
        unlike = torch.where(border, (value - mean).square().sum(1), torch.inf)
        chosen = int(unlike.argmin())
        merged[chosen] = True
        covered += int(size[chosen])
        mean = (value * size.unsqueeze(1))[merged].sum(0) / covered
        border = (border | touching[chosen]) & ~merged
    return merged


def _touching(label: Tensor, count: int) -> Tensor:
    """Which of the labels (H, W) have a side in common, (count, count) bool."""
    found = torch.zeros(count, count, dtype=torch.bool)
    for one, other in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
        found[one, other] = True
        found[other, one] = True
    return found.fill_diagonal_(False)


def _means(points: Tensor, label: Tensor, count: int) -> Tensor:
    """Mean of the points (B, n, d) of each label (B, n), as (B, count, d); 0 of a label without any."""
    batch, _, dimensions = points.shape
    sums = points.new_zeros(batch, count, dimensions).scatter_add_(1, label.unsqueeze(2).expand_as(points), points)
    sizes = points.new_zeros(batch, count).scatter_add_(1, label, torch.ones_like(points[..., 0]))
    return sums / sizes.clamp_min(1).unsqueeze(2)
