"""Squared distances to the nearest vectors of a gallery, in bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor

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
