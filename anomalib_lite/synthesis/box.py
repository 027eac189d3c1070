"""Where in its frame each image lies: the rest is padding, or outside the region of interest."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

__all__ = ["Box"]


class Box(NamedTuple):
    """A rectangle for each of N images, in pixels of the frame."""

    top: Tensor  # (N,) float32
    left: Tensor
    height: Tensor
    width: Tensor

    @property
    def side(self) -> Tensor:
        """The longer side, (N,)."""
        return torch.maximum(self.height, self.width)

    @classmethod
    def whole(cls, image: Tensor) -> Self:
        """The frame itself, of images (N, C, H, W)."""
        height, width = image.shape[2:]
        zero = torch.zeros(len(image), device=image.device)
        return cls(zero, zero, zero + height, zero + width)

    @classmethod
    def around(cls, valid: Tensor) -> Self:
        """The smallest one around the valid pixels (N, 1, H, W) bool; the frame where there are none."""
        (top, height), (left, width) = (_extent(valid.flatten(1, 2).any(axis)) for axis in (2, 1))
        return cls(top, left, height, width)

    def inside(self, height: int, width: int) -> Tensor:
        """(N, 1, height, width) bool, True in the box."""
        rows = torch.arange(height, device=self.top.device).view(-1, 1)
        columns = torch.arange(width, device=self.top.device)
        top, left, tall, wide = (one.view(-1, 1, 1, 1) for one in self)
        return (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)

    def of(self, index: Tensor) -> Self:
        """Those of some of the images."""
        return type(self)(*(one[index] for one in self))


def _extent(present: Tensor) -> tuple[Tensor, Tensor]:
    """First position that is True along (N, n), and how many from there to the last."""
    count = present.shape[1]
    position = torch.arange(count, device=present.device)
    first = torch.where(present, position, count).amin(1)
    last = torch.where(present, position, -1).amax(1)
    some = last >= first
    first, last = torch.where(some, first, 0), torch.where(some, last, count - 1)
    return first.to(torch.float32), (last - first + 1).to(torch.float32)
