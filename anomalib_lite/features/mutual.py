"""Mutual scoring: how far each place of an image is from the nearest places of most other images of the same lot.

Li et al., MuSc: Zero-shot industrial anomaly classification and segmentation with unlabeled images, ICLR 2024: local
neighbourhood aggregation (LNAMD), mutual scoring (MSM), re-weighting of image scores (RsCIN).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from anomalib_lite.edge.manifest import ImageSpec

if TYPE_CHECKING:
    from anomalib_lite.features.backbones import Backbone

SIZES = (1, 3, 5)  # cells of the neighbourhoods that describe a place
SHARE = 0.3  # of the other images: the nearest so many count
PAIRS = 1 << 24  # of places that are compared at once: 64 MiB


def neighbourhoods(features: Tensor, size: int) -> Tensor:
    """Describe each place of a map by its surroundings.

    Args:
        features: (B, d, h, w) of a layer.
        size: Side of the neighbourhood in cells, odd; 1 for the place alone.

    Returns:
        (B, h * w, d), unit vectors.
    """
    normal = F.layer_norm(features, features.shape[1:])
    if size > 1:
        normal = F.avg_pool2d(normal, size, 1, size // 2)
    return F.normalize(normal.flatten(2).transpose(1, 2), dim=2)


def nearest(places: Tensor, others: Tensor) -> Tensor:
    """How alike each place is to the place of each other image that is most like it.

    Args:
        places: (..., m, d), unit vectors.
        others: (n, k, d) of n other images.

    Returns:
        (..., m, n) cosines.
    """
    at_once = max(1, PAIRS // (places.shape[-2] * others.shape[1]))
    found = [
        (places @ some.flatten(0, 1).T).unflatten(-1, some.shape[:2]).amax(-1)  # one product for several images
        for some in others.split(at_once)
    ]
    return found[0] if len(found) == 1 else torch.cat(found, -1)


def mutual_distances(places: Tensor, others: Tensor, shares: Sequence[float] = (SHARE,)) -> Tensor:
    """How far each place of an image is from its nearest places in the images that have the nearest ones.

    Args:
        places: (..., m, d), unit vectors.
        others: (n, k, d) of n other images.
        shares: Of these images, whose distances count: the mean of the lowest floor(share * n), one at least.

    Returns:
        (..., s, m) Euclidean distances, 0 to 2, for each of s shares.
    """
    counts = [max(1, int(share * len(others))) for share in shares]
    distances = (2 - 2 * nearest(places, others).topk(max(counts), -1).values).clamp_min(0).sqrt()
    return torch.stack([distances[..., :count].mean(-1) for count in counts], -2)


def reweighted(scores: Tensor, embeddings: Tensor, parts: Tensor, neighbours: Sequence[int] = (1, 2, 3)) -> Tensor:
    """Image scores, each mixed with those of the images that look most like it.

    Args:
        scores: (N,).
        embeddings: (N, d) of whole images; brought to unit length.
        parts: (N,) numbers: images of the same part do not count for each other.
        neighbours: Sizes of the neighbourhoods, the image itself included; their mean is taken.

    Returns:
        (N,) in 0 to 1, the scores scaled from lowest to highest; all 0 where all are equal.
    """
    span = scores.max() - scores.min()
    scaled = (scores - scores.min()) / span if span > 0 else torch.zeros_like(scores)
    unit = F.normalize(embeddings, dim=1)
    found = []
    for first in range(0, len(unit), 1024):  # rows: the whole matrix of a large lot would not fit into memory
        rows = torch.arange(first, min(first + 1024, len(unit)))
        alike = unit[rows] @ unit.T
        alike = alike.masked_fill(parts[rows, None] == parts, -torch.inf)
        alike[torch.arange(len(rows)), rows] = 1.0
        values, places = alike.topk(min(max(neighbours), len(unit)), 1)
        values = values.clamp_min(0)  # those of the same part, where there are no others
        sums = [(values[:, :k] * scaled[places[:, :k]]).sum(1) / values[:, :k].sum(1) for k in neighbours]
        found.append(torch.stack(sums).mean(0))
    return torch.cat(found)


class MutualScoring:
    """Describes places by layers of a frozen backbone, at several sizes of neighbourhoods, and compares them.

    Args:
        network: Gives the maps.
        image: Of the images that it sees.
        sizes: Of the neighbourhoods, in cells.

    Attributes:
        grids: Height and width of each description of `describe`, in cells; the first is that of the map.
        channels: Of each.
    """

    def __init__(self, network: Backbone, image: ImageSpec, sizes: Sequence[int] = SIZES) -> None:
        self._network, self._sizes = network, tuple(sizes)
        self.grids = [(image.height // stride, image.width // stride) for stride in network.strides for _ in sizes]
        self.channels = [channels for channels in network.channels for _ in sizes]

    def describe(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Describe each place, and each image as a whole.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            Unit vectors (B, h * w, d) for each layer and size, and embeddings (B, d) of whole images.
        """
        maps = self._network(image)
        described = [neighbourhoods(one, size) for one in maps for size in self._sizes]
        return described, maps[-1].mean((2, 3))

    def anomaly_maps(
        self, places: Sequence[Tensor], others: Sequence[Tensor], shares: Sequence[float] = (SHARE,)
    ) -> Tensor:
        """The mean over layers and sizes of `mutual_distances`.

        Args:
            places: As `describe` gives them.
            others: The same of n other images.
            shares: Of these images, whose distances count.

        Returns:
            (B, s, h, w) on the grid of the first layer, for each of s shares: Euclidean distances, 0 to 2.
        """
        found = []
        for mine, theirs, grid in zip(places, others, self.grids, strict=True):
            one = mutual_distances(mine, theirs, shares).unflatten(-1, grid)
            found.append(F.interpolate(one, self.grids[0], mode="bilinear", align_corners=True))
        return torch.stack(found).mean(0)
