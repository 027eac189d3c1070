"""What all estimators for vectors keep to: scikit-learn's conventions, any vectors, and where to import them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

estimator_checks = pytest.importorskip("sklearn.utils.estimator_checks")

from anomalib_lite_vectors import DiffusionTimeEstimator, MahalanobisEstimator, ScaleLearner  # noqa: E402
from anomalib_lite_vectors.base import VectorEstimator  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from vectors import PROTOCOLS, Rows, table  # noqa: E402

QUICK: dict[str, VectorEstimator] = {
    "np": DiffusionTimeEstimator("np"),
    "c": DiffusionTimeEstimator("c", epochs=2, random_state=0),
    "ig": DiffusionTimeEstimator("ig", epochs=2, random_state=0),
    "mahalanobis": MahalanobisEstimator(),
    "slad": ScaleLearner(n_members=2, epochs=2, random_state=0),
    "slad published": ScaleLearner(published=True, n_members=2, epochs=2, random_state=0),
}

every: pytest.MarkDecorator = pytest.mark.parametrize("estimator", QUICK.values(), ids=QUICK)


def cloud(count: int, features: int = 4, seed: int = 0) -> NDArray[np.float64]:
    """Points of unequal spread and centre."""
    random = np.random.default_rng(seed)
    return random.normal(size=(count, features)) * np.arange(1, features + 1) + 10


@every
def test_vectors_of_any_number_type_have_the_same_score(estimator: VectorEstimator) -> None:
    whole = cloud(70).round().clip(0, 255)
    expected = clone(estimator).fit(whole).score_samples(whole)
    for dtype in (np.float32, np.int64, np.uint8):
        found = clone(estimator).fit(whole.astype(dtype)).score_samples(whole.astype(dtype))
        np.testing.assert_array_equal(found, expected)


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(estimator: VectorEstimator, bad: float) -> None:
    train = cloud(20)
    wrong = train.copy()
    wrong[3, 2] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        clone(estimator).fit(wrong)
    fitted = clone(estimator).fit(train)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        fitted.score_samples(wrong)


@every
def test_empty_and_misshapen_input_is_refused(estimator: VectorEstimator) -> None:
    for wrong in (np.empty((0, 4)), np.empty((4, 0)), np.ones(4), np.ones((2, 2, 2))):
        with pytest.raises(ValueError, match=r"[Ss]ample|feature|dim|array"):
            clone(estimator).fit(wrong)
    fitted = clone(estimator).fit(cloud(20))
    with pytest.raises(ValueError, match="0 sample"):
        fitted.score_samples(np.empty((0, 4)))
    with pytest.raises(ValueError, match="5 features"):
        fitted.score_samples(cloud(20, 5))
    with pytest.raises(NotFittedError):
        clone(estimator).score_samples(cloud(20))


@every
@pytest.mark.parametrize(("count", "features"), [(1, 4), (2, 4), (3, 12), (5, 130)])
def test_fewer_vectors_than_features_give_finite_scores(estimator: VectorEstimator, count: int, features: int) -> None:
    scores = clone(estimator).fit(cloud(count, features)).score_samples(cloud(6, features, seed=1))
    assert np.isfinite(scores).all()


@every
def test_copies_and_constant_features_give_finite_scores(estimator: VectorEstimator) -> None:
    copies = np.tile(cloud(1), (20, 1))
    assert np.isfinite(clone(estimator).fit(copies).score_samples(cloud(9))).all()
    constant = cloud(40)
    constant[:, 1] = 7
    fitted = clone(estimator).fit(constant)
    constant[:, 1] += 50
    assert np.isfinite(fitted.score_samples(constant)).all()


@pytest.mark.parametrize("name", ["np", "c", "mahalanobis", "slad", "slad published"])
def test_two_features_suffice(name: str) -> None:
    good = cloud(60, 2)
    assert np.isfinite(clone(QUICK[name]).fit(good).score_samples(good)).all()


def test_the_mahalanobis_distance_is_that_of_scikit_learn_on_standardised_vectors() -> None:
    from sklearn.covariance import LedoitWolf

    train, test = cloud(30, 9), cloud(8, 9, seed=1)
    mean, spread = train.mean(0), train.std(0)
    oracle = LedoitWolf().fit((train - mean) / spread)
    expected = oracle.mahalanobis((test - mean) / spread) ** 0.5
    np.testing.assert_allclose(MahalanobisEstimator().fit(train).score_samples(test), expected, rtol=1e-6)


def test_the_mahalanobis_distance_sees_what_breaks_a_correlation() -> None:
    random = np.random.default_rng(0)
    common = random.normal(size=(400, 1))
    good = common + 0.1 * random.normal(size=(400, 3))
    odd = good[200:] * [1, 1, -1]
    fitted = MahalanobisEstimator().fit(good[:200])
    scores = fitted.score_samples(np.concatenate([good[200:], odd]))
    assert roc_auc_score([0] * 200 + [1] * 200, scores) > 0.9


def test_the_estimator_is_found_where_it_was() -> None:
    from anomalib_lite_dte.estimator import DiffusionTimeEstimator as Former

    assert Former is DiffusionTimeEstimator


def test_the_published_protocol_leaks_and_the_other_does_not() -> None:
    points, labels = cloud(90), np.repeat([0, 1], [80, 10])
    leaking, distinct = (PROTOCOLS[name](points, labels, 0) for name in ("published", "distinct"))
    assert len(leaking.train) + len(leaking.test) == 1000
    assert len(set(map(tuple, leaking.train)) & set(map(tuple, leaking.test))) > 10
    assert (len(distinct.train), len(distinct.test)) == (40, 50)
    assert not set(map(tuple, distinct.train)) & set(map(tuple, distinct.test))
    assert distinct.anomalous.tolist() == [0] * 40 + [1] * 10
    assert {tuple(one) for one in distinct.test[40:]} == {tuple(one) for one in points[80:]}
    whole = PROTOCOLS["unsupervised"](np.concatenate([points, points]), np.tile(labels, 2), 0)
    np.testing.assert_array_equal(whole.train, points)
    np.testing.assert_array_equal(whole.anomalous, labels)


def test_large_sets_stay_in_file_order() -> None:
    points, labels = cloud(2000), np.tile([0, 0, 0, 1], 500)
    for name in ("published", "distinct"):
        split = PROTOCOLS[name](points, labels, 3)
        np.testing.assert_array_equal(split.train, points[labels == 0][:750])
        np.testing.assert_array_equal(split.test[:750], points[labels == 0][750:])


def test_the_table_says_how_many_seeds_it_is_of() -> None:
    rows: Rows = {("wilt", "distinct", "np", str(seed)): 60.0 + seed for seed in range(5)}
    rows |= {("wilt", "distinct", "c", str(seed)): 80.0 + 2 * seed for seed in range(2)}
    assert "| wilt | 62.9 (5.6) | 93.8 (3.2) | 85.1 (1.1) | 61.8 (0.1) | 62.0 (1.4) | 81.0 (1.0) [2] |" in table(
        rows, "distinct", ["np", "c"]
    )


TWO_FEATURES = (  # checks of scikit-learn that fit 2 features or fewer, and expect that to work
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_n_features_in",
    "check_readonly_memmap_input",
)


def expected_failures(estimator: VectorEstimator) -> dict[str, str]:
    if not isinstance(estimator, DiffusionTimeEstimator) or estimator.variant != "ig":
        return {}
    return dict.fromkeys(TWO_FEATURES, "the inverse gamma distribution is not defined for 2 features or fewer")


conventions: pytest.MarkDecorator = estimator_checks.parametrize_with_checks(
    list(QUICK.values()), expected_failed_checks=expected_failures
)


@pytest.mark.slow
@conventions
def test_scikit_learn_conventions(estimator: VectorEstimator, check: Any) -> None:
    check(estimator)
