"""The terms of the loss: structural dissimilarity, the focal loss of the outline, and the presence of an anomaly."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_C1, _C2 = 0.01**2, 0.03**2  # of SSIM, for images in [0, 1]


def dissimilarity(image: Tensor, other: Tensor) -> Tensor:
    """1 - structural similarity (Wang et al., 2004, eq. 13), 11 x 11 Gaussian window of sigma 1.5, zeros outside.

    Args:
        image: (B, C, H, W), about [0, 1].
        other: Likewise.

    Returns:
        (B, C, H, W) in about [0, 2], 0 where they agree.
    """
    down, across = (_window(size, image) for size in image.shape[2:])
    # products with band matrices: three times faster than convolutions of single channels
    mean_a, mean_b, square_a, square_b, product = (
        down @ moment @ across for moment in (image, other, image.square(), other.square(), image * other)
    )
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a.square() + mean_b.square() + _C1)
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    return 1 - luminance * (2 * (product - mean_a * mean_b) + _C2) / (variances + _C2)


def _window(size: int, like: Tensor) -> Tensor:
    """The (size, size) matrix that smooths a line by an 11 point Gaussian of sigma 1.5, of sum 1."""
    offsets = torch.arange(size, device=like.device).unsqueeze(1) - torch.arange(size, device=like.device)
    weights = torch.exp(-offsets.to(like.dtype).square() / (2 * 1.5**2))
    total = torch.exp(-torch.arange(-5, 6, device=like.device, dtype=like.dtype).square() / (2 * 1.5**2)).sum()
    return torch.where(offsets.abs() <= 5, weights / total, torch.zeros_like(weights))


def focal(margin: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """Focal loss of two classes (Lin et al., Focal Loss for Dense Object Detection, 2017, eq. 4), without weights.

    Args:
        margin: Logit of anomalous less logit of normal, any shape: the softmax of the two depends on it alone.
        mask: Of the same shape, 1 where anomalous and 0 elsewhere.
        gamma: How much less a pixel counts that is right already; 0 for cross-entropy.

    Returns:
        -(1 - p)^gamma log p of the true class, of the same shape.
    """
    right = torch.where(mask > 0, margin, -margin)
    return torch.sigmoid(-right) ** gamma * F.softplus(-right)


def presence(margin: Tensor, mask: Tensor, share: float) -> Tensor:
    """Cross-entropy of whether an image holds an anomaly, told by its highest margins: what the image score is for.

    Args:
        margin: (B, 1, H, W).
        mask: (B, 1, H, W), 1 where anomalous and 0 elsewhere; all 0 for a good image.
        share: Of the pixels, those of the highest margin, after a mean filter of 3 x 3, whose mean is taken.

    Returns:
        (B,), at least 0.
    """
    smooth = F.avg_pool2d(margin, 3, 1, 1, count_include_pad=False).flatten(1)
    highest = smooth.topk(max(1, round(share * smooth.shape[1])), 1).values.mean(1)
    return F.binary_cross_entropy_with_logits(highest, mask.flatten(1).amax(1), reduction="none")


def recall(losses: Tensor, mask: Tensor) -> Tensor:
    """Mean over the anomalous pixels of each image, so that a thin crack counts as much as a large patch.

    Args:
        losses: (B, 1, H, W).
        mask: Of the same shape, 1 where anomalous and 0 elsewhere.

    Returns:
        (B,), 0 for an image without an anomaly.
    """
    return (losses * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp_min(1)
