"""The diffusion that inputs are thought to have gone through, and how its time is read off a distance."""

from __future__ import annotations

import torch
from torch import Tensor

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


def time_posterior(squared_distance: Tensor, dimensions: int, steps: int) -> Tensor:
    """Posterior of the time, uniform before, of inputs at a distance from the data (equation 7).

    log p(t | x) = -(d / 2) ln sigma_t^2 - m / (2 sigma_t^2) + constant.

    Args:
        squared_distance: (N,) m, at least 0.
        dimensions: d.
        steps: T.

    Returns:
        (N, T) float64, rows sum to 1.
    """
    variance = variances(steps).to(squared_distance.device)
    log_density = -0.5 * (dimensions * variance.log() + squared_distance.double().unsqueeze(1) / variance)
    return log_density.softmax(1)
