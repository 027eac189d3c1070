"""Mahalanobis distances: the same as those of scikit-learn and scipy, and finite where these have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from anomalib_lite.features import ledoit_wolf

covariances = pytest.importorskip("sklearn.covariance")
distances = pytest.importorskip("scipy.spatial.distance")


def correlated(count: int, features: int, seed: int = 0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, features)) @ random.normal(size=(features, features)) + 5


@pytest.mark.parametrize(("count", "features"), [(300, 6), (50, 20), (12, 40), (9, 1), (3, 2)])
def test_distances_are_those_of_scikit_learn_and_scipy(count: int, features: int) -> None:
    train, test = correlated(count, features), correlated(7, features, seed=1)
    oracle = covariances.LedoitWolf().fit(train)
    inverse = np.linalg.inv(oracle.covariance_)
    expected = [distances.mahalanobis(one, oracle.location_, inverse) for one in test]
    found = ledoit_wolf(torch.from_numpy(train))(torch.from_numpy(test)).norm(dim=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_many_vectors_have_the_distances_that_no_linear_map_changes() -> None:
    """Shrinking, which does depend on units, vanishes with the number of vectors."""
    random = np.random.default_rng(0)
    train, test, mixed = random.normal(size=(20_000, 4)), random.normal(size=(9, 4)), np.triu(np.ones((4, 4)))
    found = [
        ledoit_wolf(torch.from_numpy(train @ by))(torch.from_numpy(test @ by)).norm(dim=-1) for by in (np.eye(4), mixed)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-2)


def test_floats_are_summed_as_doubles() -> None:
    train, test = correlated(100, 5), correlated(7, 5, seed=1)
    double = ledoit_wolf(torch.from_numpy(train))(torch.from_numpy(test))
    single = ledoit_wolf(torch.from_numpy(train).float())(torch.from_numpy(test).float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.norm(dim=-1), double.norm(dim=-1).float(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_vectors_that_are_all_alike_have_distances_in_their_own_units(count: int, value: float) -> None:
    whitening = ledoit_wolf(torch.full((count, 3), value, dtype=torch.float64))
    assert float(whitening(torch.tensor([value, value + 3, value + 4]).double()).norm()) == pytest.approx(5, rel=1e-6)


def test_what_never_differed_is_far_where_it_does() -> None:
    train = correlated(40, 4)
    train[:, 2] = 7
    whitening = ledoit_wolf(torch.from_numpy(train))
    usual, odd = torch.from_numpy(train[:1].copy()), torch.from_numpy(train[:1].copy())
    odd[0, 2] += 3
    assert 5 < float(whitening(odd).norm()) < 1e6
    assert float(whitening(usual).norm()) < 5


def test_two_vectors_leave_a_finite_distance_in_any_direction() -> None:
    whitening = ledoit_wolf(torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]], dtype=torch.float64))
    assert torch.isfinite(whitening(torch.eye(3, dtype=torch.float64))).all()
    assert float(whitening(torch.tensor([3.0, 0, 0]).double()).norm()) == pytest.approx(2)
