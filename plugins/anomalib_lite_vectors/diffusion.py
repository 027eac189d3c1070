"""The diffusion that inputs are thought to have gone through."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 400  # T, where a network tells the time
BINS = 7  # of equal length, that it tells the time in
FIRST_BETA, LAST_BETA = 1e-4, 1e-2


def variances(steps: int) -> Tensor:
    """Variance of the noise at each time: 1 - prod(1 - beta), beta linear (Livernoche et al., 2024, section 4).

    The data itself is not scaled down: x_t = x_0 + sqrt(variance_t) * noise.

    Args:
        steps: Number of times T.

    Returns:
        (T,) float64, rising from 1e-4; 0.78 at the end for T = 300, 0.87 for T = 400.
    """
    betas = torch.linspace(FIRST_BETA, LAST_BETA, steps, dtype=torch.float64)
    return 1 - (1 - betas).cumprod(0)
