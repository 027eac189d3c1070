"""The published algorithm, vectorised: windows of differences, PCA, K-means, and the clusters that change.

Everything is made of products of matrices with fixed numbers of steps, so that it is exported as it is. On drawings
many pixels are equally near to two centres, and rounding would send them to one here and to the other on a device: so
membership of a cluster is slightly soft, and all is computed in 64 bits. Where the authors depart from their text in
their code, this follows the text: grey and colour differences have one scale, and windows are not transposed. Alignment
and light come before; what is kept of the published algorithm are descriptors, clusters and their mean squared
difference.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

GREY_DIMENSIONS, COLOUR_DIMENSIONS = 3, 9
SAMPLES = 20_000  # pixels, at most, that principal axes and clusters are found on
AXIS_STEPS = 12  # of the subspace iteration
CLUSTER_STEPS = 10
SOFTNESS = 0.05  # of membership, in units of the mean squared length of the points
PARTED = 0.01  # of the root of the mean squared length: how far apart equal starts are moved
TINY = 1e-12


def change(image: Tensor, reference: Tensor, *, window: int, clusters: int) -> Tensor:
    """Mean squared difference of the cluster that each pixel belongs to, (B, 1, H, W), at least 0.

    Args:
        image: (B, C, H, W) in [0, 1].
        reference: Of the same shape.
        window: Side of the window that describes a pixel, odd.
        clusters: How many clusters.
    """
    batch, _, height, width = image.shape
    apart = (image - reference).abs().double()
    descriptors = describe(apart, window)  # (B, D, HW)
    step = -(-height * width // SAMPLES)
    sample = descriptors[:, :, ::step].transpose(1, 2)  # (B, S, D)
    centres = cluster(sample, clusters)  # (B, K, D)
    softness = SOFTNESS * sample.square().sum(2).mean(1)
    members = _members(descriptors.transpose(1, 2), centres, softness)  # (B, HW, K), of sum 1
    squared = apart.square().mean(1).flatten(1)  # (B, HW)
    totals = torch.einsum("bpk,bp->bk", members, squared)
    means = totals / members.sum(1).clamp_min(TINY)
    return torch.einsum("bpk,bk->bp", members, means).view(batch, 1, height, width).to(image.dtype)


def describe(apart: Tensor, window: int) -> Tensor:
    """Principal components of the window around each pixel: of grey differences, then of all channels; (B, D, HW)."""
    grey = _projected(_windows(apart.mean(1, keepdim=True), window), GREY_DIMENSIONS)
    return torch.cat([grey, _projected(_windows(apart, window), COLOUR_DIMENSIONS)], 1)


def _windows(values: Tensor, window: int) -> Tensor:
    """Windows (B, C w w, HW); outside of the image are its edges."""
    return F.unfold(F.pad(values, (window // 2,) * 4, mode="replicate"), window)


def _projected(windows: Tensor, dimensions: int) -> Tensor:
    """Projection (B, d, HW) on the axes of largest variance, by subspace iteration from fixed cosines."""
    size = windows.shape[1]
    dimensions = min(dimensions, size)
    step = -(-windows.shape[2] // SAMPLES)
    sample = windows[:, :, ::step]
    centred = sample - sample.mean(2, keepdim=True)
    covariance = centred @ centred.transpose(1, 2) / sample.shape[2]
    place = torch.arange(size, dtype=windows.dtype, device=windows.device) + 0.5
    order = torch.arange(dimensions, dtype=windows.dtype, device=windows.device)
    axes = torch.cos(torch.pi / size * place[:, None] * order).expand(windows.shape[0], size, dimensions)
    for _ in range(AXIS_STEPS):
        axes = _orthonormal(covariance @ axes)
    return axes.transpose(1, 2) @ windows


def _orthonormal(axes: Tensor) -> Tensor:
    """Gram-Schmidt on columns (B, n, d); a column that vanishes stays 0."""
    done: list[Tensor] = []
    for column in axes.unbind(2):
        for _ in range(2):  # twice is enough: Giraud et al. 2005
            for other in done:
                column = column - (other * column).sum(1, keepdim=True) * other
        done.append(column / (column.square().sum(1, keepdim=True) + TINY).sqrt())
    return torch.stack(done, 2)


def cluster(points: Tensor, clusters: int) -> Tensor:
    """Centres (B, K, D) of K-means on points (B, S, D), started from points of all lengths, more of the long ones."""
    number = points.shape[1]
    lengths = (points.square().sum(2) + TINY).sqrt()  # (B, S)
    # the quantiles draw near 1: changes are rare, and must start with centres of their own
    share = 1 - torch.linspace(0, 1, clusters, dtype=points.dtype, device=points.device).flip(0).square()
    start = lengths.sort(1).values[:, (share * (number - 1)).round().to(torch.int64)]  # (B, K)
    # equal starts, of the many places without any difference, would be parted by rounding alone, otherwise on a device
    order = torch.arange(clusters, dtype=points.dtype, device=points.device) / clusters
    start = start + PARTED * lengths.square().mean(1, keepdim=True).sqrt() * order
    softness = SOFTNESS * lengths.square().mean(1)
    members = _members(lengths.unsqueeze(2), start.unsqueeze(2), softness)
    centres = _centres(points, members)
    for _ in range(CLUSTER_STEPS):
        centres = _centres(points, _members(points, centres, softness))
    return centres


def _centres(points: Tensor, members: Tensor) -> Tensor:
    """Means (B, K, D) of the points (B, S, D) of each cluster."""
    counts = members.sum(1).unsqueeze(2)
    return torch.einsum("bsk,bsd->bkd", members, points) / counts.clamp_min(TINY)


def _members(points: Tensor, centres: Tensor, softness: Tensor) -> Tensor:
    """Share (B, S, K) of each cluster in each point (B, S, D): falls with the squared distance over `softness` (B,)."""
    distances = centres.square().sum(2).unsqueeze(1) - 2 * points @ centres.transpose(1, 2)
    return torch.softmax(-distances / softness.clamp_min(TINY).view(-1, 1, 1), 2)
