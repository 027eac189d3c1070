"""The interval of an AUROC: over parts, covering, and honest where every draw is alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from anomalib_lite.calibration.binomial import exact_interval
from anomalib_lite.metrics.bootstrap import auroc_interval


def drawn(random: np.random.Generator, parts: int, images: int, shift: float) -> tuple[list[float], list[str]]:
    """Normal scores of parts photographed several times; half of the variance is the part's."""
    of_part = random.standard_normal((parts, 1))
    scores = shift + (of_part + random.standard_normal((parts, images))) / np.sqrt(2)
    return scores.ravel().tolist(), [f"{shift}-{part}" for part in range(parts) for _ in range(images)]


@pytest.mark.slow
def test_it_covers_the_truth_though_images_of_a_part_are_alike() -> None:
    random, truth = np.random.default_rng(0), float(stats.norm.cdf(1 / np.sqrt(2)))
    found = [auroc_interval(drawn(random, 40, 4, 0.0), drawn(random, 30, 4, 1.0)) for _ in range(150)]
    covered = np.mean([one is not None and one.low <= truth <= one.high for one in found])
    assert 0.88 <= covered <= 0.995


def test_parts_with_good_and_defective_images_are_drawn_as_one() -> None:
    """Good and defective images of one part rise and fall together: drawn together, less is left to chance."""
    random = np.random.default_rng(1)
    level = random.standard_normal(40)
    good, defective = level + random.normal(0, 0.1, 40), level + 0.5 + random.normal(0, 0.1, 40)
    one, other = [f"{i}" for i in range(40)], [f"x{i}" for i in range(40)]
    together, apart = (auroc_interval((good, one), (defective, names)) for names in (one, other))
    assert together is not None
    assert apart is not None
    assert together.high - together.low < 0.7 * (apart.high - apart.low)


@pytest.mark.parametrize(("shift", "low", "high"), [(9.0, exact_interval(5, 5)[0], 1.0),
                                                    (-9.0, 0.0, exact_interval(0, 5)[1])])  # fmt: skip
def test_where_all_draws_are_alike_the_interval_is_exact(shift: float, low: float, high: float) -> None:
    """5 defective parts, all above 8 good ones: five independent pairs, not certainty."""
    good = list(range(8)), [f"g{i}" for i in range(8)]
    found = auroc_interval(good, ([shift] * 10, [f"c{i // 2}" for i in range(10)]))
    assert found is not None
    assert (found.low, found.high, found.method) == (low, high, "exact")


def test_pairs_of_parts_with_both_kinds_of_images_are_counted_once() -> None:
    names = [f"{i}" for i in range(6)]
    found = auroc_interval(([0.0] * 6, names), ([1.0] * 6, names))
    assert found is not None
    assert found.low == exact_interval(3, 3)[0]


@pytest.mark.parametrize(("good", "defective"), [(["a"], ["b", "c"]), (["a", "b"], []), (["a", "b"], ["c", "c"])])
def test_there_is_none_where_parts_are_too_few(good: list[str], defective: list[str]) -> None:
    assert auroc_interval(([0.0] * len(good), good), ([1.0] * len(defective), defective)) is None
