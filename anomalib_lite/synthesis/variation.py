"""Good images seen a little otherwise, so that a long training does not learn them by heart."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from anomalib_lite.synthesis.draw import Draw

__all__ = ["vary"]

ENLARGED = 1.25  # at most, half of the images
GAMMA = 1.4  # at most, either way


def vary(draw: Draw, image: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Mirror images, enlarge a part of them to the whole, and change their gamma.

    Half of them are mirrored left to right; half show a part, enlarged by up to 1.25; gamma is between 1 / 1.4 and 1.4.
    What is good must remain so when it is mirrored: leave it for parts with a side.

    Args:
        draw: Source of randomness, on the images' device.
        image: (B, C, H, W) float32 in [0, 1].
        valid: (B, 1, H, W) bool, or None where every pixel counts.

    Returns:
        Images and valid pixels of the same shapes.
    """
    count = len(image)
    one = torch.ones(count, 1, device=image.device)
    size = torch.where(draw.coin(0.5, count, 1), draw.uniform(1 / ENLARGED, 1, count, 1), one)
    mirrored = torch.cat([torch.where(draw.coin(0.5, count, 1), -one, one), one], 1)  # along x, not along y
    matrix = torch.zeros(count, 2, 3, device=image.device)
    matrix[:, (0, 1), (0, 1)] = mirrored * size
    matrix[:, :, 2] = draw.uniform(-1, 1, count, 2) * (1 - size)
    grid = F.affine_grid(matrix, list(image.shape), align_corners=False)
    seen = F.grid_sample(image, grid, padding_mode="border", align_corners=False).clamp(0, 1)
    seen = seen ** draw.logarithmic(1 / GAMMA, GAMMA, count, 1, 1, 1)
    if valid is not None:
        valid = F.grid_sample(valid.to(image.dtype), grid, padding_mode="border", align_corners=False) > 0.999
    return seen, valid
