"""Scale learning: labels, divergences, and that it finds what is unlike the good vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812

distance = pytest.importorskip("scipy.spatial.distance")
metrics = pytest.importorskip("sklearn.metrics")

from anomalib_lite_vectors import ScaleLearner  # noqa: E402
from anomalib_lite_vectors.scale import divergence, feature_weights, published_divergence  # noqa: E402


def mixed(count: int, features: int = 6, seed: int = 0) -> NDArray[np.float64]:
    """Vectors whose features hang together."""
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 2)) @ np.random.default_rng(9).normal(size=(2, features)) + 0.1 * random.normal(
        size=(count, features)
    )


def quick(**options: Any) -> ScaleLearner:
    return ScaleLearner(**{"n_members": 3, "epochs": 2, "random_state": 0} | options)


def test_the_divergence_is_that_of_jensen_and_shannon() -> None:
    random = np.random.default_rng(0)
    told, true = random.normal(size=(2, 5, 10)) * 3
    expected = distance.jensenshannon(*(torch.tensor(one).softmax(1).numpy().T for one in (told, true))) ** 2
    np.testing.assert_allclose(divergence(torch.tensor(told), torch.tensor(true)), expected, rtol=1e-9)
    same = divergence(torch.tensor(true), torch.tensor(true))
    np.testing.assert_allclose(same, 0, atol=1e-12)
    apart = divergence(torch.tensor([500.0, 0.0]), torch.tensor([0.0, 500.0]))
    assert float(apart) == pytest.approx(np.log(2))


def test_the_published_divergence_takes_the_softmax_of_distributions() -> None:
    told, true = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0)).double()
    one, other = told.softmax(1), true.softmax(1)
    middle = (one + other) / 2
    expected = sum(F.kl_div(each.log_softmax(1), middle, reduction="none").sum(1) for each in (one, other))
    torch.testing.assert_close(published_divergence(told, true), torch.as_tensor(expected))
    # its least value is not where both agree
    certain = torch.tensor([[30.0, 0, 0, 0]], dtype=torch.float64)
    assert published_divergence(certain, certain) > published_divergence(certain, certain * 0) > 0


def test_weights_by_hand() -> None:
    a, b = np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, 1.0, -1.0, -1.0])
    # |correlation| of 1 with itself, of 1 between the first two, of 0 elsewhere: means 2/3, 2/3, 1/3
    weights = feature_weights(torch.tensor(np.stack([a, a, b], 1)))
    torch.testing.assert_close(weights, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    for alike in (np.stack([a, b], 1), np.zeros((4, 3)), np.ones((4, 60))):
        assert (feature_weights(torch.tensor(alike)) == 1).all()


@pytest.mark.parametrize("published", [False, True])
def test_labels_are_the_weights_of_what_a_projection_is_made_of(published: bool) -> None:
    good = mixed(80, 12)
    fitted = quick(published=published).fit(good)
    standardised = torch.from_numpy(fitted.scaler_.transform(good))
    weights = feature_weights(standardised)
    used = fitted.projections_.unflatten(2, (10, 128)).abs().sum(3) > 0  # (members, d, 10)
    unit = 200 / 128 if published else 5 / float(weights.sum())
    expected = torch.einsum("mds,d->ms", used.double(), weights) * unit
    torch.testing.assert_close(fitted.labels_.double(), expected, rtol=1e-5, atol=1e-5)
    assert len({int(one) for one in used.sum(1).flatten()}) > 3, "sub-vectors of several lengths"


def test_sub_vectors_of_one_length_are_projected_alike() -> None:
    fitted = quick().fit(mixed(80, 12))
    blocks = fitted.projections_.unflatten(2, (10, 128)).transpose(1, 2).flatten(0, 1)  # (members x 10, d, 128)
    rows: dict[int, set[tuple[float, ...]]] = {}
    for block in blocks:
        kept = block[block.abs().sum(1) > 0]
        found = {tuple(row.tolist()) for row in kept}
        assert rows.setdefault(len(kept), found) == found


@pytest.mark.parametrize("published", [False, True])
def test_what_breaks_the_pattern_scores_higher(published: bool) -> None:
    good, odd = mixed(200, seed=1), mixed(200, seed=2)[:, ::-1] * 2
    fitted = quick(published=published, n_members=5, epochs=2).fit(mixed(300))
    scores = fitted.score_samples(np.concatenate([good, odd]))
    assert metrics.roc_auc_score([0] * 200 + [1] * 200, scores) > 0.8


def test_the_seed_decides_and_nothing_else_is_touched() -> None:
    train, test = mixed(60), mixed(20, seed=1)
    before = torch.random.get_rng_state()
    one, same = (quick().fit(train).score_samples(test) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, quick(random_state=1).fit(train).score_samples(test))


def test_a_score_does_not_depend_on_the_vectors_beside_it() -> None:
    fitted, test = quick().fit(mixed(60)), mixed(300, seed=1)
    together = fitted.score_samples(test)
    np.testing.assert_allclose(fitted.score_samples(test[7:8]), together[7:8], rtol=1e-6)


def test_one_feature_has_no_sub_vectors_to_tell_apart() -> None:
    with pytest.raises(ValueError, match=r"1 feature.*2 or more features"):
        quick().fit(mixed(20, 1))


@pytest.mark.parametrize("options", [{"n_members": 0}, {"epochs": 1.5}, {"max_steps": -1}])
def test_illegal_parameters_are_named(options: dict[str, Any]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name}={value}: expected a whole number"):
        quick(**options).fit(mixed(20))
