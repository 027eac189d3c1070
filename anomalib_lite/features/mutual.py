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

if TYPE_CHECKING:
    from anomalib_lite.features.backbones import Backbone

SIZES = (1, 3, 5)  # cells of the neighbourhoods that describe a place
SHARE = 0.3  # of the other images: the nearest so many count


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


def mutual_distances(places: Tensor, others: Tensor, share: float = SHARE) -> Tensor:
    """How far each place of an image is from its nearest places in the images that have the nearest ones.

    Args:
        places: (m, d) of one image, unit vectors.
        others: (n, k, d) of n other images.
        share: Of these images, whose distances count: the mean of the lowest floor(share * n), one at least.

    Returns:
        (m,) Euclidean distances, 0 to 2.
    """
    nearest = torch.stack([(places @ other.T).amax(1) for other in others], 1)  # cosine, (m, n)
    counted = nearest.topk(max(1, int(share * len(others))), 1).values
    return (2 - 2 * counted).clamp_min(0).sqrt().mean(1)


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


class Places:
    """What each place of an image looks like: layers of a frozen backbone, at several sizes of neighbourhoods.

    Args:
        network: Gives the maps.
        sizes: Of the neighbourhoods, in cells.
    """

    def __init__(self, network: Backbone, sizes: Sequence[int] = SIZES) -> None:
        self._network, self._sizes = network, tuple(sizes)

    @torch.inference_mode()
    def of(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Describe one image.

        Args:
            image: (1, C, H, W) in [0, 1].

        Returns:
            Unit vectors (m, d) for each layer and size, and an embedding (d,) of the whole image.
        """
        maps = self._network(image)
        described = [neighbourhoods(one, size)[0] for one in maps for size in self._sizes]
        return described, maps[-1].mean((2, 3))[0]

    @torch.inference_mode()
    def anomaly_map(self, places: Sequence[Tensor], others: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """The mean over layers and sizes of `mutual_distances`, on one grid.

        Args:
            places: Of an image, as `of` gives them.
            others: The same of n other images, (n, m, d) each.
            grid: Height and width of the map.

        Returns:
            (h, w).
        """
        found = []
        for mine, theirs in zip(places, others, strict=True):
            distances = mutual_distances(mine, theirs)
            side = round((len(distances) * grid[0] / grid[1]) ** 0.5)
            one = distances.view(1, 1, side, -1)
            found.append(F.interpolate(one, grid, mode="bilinear", align_corners=True)[0, 0])
        return torch.stack(found).mean(0)
