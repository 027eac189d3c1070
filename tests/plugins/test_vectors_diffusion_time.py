"""Diffusion time estimation on vectors: the closed form, the networks, and scikit-learn's conventions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

stats = pytest.importorskip("scipy.stats")
pytest.importorskip("sklearn")

from anomalib_lite_vectors import DiffusionTimeEstimator, closed_form  # noqa: E402
from anomalib_lite_vectors.closed_form import time_posterior  # noqa: E402
from anomalib_lite_vectors.diffusion import variances  # noqa: E402
from anomalib_lite_vectors.time_network import bin_loss, expected_bin, inverse_gamma_loss  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402

from anomalib_lite.features import principal_components  # noqa: E402

Variant = Literal["np", "c", "ig"]
VARIANTS: tuple[Variant, ...] = ("np", "c", "ig")
Vectors = NDArray[np.float64]


def cloud(count: int, features: int = 4, seed: int = 0) -> Vectors:
    """Points of unequal spread and centre."""
    random = np.random.default_rng(seed)
    return random.normal(size=(count, features)) * np.arange(1, features + 1) + 10


def quick(variant: Variant, **options: Any) -> DiffusionTimeEstimator:
    return DiffusionTimeEstimator(variant, **{"epochs": 3, "random_state": 0} | options)


def test_the_noise_grows_as_published() -> None:
    by_hand = [1e-4, 1 - (1 - 1e-4) * (1 - 5.05e-3), 1 - (1 - 1e-4) * (1 - 5.05e-3) * (1 - 1e-2)]
    np.testing.assert_allclose(variances(3), by_hand, rtol=1e-9)
    assert float(variances(300)[-1]) == pytest.approx(0.78, abs=0.005)
    assert float(variances(400)[-1]) == pytest.approx(0.87, abs=0.005)


def test_the_posterior_is_an_inverse_gamma_distribution() -> None:
    distance, dimensions = torch.tensor([0.5, 3.0, 40.0]), 6
    found = time_posterior(distance, dimensions, 300)
    for row, squared in zip(found, distance.tolist(), strict=True):
        density = stats.invgamma.pdf(variances(300).numpy(), dimensions / 2 - 1, scale=squared / 2)
        np.testing.assert_allclose(row, density / density.sum(), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(("queries", "gallery", "k"), [(5, 9, 1), (23, 31, 5), (8, 8, 8)])
def test_neighbours_are_found_in_chunks(queries: int, gallery: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "QUERIES", 4)
    monkeypatch.setattr(closed_form, "CANDIDATES", 7)
    a, b = cloud(queries, seed=1), cloud(gallery, seed=2)
    found = closed_form.nearest_squared_distances(torch.from_numpy(a), torch.from_numpy(b), k)
    expected, _ = NearestNeighbors(n_neighbors=k).fit(b).kneighbors(a)
    np.testing.assert_allclose(found, expected**2, rtol=1e-9)


def test_a_copy_is_at_distance_zero() -> None:
    points = torch.from_numpy(cloud(50)) * 1e4  # a squared distance from products would be off by 1e-7 of 1e9
    assert (closed_form.nearest_squared_distances(points, points, 1) == 0).all()


def test_the_closed_form_by_hand() -> None:
    train = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]])  # standardised: (+-1, +-1)
    score = quick("np", n_neighbors=2).fit(train).score_samples([[1.0, 2.0], [2.0, 4.0], [4.0, 2.0]])
    # squared distances: 2, 2; 0, 4; (3 - 1)^2 + 1 twice; their mean over 2 dimensions
    np.testing.assert_allclose(score, [1.0, 1.0, 2.5])


def test_the_closed_form_orders_as_the_posterior_mean() -> None:
    train, test = cloud(60), cloud(40, seed=1)
    score = quick("np").fit(train).score_samples(test)
    mean = time_posterior(torch.from_numpy(score) * 4, 4, 300) @ torch.arange(300, dtype=torch.float64)
    assert (np.diff(mean.numpy()[score.argsort()]) >= 0).all()
    published = quick("np", published=True).fit(train).score_samples(test)
    assert (np.diff(published[score.argsort()]) >= 0).all()
    assert len(set(score)) == 40 > len(set(published))  # the most probable of 300 times ties


def test_the_published_closed_form_is_the_most_probable_time() -> None:
    train, test = cloud(60), cloud(20, seed=1)
    mean, spread = train.mean(0), train.std(0)
    distance, _ = NearestNeighbors(n_neighbors=5).fit((train - mean) / spread).kneighbors((test - mean) / spread)
    squared = (distance**2).mean(1)
    expected = [stats.invgamma.logpdf(variances(300).numpy(), 1, scale=one / 2).argmax() for one in squared]
    np.testing.assert_array_equal(quick("np", published=True).fit(train).score_samples(test), expected)


def test_the_loss_of_the_inverse_gamma_variant_is_a_likelihood() -> None:
    outputs, variance = torch.tensor([[1.5], [-0.7], [2.0]]), torch.tensor([0.1, 0.5, 0.8])
    shape, scale = 9 / 2 - 1, outputs[:, 0].numpy() ** 2
    log_density = stats.invgamma.logpdf(variance.numpy(), shape, scale=scale)
    constant = stats.invgamma.logpdf(variance.numpy(), shape, scale=1) + 1 / variance.numpy()
    loss = float(inverse_gamma_loss(outputs, variance, 9))
    assert loss == pytest.approx(-(log_density - constant).mean(), abs=1e-3)


def test_bins_by_hand() -> None:
    outputs = torch.full((1, 7), -30.0)
    outputs[0, [2, 5]] = 0
    assert float(expected_bin(outputs)) == pytest.approx(3.5)
    certain = torch.eye(7) * 100
    times = torch.tensor([0, 58, 115, 172, 229, 286, 399])  # one in each seventh of 400
    assert float(bin_loss(certain, times, bounded=False)) == pytest.approx(0, abs=1e-6)
    # all mass on the right bin, softmax again: ln(1 + 6 / e)
    assert float(bin_loss(certain, times, bounded=True)) == pytest.approx(np.log(1 + 6 / np.e), abs=1e-5)


def test_whitening_agrees_with_an_independent_implementation() -> None:
    points = cloud(80, 9) @ np.random.default_rng(3).normal(size=(9, 9))
    data = torch.from_numpy(points)
    found = principal_components(data.mean(0), data.T.cov(), 5)(data).numpy()
    expected = PCA(5, whiten=True, svd_solver="full").fit_transform(points)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-6, atol=1e-9)


def test_whitening_drops_what_is_no_direction_of_the_data() -> None:
    data = torch.from_numpy(cloud(40, 3)) @ torch.rand(3, 8, dtype=torch.float64)
    assert principal_components(data.mean(0), data.T.cov(), 8).projection.shape == (8, 3)
    flat = principal_components(torch.zeros(4), torch.zeros(4, 4), 3)
    assert (flat(torch.rand(5, 4)) == 0).all()


@pytest.mark.parametrize("features", [128, 129])
def test_many_features_are_projected(features: int) -> None:
    train = np.random.default_rng(0).normal(size=(300, features))
    fitted = quick("np").fit(train)
    assert (fitted.whitening_ is not None) == (features > 128)
    assert fitted.gallery_.shape == (300, 128)
    assert quick("np", published=True).fit(train).gallery_.shape == (300, features)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("published", [False, True])
def test_what_is_far_has_diffused_longer(variant: Variant, published: bool) -> None:
    train, good = cloud(300, 6), cloud(100, 6, seed=1)
    far = good + 3 * np.arange(1, 7)
    scores = quick(variant, published=published, epochs=60).fit(train).score_samples(np.concatenate([good, far]))
    assert scores.shape == (200,)
    assert scores.dtype == np.float64
    auroc = roc_auc_score([0] * 100 + [1] * 100, scores)
    if variant == "ig" and published:
        assert max(auroc, 1 - auroc) > 0.95  # the sign of the root is arbitrary
    else:
        assert auroc > 0.95


@pytest.mark.parametrize("variant", ["c", "ig"])
def test_the_seed_decides_the_networks_and_nothing_else_is_touched(variant: Variant) -> None:
    train, test = cloud(70), cloud(20, seed=1)
    before = torch.random.get_rng_state()
    one, same = (quick(variant).fit(train).score_samples(test) for _ in range(2))
    other = quick(variant, random_state=1).fit(train).score_samples(test)
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("variant", ["c", "ig"])
def test_a_score_does_not_depend_on_the_vectors_beside_it(variant: Variant) -> None:
    fitted, test = quick(variant).fit(cloud(70)), cloud(1100, seed=1)
    together = fitted.score_samples(test)
    apart = np.concatenate([fitted.score_samples(part) for part in np.split(test, 4)])
    np.testing.assert_allclose(apart, together, rtol=1e-6)
    np.testing.assert_allclose(fitted.score_samples(test[7:8]), together[7:8], rtol=1e-6)


@pytest.mark.parametrize("variant", ["c", "ig"])
def test_members_are_averaged(variant: Variant) -> None:
    train, test = cloud(70), cloud(20, seed=1)
    fitted = quick(variant, n_members=2).fit(train)
    together, members = fitted.score_samples(test), fitted.networks_
    alone = []
    for member in members:
        fitted.networks_ = [member]
        alone.append(fitted.score_samples(test))
    assert not np.allclose(alone[0], alone[1])
    np.testing.assert_allclose(together, np.mean(alone, 0), rtol=1e-6)


def test_large_data_sets_get_fewer_passes() -> None:
    steps: list[int] = []

    class Counting(DiffusionTimeEstimator):
        def _loss(self, dimensions: int) -> Any:
            loss = super()._loss(dimensions)

            def counted(*arguments: Any) -> Any:
                steps[-1] += 1
                return loss(*arguments)

            steps.append(0)
            return counted

    asked: list[dict[str, Any]] = [{}, {"max_steps": 9}, {"max_steps": 9, "published": True}]
    for options in asked:
        Counting("c", epochs=5, random_state=0, **options).fit(cloud(200))  # 4 batches a pass, the last of 8
    assert steps == [20, 12, 20]  # whole passes


@pytest.mark.parametrize("variant", VARIANTS)
def test_fewer_points_than_neighbours_and_constant_features(variant: Variant) -> None:
    train = cloud(3)
    train[:, 1] = 7.0
    fitted = quick(variant).fit(train)
    test = train.copy()
    assert np.isfinite(fitted.score_samples(test)).all()
    test[:, 1] += 50
    if variant == "np":
        # from all 3 neighbours; the constant feature counts in its own unit
        np.testing.assert_allclose(fitted.score_samples(test) - fitted.score_samples(train), 50**2 / 4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("published", [False, True])
def test_copies_and_a_single_point_give_finite_scores(variant: Variant, published: bool) -> None:
    copies = np.tile(cloud(1), (20, 1))
    for train in (copies, copies[:1]):
        assert np.isfinite(quick(variant, published=published).fit(train).score_samples(copies)).all()


@pytest.mark.parametrize("features", [1, 2])
def test_the_inverse_gamma_variant_needs_three_features(features: int) -> None:
    with pytest.raises(ValueError, match=rf"not defined for vectors of {features}.*3 or more"):
        quick("ig").fit(cloud(20, features))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "knn"}, "'np', 'c', 'ig'"),
        ({"head": "softmax"}, "'bounded', 'logits'"),
        ({"n_neighbors": 0}, "n_neighbors=0"),
        ({"n_members": 1.5}, "n_members=1.5"),
        ({"epochs": -1}, "epochs=-1"),
        ({"max_steps": 0}, "max_steps=0"),
    ],
)
def test_illegal_parameters_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiffusionTimeEstimator(**options).fit(cloud(20))
