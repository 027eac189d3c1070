"""The detector `invariants`: its distances are what they are by definition, its network preserves volumes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from anomalib_lite_invariants.config import InvariantsConfig
from anomalib_lite_invariants.detector import Invariants
from anomalib_lite_invariants.measures import Nonlinear, VolumePreserving
from plain_run import PlainRun, map_of
from pydantic import ValidationError
from torch import Tensor

from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.features import on_one_grid
from anomalib_lite.metrics import auroc
from anomalib_lite.registry import load

covariances = pytest.importorskip("sklearn.covariance")
distances = pytest.importorskip("scipy.spatial.distance")

SPEC = ImageSpec(height=64, width=96, channels=1, dtype="uint8", white=255)
RANDOM: dict[str, Any] = {"weights": "none"}  # map: stride 16, 4 x 6 places
MAP: dict[str, Any] = {"whole": False, "map_layers": ("blocks.1",)}  # stride 4: 16 x 24 places of 24 features


def images(number: int, seed: int = 0) -> Tensor:
    return torch.rand(number, 1, SPEC.height, SPEC.width, generator=torch.Generator().manual_seed(seed))


def fitted(batches: list[Batch], **options: Any) -> Invariants:
    torch.manual_seed(0)
    detector = Invariants(InvariantsConfig(**RANDOM | options), SPEC)
    detector.eval()
    detector.fit(batches, PlainRun())
    return detector.eval()


def by_definition(train: Tensor, test: Tensor) -> list[float]:
    """Of scikit-learn and scipy."""
    oracle = covariances.LedoitWolf().fit(train.double())
    inverse = np.linalg.inv(oracle.covariance_)
    return [distances.mahalanobis(one, oracle.location_, inverse) for one in test.double().numpy()]


@torch.no_grad()
def test_the_score_is_the_sum_of_the_distances_of_all_layers() -> None:
    layers = ("blocks.0", "blocks.3")
    train, test = images(30, 1), images(4, 2)
    detector = fitted([Batch(train[:20]), Batch(train[20:])], layers=layers)
    _, score = detector(test)
    maps = [detector.backbone(one) for one in (train, test)]
    means = [[layer.mean((2, 3)) for layer in found[:2]] for found in maps]
    expected = np.sum([by_definition(*pair) for pair in zip(*means, strict=True)], 0)
    np.testing.assert_allclose(score, expected, rtol=1e-4)


@pytest.mark.parametrize("place", [True, False])
@torch.no_grad()
def test_the_map_is_the_distance_at_each_place(place: bool) -> None:
    train, test = images(30, 1), images(2, 2)
    detector = fitted([Batch(train)], place=place, **MAP)
    known, new = (on_one_grid(detector.backbone(one)).movedim(1, -1) for one in (train, test))
    found = map_of(detector, test)
    assert found.shape == (2, 1, 16, 24)
    near = known[:, 3, 7] if place else known.flatten(0, 2)
    np.testing.assert_allclose(found[:, 0, 3, 7], by_definition(near, new[:, 3, 7]), rtol=1e-4)


def test_what_does_not_count_is_not_learnt_from() -> None:
    train = images(12, 3)
    valid = torch.ones(12, 1, SPEC.height, SPEC.width, dtype=torch.bool)
    valid[8:, ..., :32] = False
    few = fitted([Batch(train, valid=valid)], **MAP)
    less = fitted([Batch(train[:8])], **MAP)
    new = images(2, 4)
    with torch.no_grad():
        torch.testing.assert_close(map_of(few, new)[..., :7], map_of(less, new)[..., :7])
        assert not torch.allclose(map_of(few, new)[..., 9:], map_of(less, new)[..., 9:])
    with pytest.raises(DataError, match=r"no pixel.*image.roi"):
        fitted([Batch(train, valid=torch.zeros_like(valid))], **MAP)


@pytest.mark.parametrize("method", ["mahalanobis", "nonlinear"])
@pytest.mark.parametrize("number", [1, 2, 5])
@torch.no_grad()
def test_fewer_images_than_features_give_finite_distances(method: str, number: int) -> None:
    with torch.enable_grad():
        detector = fitted([Batch(images(number, 5))], method=method, steps=1, layers=("blocks.0", "blocks.1"))
    anomaly_map, score = detector(images(3, 6))
    assert torch.isfinite(anomaly_map).all()
    assert torch.isfinite(score).all()


def trained_network(dimensions: int) -> VolumePreserving:
    torch.manual_seed(dimensions)
    network = VolumePreserving(dimensions)
    with torch.no_grad():
        network.generators.uniform_(-math.pi, math.pi)
        for parameter in (network.biases, *network.couplings.parameters()):
            parameter.uniform_(-0.5, 0.5)
    network.bake()
    return network


@pytest.mark.parametrize("dimensions", [2, 3, 8])
def test_the_network_can_be_inverted_and_preserves_volumes(dimensions: int) -> None:
    network = trained_network(dimensions)
    vectors = torch.randn(6, dimensions)
    with torch.no_grad():
        assert (network.baked @ network.baked.mT - torch.eye(dimensions)).abs().max() < 1e-5
        code = network(vectors)
        assert (code - vectors).abs().max() > 0.5
        torch.testing.assert_close(network.inverse(code), vectors, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(code, network(vectors, network.rotations()))
    network.double()
    for one in vectors.double():
        jacobian = torch.autograd.functional.jacobian(network, one)
        assert float(torch.linalg.det(jacobian).abs()) == pytest.approx(1, abs=1e-4)  # as baked: in float32


def test_a_circle_is_found_to_be_one() -> None:
    """It lies in a plane of 4 dimensions: two directions are constant, and a line through all of it is not straight."""
    random = torch.Generator().manual_seed(1)
    turned: Tensor = torch.linalg.qr(torch.randn(4, 4, generator=random))[0][:2]

    def ring(radius: Tensor) -> Tensor:
        angle = 2 * math.pi * torch.rand(len(radius), generator=random)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], 1) @ turned

    torch.manual_seed(0)
    circle = ring(torch.ones(1000))
    measure = Nonlinear(4, 0.95)
    invariants = measure.begin(circle)
    assert invariants == 2
    components = measure.components(circle)
    descent = torch.optim.Adam(measure.network.parameters(), lr=1e-2)
    for _ in range(400):
        descent.zero_grad()
        measure.network.loss(components[torch.randint(1000, (256,))], invariants).backward()
        descent.step()
    measure.end(circle, invariants)
    with torch.no_grad():
        assert float(measure.network(components)[:, -2:].square().mean()) < 1e-3
        off = ring(torch.cat([torch.linspace(0.2, 0.8, 200), torch.linspace(1.2, 1.8, 200)]))
        area = auroc(*(measure(one).tolist() for one in (ring(torch.ones(400)), off)))
    assert area is not None
    assert area > 0.95


def test_options_that_make_no_sense_are_refused_with_those_that_do() -> None:
    with pytest.raises(ValidationError, match=r"set place=false.*or whole=true"):
        InvariantsConfig(method="nonlinear", whole=False)
    with pytest.raises(ConfigError, match=r"16384 places of 112 features.*options.place=false"):
        Invariants(InvariantsConfig(weights="none"), ImageSpec(2048, 2048, 1, "uint8", 255))
    info = load().detector("invariants")
    assert InvariantsConfig().describe(info).positional is True
    assert InvariantsConfig(place=False).describe(info).positional is False
    assert "Apache-2.0" in str(InvariantsConfig().describe(info).weights)
    assert InvariantsConfig(weights="none").describe(info).weights is None
