"""What a fit keeps of images that go by: all of few, the first of many, and sums that are those of all at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from anomalib_lite.features import FirstRows, Moments, ledoit_wolf, place_units, whitening


def batches(count: int, drawn: list[int]) -> Iterator[tuple[Tensor, Tensor]]:
    for number in range(count):
        drawn.append(number)
        yield torch.full((3, 2), float(number)), torch.arange(3) + 3 * number


def test_few_rows_are_all_kept_and_of_many_the_first() -> None:
    drawn: list[int] = []
    values, numbers = FirstRows(100).fill(batches(5, drawn))
    assert numbers.tolist() == list(range(15))
    assert values[:, 0].tolist() == [float(one // 3) for one in range(15)]
    drawn.clear()
    _, numbers = FirstRows(7).fill(batches(1000, drawn))
    assert (numbers.tolist(), drawn) == (list(range(9)), [0, 1, 2])  # whole batches, and no further one is asked for


def test_rows_that_are_added_beyond_what_is_kept_are_passed_over() -> None:
    kept = FirstRows(4)
    for columns in batches(9, []):
        kept.add(*columns)
    assert kept.taken()[1].tolist() == list(range(6))


def test_nothing_is_kept_of_batches_without_rows() -> None:
    assert FirstRows(5).fill([(torch.empty(0, 2), torch.empty(0))] * 3) == ()


@pytest.mark.parametrize("parts", [1, 7, 400])
@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_sums_of_parts_tell_what_all_vectors_tell(monkeypatch: pytest.MonkeyPatch, parts: int, mean: float) -> None:
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(400, 5, generator=random).double() @ torch.randn(5, 5, generator=random).double() + mean
    moments = Moments()
    for part in vectors.chunk(parts):
        moments.add(part)
    monkeypatch.setattr(whitening, "_CHUNK", 400)
    expected = ledoit_wolf(vectors)
    found = moments.ledoit_wolf()
    torch.testing.assert_close(found(vectors).norm(dim=1), expected(vectors).norm(dim=1), rtol=1e-6, atol=0)


def test_sums_are_as_large_for_any_number_of_vectors() -> None:
    moments = Moments()
    held = []
    for _ in range(30):
        moments.add(torch.rand(10, 6))
        held.append(sum(one.numel() for one in vars(moments).values() if isinstance(one, Tensor)))
    assert set(held) == {6 + 6 + 6 + 6 * 6 + 2}


@pytest.mark.parametrize("each", [True, False])
def test_places_have_the_median_of_what_counts_there(each: bool) -> None:
    values = torch.rand(9, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    counted = torch.rand(9, 1, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.3
    counted[:, :, 2, 3] = False
    median, spread = place_units(values, counted, each=each)
    assert median.shape == spread.shape == (1, 1, 4, 5)
    known = [[values[:, 0, r, c][counted[:, 0, r, c]] for c in range(5)] for r in range(4)]
    if not each:
        every = torch.cat([one for row in known for one in row]).median()
        torch.testing.assert_close(median, every.expand(1, 1, 4, 5))
        return
    middle = torch.tensor([[float(one.median()) if len(one) else torch.nan for one in row] for row in known])
    middle[2, 3] = middle.nanmean()
    expected = torch.nn.functional.avg_pool2d(middle[None, None], 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(median, expected)
    assert (spread > 0).all()
