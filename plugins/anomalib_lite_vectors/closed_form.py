"""The closed form: distances to the nearest vectors of a gallery, in bounded memory, and the time that they tell."""

from __future__ import annotations

import torch
from torch import Tensor

from anomalib_lite_vectors.diffusion import variances

QUERIES = 1024  # at a time
CANDIDATES = 8192


def nearest_squared_distances(queries: Tensor, gallery: Tensor, k: int) -> Tensor:
    """The k smallest squared Euclidean distances of each query to the gallery, computed from differences: 0 is 0.

    At no time more than 1,024 x 8,192 distances are held, however large queries and gallery are.

    Args:
        queries: (N, d).
        gallery: (n, d), n at least k.
        k: How many.

    Returns:
        (N, k), ascending.
    """
    return torch.cat([_nearest(part, gallery, k) for part in torch.split(queries, QUERIES)])


def _nearest(queries: Tensor, gallery: Tensor, k: int) -> Tensor:
    best = queries.new_empty(len(queries), 0)
    for part in torch.split(gallery, CANDIDATES):
        # |q - g|^2 less |q|^2, which orders alike but is inexact near 0: the distances proper come from differences
        order = torch.addmm(part.square().sum(1), queries, part.T, alpha=-2)
        index = order.topk(min(k, len(part)), largest=False).indices
        found = (queries.unsqueeze(1) - part[index]).square().sum(2)
        best = torch.cat([best, found], 1).sort(1).values[:, :k]
    return best


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
