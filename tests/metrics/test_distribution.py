"""The sketch of a distribution: exact while small, bounded when large, and merged without loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anomalib_lite.metrics.distribution import LIMIT, Distribution

VALUES = hnp.arrays(np.float32, st.integers(0, 60), elements=st.floats(-3, 3, width=16))


@given(st.lists(VALUES, max_size=4))
def test_few_values_are_kept_exactly(batches: list[np.ndarray]) -> None:
    distribution = Distribution()
    for batch in batches:
        distribution.add(batch)
    expected, counts = np.unique(np.concatenate([np.empty(0, np.float32), *batches]), return_counts=True)
    values, masses = distribution.points()
    assert values.tolist() == expected.tolist()
    assert masses.tolist() == counts.tolist()


def test_weights_add_up_where_values_are_equal() -> None:
    distribution = Distribution()
    distribution.add(np.array([2.0, 1.0, -0.0]), np.array([0.5, 0.25, 1.0]))
    distribution.add(np.array([[1.0], [0.0]]))
    values, masses = distribution.points()
    assert values.tolist() == [0, 1, 2]
    assert masses.tolist() == [2.0, 1.25, 0.5]


def test_what_was_added_may_change_afterwards() -> None:
    distribution = Distribution()
    values = np.array([1.0, 2.0], np.float32)
    distribution.add(values)
    values[:] = 9
    assert distribution.points()[0].tolist() == [1, 2]


def test_merging_parts_is_adding_all_and_leaves_the_parts_alone() -> None:
    rng = np.random.default_rng(0)
    whole, parts = Distribution(), [Distribution() for _ in range(3)]
    for part in parts:
        values = rng.integers(0, 50, 100).astype(np.float32)
        part.add(values)
        whole.add(values)
    merged = Distribution.merged(parts)
    assert merged.points()[0].tolist() == whole.points()[0].tolist()
    assert merged.points()[1].tolist() == whole.points()[1].tolist()
    merged.add(np.array([1e6]))
    assert all(part.points()[0].max() < 50 for part in parts)
    assert Distribution.merged([]).points()[0].size == 0


@pytest.mark.parametrize("scale", ["plain", "offset", "tails", "one far outlier"])
def test_ranks_stay_right_in_bounded_memory(scale: str) -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal(3_000_000).astype(np.float32)
    if scale == "offset":
        values = values * np.float32(1e-2) + 100
    elif scale == "tails":
        values = np.exp(5 * values)
    elif scale == "one far outlier":
        values[0] = -1e30
    distribution = Distribution()
    for part in np.array_split(values, 60):
        distribution.add(part)
    points, masses = distribution.points()
    assert points.size <= LIMIT
    assert np.all(np.diff(points) > 0)
    assert masses.sum() == values.size
    values = np.sort(values)
    for share in (0.001, 0.2, 0.5, 0.9, 0.999, 0.999999):
        at = values[int(share * values.size)]
        exact = np.searchsorted(values, at) / values.size
        assert masses[points < at].sum() / values.size == pytest.approx(exact, abs=1e-4 * min(1, 100 * (1 - share)))


def test_a_value_that_occurs_often_keeps_its_point() -> None:
    rng = np.random.default_rng(2)
    distribution = Distribution()
    for _ in range(20):
        values = rng.standard_normal(100_000).astype(np.float32)
        values[:30_000] = 0.125
        distribution.add(values)
    points, masses = distribution.points()
    assert masses[points == np.float32(0.125)] == pytest.approx(600_000, rel=1e-3)
