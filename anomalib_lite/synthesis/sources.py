"""What a part of a good image is changed into: one function per source of anomalies.

Each takes images (N, C, H, W) float32 in [0, 1] and returns the changed images, which may leave [0, 1], and the
coverage (N, 1, H, W) in [0, 1] of the part that is to be changed. `box` is where in the frame the image lies.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from anomalib_lite.synthesis.box import Box
from anomalib_lite.synthesis.draw import Draw
from anomalib_lite.synthesis.shapes import blobs, broken_edges, clouds, cuts, scratches

__all__ = ["edge", "filtered", "patch", "photometric", "scratch", "spot", "texture"]


def texture(draw: Draw, image: Tensor, textures: Tensor) -> tuple[Tensor, Tensor]:
    """A texture shows through, by 20 to 100 % (Zavrtanik et al., DRAEM, 2021, section 3.3)."""
    share = draw.uniform(0, 0.8, len(image), 1, 1, 1)
    return torch.lerp(textures, image, share), clouds(draw, len(image), *image.shape[2:])


def patch(draw: Draw, image: Tensor, box: Box, donors: Tensor, donated: Box) -> tuple[Tensor, Tensor]:
    """Another place of another good image, mirrored or turned; half of the time brought to the part's own mean."""
    cover = _area(draw, image, box)
    count, _, height, width = image.shape
    rows = _around(draw, height, count, donated.top, donated.height)
    columns = _around(draw, width, count, donated.left, donated.width)
    which = torch.arange(count, device=image.device).view(-1, 1, 1)
    moved = donors.permute(0, 2, 3, 1)[which, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
    turned = moved.transpose(2, 3) if height == width else moved.flip(2, 3)
    moved = torch.where(draw.coin(0.2, count, 1, 1, 1), turned, moved.flip(2))
    matched = moved + _inside(image, cover) - _inside(moved, cover)
    moved = torch.where(draw.coin(0.5, count, 1, 1, 1), matched, moved)
    return torch.lerp(moved, image, draw.uniform(0, 0.5, count, 1, 1, 1)), cover


def photometric(draw: Draw, image: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """Darker or brighter by a factor of up to 2.5; half of the time with 0 to 2.5 of the contrast too."""
    cover = _area(draw, image, box)
    shape = (len(image), 1, 1, 1)
    mean = _inside(image, cover)
    gain = torch.where(draw.coin(0.5, *shape), draw.logarithmic(0.4, 2.5, *shape), draw.logarithmic(0.8, 1.25, *shape))
    contrast = torch.where(draw.coin(0.5, *shape), draw.uniform(0, 2.5, *shape), 1.0)
    return gain * (mean + contrast * (image - mean)), cover


def filtered(draw: Draw, image: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """Grain weakened down to nothing, strengthened up to threefold, or replaced by noise of its own strength."""
    shape = (len(image), 1, 1, 1)
    smooth = image
    for window in (3, 5, 9):
        smooth = torch.where(draw.coin(0.5, *shape), _mean_filter(smooth, window), smooth)
    grain = image - smooth
    strength = grain.square().mean((1, 2, 3), keepdim=True).sqrt()
    noise = draw.normal(*image.shape) * strength * draw.uniform(0.5, 2.5, *shape)
    changed = torch.where(draw.coin(0.3, *shape), noise, grain * draw.uniform(0, 0.7, *shape))
    changed = torch.where(draw.coin(0.35, *shape), grain * draw.uniform(1.5, 3.5, *shape), changed)
    return (smooth + changed) * draw.logarithmic(0.8, 1.25, *shape), _area(draw, image, box)


def scratch(draw: Draw, image: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """One to three thin lines, dark or (a quarter) bright."""
    height, width = image.shape[2:]
    lengths = (0.06 * box.side, 1.2 * box.side)
    cover = torch.zeros_like(image[:, :1])
    for number in range(3):
        line = scratches(draw, len(image), height, width, radius=(0.3, 2.5), length=lengths, box=box)
        present = draw.coin(1.0 if number == 0 else 0.25, len(image), 1, 1, 1)
        cover = torch.maximum(cover, line * present)
    return _darker_or_brighter(draw, image, 0.25), cover


def spot(draw: Draw, image: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """One to three small irregular blobs, dark or (a quarter) bright."""
    height, width = image.shape[2:]
    radius = (1.2, (0.05 * box.side).clamp_min(2.0))
    cover = torch.zeros_like(image[:, :1])
    for number in range(3):
        blob = blobs(draw, len(image), height, width, radius=radius, box=box)
        present = draw.coin(1.0 if number == 0 else 0.25, len(image), 1, 1, 1)
        cover = torch.maximum(cover, blob * present)
    return _darker_or_brighter(draw, image, 0.25), cover


def edge(draw: Draw, image: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """A piece broken off at an edge of the image: nearly even and dark, seldom bright, with some noise."""
    height, width = image.shape[2:]
    radius = (0.012 * box.side).clamp_min(2.0), (0.15 * box.side).clamp_min(4.0)
    cover = broken_edges(draw, len(image), height, width, radius=radius, box=box)
    shape = (len(image), 1, 1, 1)
    level = image.mean((2, 3), keepdim=True) * torch.where(
        draw.coin(0.85, *shape), draw.uniform(0, 0.6, *shape), draw.uniform(1.2, 2, *shape)
    )
    rough = draw.normal(*image[:, :1].shape) * level * draw.uniform(0, 0.4, *shape)
    return torch.lerp(level + rough, image, draw.uniform(0, 0.4, *shape)), cover


def _area(draw: Draw, image: Tensor, box: Box) -> Tensor:
    """A part of some extent, in the box: a cloud, a blob, or one side of a cut."""
    count, _, height, width = image.shape
    kind = draw.choices(torch.tensor([0.2, 0.5, 0.3], device=image.device), count)
    cover = torch.empty_like(image[:, :1])
    for number in range(3):
        (index,) = (kind == number).nonzero(as_tuple=True)
        if not len(index):
            continue
        place = box.of(index)
        if number == 0:
            cover[index] = clouds(draw, len(index), height, width)
        elif number == 1:
            cover[index] = cuts(draw, len(index), height, width, box=place)
        else:
            radius = (0.02 * place.side).clamp_min(2.0), (0.3 * place.side).clamp_min(4.0)
            cover[index] = blobs(draw, len(index), height, width, radius=radius, box=place)
    return cover * box.inside(height, width)


def _around(draw: Draw, size: int, count: int, start: Tensor, length: Tensor) -> Tensor:
    """Positions (count, size) along one axis, moved at random and taken round within start + [0, length)."""
    start, length = start.to(torch.int64).unsqueeze(1), length.to(torch.int64).unsqueeze(1)
    moved = draw.integers(0, size - 1, count, 1)
    return start + (torch.arange(size, device=start.device) + moved) % length


def _darker_or_brighter(draw: Draw, image: Tensor, bright: float) -> Tensor:
    """The whole image darker by 15 to 90 % or, with the chance `bright`, moved towards white by as much."""
    shape = (len(image), 1, 1, 1)
    depth = draw.uniform(0.15, 0.9, *shape)
    return torch.where(draw.coin(bright, *shape), torch.lerp(image, torch.ones_like(image), depth), image * (1 - depth))


def _inside(image: Tensor, cover: Tensor) -> Tensor:
    """Mean of each channel over the covered part, (N, C, 1, 1)."""
    return (image * cover).sum((2, 3), keepdim=True) / cover.sum((2, 3), keepdim=True).clamp_min(1e-6)


def _mean_filter(image: Tensor, window: int) -> Tensor:
    return F.avg_pool2d(image, window, 1, window // 2, count_include_pad=False)
