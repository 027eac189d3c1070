"""How much a reconstruction differs from the image: gradient magnitude and structural similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_GMS_C = 0.0026  # Xue et al., 2014, for images in [0, 1]
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2


def _gradient_magnitude(grey: Tensor) -> Tensor:
    """Prewitt magnitude of (B, 1, H, W), edges replicated."""
    across = torch.tensor([[1.0, 0.0, -1.0]] * 3, dtype=grey.dtype, device=grey.device) / 3
    kernels = torch.stack([across, across.T]).unsqueeze(1)
    gradient = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
    return (gradient.square().sum(1, keepdim=True) + 1e-12).sqrt()


def gms_difference(image: Tensor, other: Tensor, scales: int) -> list[Tensor]:
    """1 - gradient magnitude similarity per scale (Xue et al., Gradient Magnitude Similarity Deviation, 2014, eq. 4).

    Args:
        image: (B, C, H, W), about [0, 1]; averaged over C first.
        other: Likewise.
        scales: The images are halved between scales.

    Returns:
        `scales` maps in [0, 1], each (B, 1, H / 2^i, W / 2^i) rounded down: 0 where gradients agree.
    """
    image, other = image.mean(1, keepdim=True), other.mean(1, keepdim=True)
    maps = []
    for scale in range(scales):
        if scale:
            image, other = F.avg_pool2d(image, 2), F.avg_pool2d(other, 2)
        a, b = _gradient_magnitude(image), _gradient_magnitude(other)
        maps.append(1 - (2 * a * b + _GMS_C) / (a.square() + b.square() + _GMS_C))
    return maps


def msgms_difference(image: Tensor, other: Tensor, scales: int) -> Tensor:
    """Mean of `gms_difference` over its scales, (B, 1, H, W) in [0, 1] (RIAD, eq. 5)."""
    size = (image.shape[2], image.shape[3])
    first, *coarser = gms_difference(image, other, scales)
    total = first
    for one in coarser:
        total = total + F.interpolate(one, size=size, mode="bilinear")
    return total / scales


def ssim(image: Tensor, other: Tensor) -> Tensor:
    """Structural similarity map (Wang et al., 2004, eq. 13), 11 x 11 Gaussian window of sigma 1.5.

    Args:
        image: (B, C, H, W), about [0, 1].
        other: Likewise.

    Returns:
        (B, C, H - 10, W - 10), at most 1.
    """
    offsets = torch.arange(-5, 6, dtype=image.dtype, device=image.device)
    window = torch.softmax(-offsets.square() / (2 * 1.5**2), 0)
    batch, channels, height, width = image.shape

    def blur(x: Tensor) -> Tensor:
        x = x.reshape(batch * channels, 1, height, width)
        x = F.conv2d(F.conv2d(x, window.view(1, 1, 11, 1)), window.view(1, 1, 1, 11))
        return x.reshape(batch, channels, height - 10, width - 10)

    mean_a, mean_b = blur(image), blur(other)
    variance_a = blur(image.square()) - mean_a.square()
    variance_b = blur(other.square()) - mean_b.square()
    covariance = blur(image * other) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _SSIM_C1) / (mean_a.square() + mean_b.square() + _SSIM_C1)
    structure = (2 * covariance + _SSIM_C2) / (variance_a + variance_b + _SSIM_C2)
    return luminance * structure
