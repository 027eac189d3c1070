"""What is hidden: grids of holes for the first map, and random holes to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from anomalib_lite.synthesis import shapes, squares, strokes

_HIDDEN = 0.4  # of an image in training, about, before holes overlap
_SHAPES = 4  # in an image, of 8 % on average


def grids(height: int, width: int, side: int) -> Tensor:
    """Square holes, a quarter of the image in each of 8 passes; every pixel is in two, shifted by half a hole.

    Returns:
        (8, 1, height, width) bool.
    """
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width)
    found = []
    for shift in (0, side // 2):
        down, across = (rows + shift) // side % 2, (columns + shift) // side % 2
        found += [(down == i) & (across == j) for i in (0, 1) for j in (0, 1)]
    return torch.stack(found).unsqueeze(1)


def at_random(image: Tensor, valid: Tensor | None, kinds: Sequence[str], side: int) -> Tensor:
    """Hide about a third of each image: squares, brush strokes or shapes, about as wide as `side`.

    Args:
        image: (B, C, H, W).
        valid: (B, 1, H, W) bool, what counts of it; None for all.
        kinds: Of which each image gets one by chance.
        side: In pixels.

    Returns:
        (B, 1, H, W) bool.
    """
    count, _, height, width = image.shape
    number = max(1, round(_HIDDEN * height * width / side**2))
    drawn = torch.randint(len(kinds), (count,))
    hidden = torch.zeros(count, height, width, dtype=torch.bool)
    for kind, name in enumerate(kinds):
        which = drawn == kind
        some = int(which.sum())
        if name == "rectangles":
            largest = min(side + side // 2, height, width)
            hidden[which] = squares(some, height, width, holes=number, side=(max(1, side // 2), largest))
        elif name == "strokes":
            reach, radius = (side / 2, 1.5 * side), (side / 6, side / 2)
            lines = max(1, number // 3)
            hidden[which] = strokes(some, height, width, holes=lines, points=4, step=reach, radius=radius)
        elif some:
            allowed = None if valid is None else valid[which]
            hidden[which] = shapes(image[which], side=max(2, side // 2), holes=_SHAPES, allowed=allowed)
    return hidden.unsqueeze(1).to(image.device)
