"""Which of many vectors to keep."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 8192  # vectors at a time


def farthest_first(points: Tensor) -> Iterator[int]:
    """Greedy k-center: the first point, and then always the one that is farthest from all before it.

    After k of them no point is farther from the nearest one than twice what the best k points could reach (Gonzalez:
    Clustering to minimize the maximum intercluster distance, 1985). For patch vectors: Roth et al., Towards total
    recall in industrial anomaly detection, CVPR 2022, section 3.2.

    Args:
        points: (N, d), N at least 1. Beside them N distances and 8,192 differences are held.

    Yields:
        Indices, one for each distinct point.
    """
    distance = points.new_full((len(points),), torch.inf)  # squared, to the nearest that was chosen
    chosen, farthest = 0, torch.inf
    while farthest > 0:
        yield chosen
        for part, nearest in zip(torch.split(points, CHUNK), torch.split(distance, CHUNK), strict=True):
            torch.minimum(nearest, (part - points[chosen]).square().sum(1), out=nearest)
        chosen = int(distance.argmax())
        farthest = float(distance[chosen])
