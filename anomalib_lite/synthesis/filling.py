"""Hidden pixels filled smoothly from visible ones: where a network that paints them starts."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["pull_push"]


def pull_push(image: Tensor, visible: Tensor, levels: int) -> Tensor:
    """Fill hidden pixels smoothly from the visible ones (Gortler et al., The Lumigraph, 1996, section 3.4).

    Visible pixels are averaged into ever coarser grids; on the way back each cell that nothing visible fell into takes
    the value of the coarser grid. Continuous in what is visible.

    Args:
        image: (B, C, H, W); H and W divisible by 2^levels.
        visible: (B, 1, H, W) in [0, 1]: 1 where the image may be used and 0 where it is hidden.
        levels: Halvings; a hole of more than about 2^levels pixels across stays 0 in its middle.

    Returns:
        (B, C, H, W): the image where visible, the interpolation elsewhere.
    """
    if levels == 0:
        return image * visible
    seen = F.avg_pool2d(visible, 2)
    coarse = F.avg_pool2d(image * visible, 2) / seen.clamp_min(1e-6)
    filled = pull_push(coarse, (4 * seen).clamp(max=1), levels - 1)
    return image * visible + F.interpolate(filled, scale_factor=2.0, mode="bilinear") * (1 - visible)
