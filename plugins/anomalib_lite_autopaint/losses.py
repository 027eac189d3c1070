"""How wrong a filling is: where it was hidden, where it was not, and in the eyes of a frozen network.

Liu et al., Image inpainting for irregular holes using partial convolutions, ECCV 2018, section 3.3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.detector import ImageSpec
from anomalib_lite.features import backbone

LAYERS = ("blocks.0", "blocks.1")  # of EfficientNet-Lite0: strides of 2 and 4
_STRIDE = 4


def mean_over(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of (B, C, H, W) over the pixels that count, (B, 1, H, W) of bool; 0 where there are none."""
    weights = counted.to(values.dtype).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp_min(1)


def total_variation(image: Tensor, counted: Tensor) -> Tensor:
    """Mean absolute step between neighbours of which one counts at least."""
    steps = []
    for axis in (2, 3):
        size = image.shape[axis] - 1
        either = counted.narrow(axis, 0, size) | counted.narrow(axis, 1, size)
        steps.append(mean_over(image.diff(dim=axis).abs(), either))
    return torch.stack(steps).mean()


class Eyes(nn.Module):
    """A frozen network that sees each channel of an image as a grey picture.

    Raises:
        ConfigError: Its weights cannot be had.
    """

    def __init__(self, weights: str, image: ImageSpec) -> None:
        super().__init__()
        self.padding = (0, -image.width % _STRIDE, 0, -image.height % _STRIDE)
        height, width = image.height + self.padding[3], image.width + self.padding[1]
        grey = ImageSpec(height, width, 1, image.dtype, image.white)
        self.backbone = backbone("tf_efficientnet_lite0", weights, LAYERS, grey)
        self.backbone.load_pretrained()

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to a map (B * C, features, h, w) of each layer."""
        found: list[Tensor] = self.backbone(F.pad(image.flatten(0, 1).unsqueeze(1), self.padding))
        return found


def perceptual_and_style(eyes: Eyes, truth: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute difference of features, and of their correlations, in units of the mean absolute true ones.

    Args:
        eyes: Who looks.
        truth: (B, C, H, W).
        others: Likewise; the mean over them is told.

    Returns:
        Two scalars.
    """
    with torch.no_grad():
        seen = eyes(truth)
    perceptual, style = [], []
    for other in others:
        for one, found in zip(seen, eyes(other), strict=True):
            perceptual.append((found - one).abs().mean() / one.abs().mean().clamp_min(1e-6))
            true = _correlations(one)
            style.append((_correlations(found) - true).abs().mean() / true.abs().mean().clamp_min(1e-6))
    return torch.stack(perceptual).mean(), torch.stack(style).mean()


def _correlations(features: Tensor) -> Tensor:
    """Gram matrices (N, d, d) of (N, d, h, w), of the mean over the places."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]
