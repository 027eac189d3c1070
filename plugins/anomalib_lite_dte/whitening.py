"""Standardisation of vectors, and their projection onto whitened principal components."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_FLAT = 1e-6  # variance below which a component is not a direction of the data, share of the largest


class Whitening(NamedTuple):
    """An affine map, learnt from good data: (x - mean) @ projection."""

    mean: Tensor  # (d,)
    projection: Tensor  # (d, k)

    def __call__(self, vectors: Tensor) -> Tensor:
        """(..., d) -> (..., k)."""
        return (vectors - self.mean) @ self.projection


def principal_components(mean: Tensor, covariance: Tensor, limit: int) -> Whitening:
    """The largest principal components, each scaled to variance 1.

    Args:
        mean: (d,).
        covariance: (d, d).
        limit: Components at most; fewer where the data has fewer directions.

    Returns:
        A map from d to at least 1 dimension. Data without any spread is mapped to 0.
    """
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0)[:limit], vectors.flip(1)[:, :limit]
    kept = values > max(float(values[0]) * _FLAT, torch.finfo(values.dtype).tiny)
    kept[0] = True
    scale = torch.where(values > 0, values, 1.0).rsqrt() * (values > 0)
    return Whitening(mean, (vectors * scale)[:, kept])
