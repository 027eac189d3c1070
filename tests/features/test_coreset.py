"""The coreset: greedy k-center, compared with brute force."""

from __future__ import annotations

from itertools import combinations, islice
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from anomalib_lite.features import coreset, farthest_first

Points = NDArray[np.float64]


def k_center_by_brute_force(points: Points, size: int) -> list[int]:
    """Greedy k-center with the whole matrix of distances."""
    distance = ((points[:, None] - points[None]) ** 2).sum(2)
    chosen = [0]
    while len(chosen) < size:
        chosen.append(int(distance[:, chosen].min(1).argmax()))
    return chosen


def test_the_coreset_is_the_greedy_k_center(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(60, 3))
    expected = k_center_by_brute_force(points, 20)
    assert list(islice(farthest_first(torch.from_numpy(points)), 20)) == expected
    monkeypatch.setattr(coreset, "CHUNK", 7)
    assert list(islice(farthest_first(torch.from_numpy(points)), 20)) == expected


def test_no_other_choice_covers_twice_as_closely() -> None:
    points = np.random.default_rng(1).normal(size=(11, 2))
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(2))
    chosen = list(islice(farthest_first(torch.from_numpy(points)), 3))
    best = min(distance[:, list(one)].min(1).max() for one in combinations(range(11), 3))
    assert distance[:, chosen].min(1).max() <= 2 * best


def test_copies_are_not_chosen_twice() -> None:
    points = torch.tensor([[0.0], [3.0], [0.0], [1.0], [3.0]])
    assert list(farthest_first(points)) == [0, 1, 3]


def test_the_coreset_holds_one_chunk_beside_the_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    class Largest(TorchDispatchMode):
        """Numbers in the largest tensor that any operation makes."""

        found = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **kwargs or {})
            made = [
                one for one in (result if isinstance(result, list | tuple) else [result]) if isinstance(one, Tensor)
            ]
            if not func.is_view:
                self.found = max([self.found, *(one.numel() for one in made)])
            return result

    monkeypatch.setattr(coreset, "CHUNK", 50)
    points = torch.randn(1000, 30)
    with Largest() as largest:  # type: ignore[no-untyped-call]  # of torch
        list(islice(farthest_first(points), 40))
    assert largest.found == 50 * 30  # more than the 1,000 distances, 20 times less than all differences
