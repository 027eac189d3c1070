"""Mutual scoring: equal to the definitions of MuSc, written down directly."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="mutual scoring needs torch: pip install 'anomalib-lite[train]'")

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from anomalib_lite.features.mutual import mutual_distances, neighbourhoods, reweighted


def features(number: int, seed: int = 0) -> Tensor:
    return torch.randn(number, 6, 5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_place_is_the_mean_of_its_surroundings(size: int) -> None:
    maps = features(2)
    variance = maps.var((1, 2, 3), correction=0, keepdim=True)
    normal = (maps - maps.mean((1, 2, 3), keepdim=True)) / (variance + 1e-5).sqrt()
    patches = F.unfold(normal, size, padding=size // 2).view(2, 6, size * size, 35)
    expected = F.normalize(patches.mean(2).transpose(1, 2), dim=2)
    torch.testing.assert_close(neighbourhoods(maps, size), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("number", [4, 5, 8, 11])
def test_distances_are_those_of_the_nearest_third_of_the_others(number: int) -> None:
    places = neighbourhoods(features(number + 1), 3)
    nearest = torch.stack([torch.cdist(places[0], other).amin(1) for other in places[1:]], 1)
    expected = nearest.sort(1).values[:, : max(1, int(0.3 * number))].mean(1)
    (found,) = mutual_distances(places[0], places[1:])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    both = mutual_distances(places[:2], places[1:], (0.1, 0.3))
    torch.testing.assert_close(both[0], torch.stack([nearest.amin(1), expected]), rtol=0, atol=1e-6)
    shuffled = places[1:][torch.randperm(number)]
    torch.testing.assert_close(mutual_distances(places[0], shuffled)[0], found)


def test_images_are_compared_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    places = neighbourhoods(features(8), 3)
    at_once = mutual_distances(places[:2], places[2:])
    monkeypatch.setattr("anomalib_lite.features.mutual.PAIRS", 35 * 35 * 4)
    torch.testing.assert_close(mutual_distances(places[:2], places[2:]), at_once)


def test_a_copy_lowers_the_distances() -> None:
    places = neighbourhoods(features(7), 1)
    with_copy = torch.cat([places[1:], places[:1]])
    assert (mutual_distances(places[0], with_copy) < mutual_distances(places[0], places[1:])).all()


def test_image_scores_are_mixed_with_those_of_the_images_most_alike() -> None:
    generator = torch.Generator().manual_seed(1)
    scores, embeddings = torch.rand(9, generator=generator), torch.randn(9, 4, generator=generator).abs()
    scaled = (scores - scores.min()) / (scores.max() - scores.min())
    unit = F.normalize(embeddings, dim=1)
    window = unit @ unit.T
    expected = torch.zeros(9)
    for k in (1, 2, 3):
        least = window.sort(1, descending=True).values[:, k - 1 : k]
        kept = torch.where(window >= least, window, 0.0)
        expected += (kept / kept.sum(1, keepdim=True)) @ scaled / 3
    torch.testing.assert_close(reweighted(scores, embeddings, torch.arange(9)), expected, rtol=0, atol=1e-6)
    alone = reweighted(scores, embeddings, torch.zeros(9))
    torch.testing.assert_close(alone, scaled, rtol=0, atol=1e-6)  # of one part all of them
    assert (reweighted(torch.ones(9), embeddings, torch.arange(9)) == 0).all()
