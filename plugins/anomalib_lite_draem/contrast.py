"""What an image looks like beside the whole of it, and beside its surroundings, in units of how much these vary."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIGMAS = (2.5, 8.0)  # of the local contrast that the networks are given, pixels
_SMALLEST = 0.01  # spread of an image that is not taken as flat, share of white
_LEAST = 0.01  # local standard deviation that is not magnified further, in units of the image's values


def units(image: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset of each image (B, 1, 1, 1): gain x image + offset has mean 0.5 and standard deviation 0.2."""
    mean = _whole(image)
    variance = _whole((image - mean).square())
    gain = 0.2 / (variance + _SMALLEST**2).sqrt()
    return gain, 0.5 - gain * mean


def _whole(image: Tensor) -> Tensor:
    """Mean of each image (B, 1, 1, 1), of rows, columns, channels in turn: one long sum in float32 is off by more."""
    return image.mean(3, keepdim=True).mean(2, keepdim=True).mean(1, keepdim=True)


class LocalContrast(nn.Module):
    """Difference from a local mean over a local standard deviation, at several scales.

    Thin and faint defects stand out at once, whatever the shading: a network that is given these maps beside the image
    learns several times faster. The Gaussian windows are products with matrices of fixed size, which every runtime
    computes alike and fast, and end at the edge of the image.

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        sigmas: Standard deviations of the windows of the mean, in pixels; those of the deviation are twice as wide.
    """

    def __init__(self, height: int, width: int, sigmas: tuple[float, ...]) -> None:
        super().__init__()
        self.sigmas = sigmas
        for sigma in (factor * one for one in sigmas for factor in (1, 2)):
            for side, size in (("down", height), ("across", width)):
                self.register_buffer(_name(side, sigma), _window(size, sigma), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C times the number of sigmas, H, W), mostly within [-2, 2]."""
        maps = []
        for sigma in self.sigmas:
            difference = image - self._mean(image, sigma)
            variance = self._mean(difference.square(), 2 * sigma)
            maps.append(0.5 * difference / (variance + _LEAST**2).sqrt())
        return torch.cat(maps, 1)

    def _mean(self, image: Tensor, sigma: float) -> Tensor:
        mean: Tensor = self.get_buffer(_name("down", sigma)) @ image @ self.get_buffer(_name("across", sigma)).T
        return mean


def _name(side: str, sigma: float) -> str:
    return f"{side}_{sigma}".replace(".", "_")


def _window(size: int, sigma: float) -> Tensor:
    """The (size, size) matrix that takes a Gaussian mean of a line, over what of the window lies on it."""
    positions = torch.arange(size, dtype=torch.float32)
    weights = torch.exp(-(positions.unsqueeze(1) - positions).square() / (2 * sigma**2))
    return weights / weights.sum(1, keepdim=True)
