from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anomalib_lite.detector import Batch
from anomalib_lite.errors import ConfigError, DataError, PluginError
from anomalib_lite.training.batches import FrameBatches, TrainingFrame, endless

CPU = torch.device("cpu")


class Numbered:
    """Frame i is i grey levels bright everywhere."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.decoded: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> TrainingFrame:
        self.decoded.append(index)
        return TrainingFrame(np.full((2, 3, 1), index, np.uint8))


class Listed:
    def __init__(self, *frames: TrainingFrame) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> TrainingFrame:
        return self.frames[index]


def make(count: int, size: int, *, seed: int = 0, rank: int = 0, world: int = 1) -> FrameBatches:
    return FrameBatches(Numbered(count), white=1, batch_size=size, seed=seed, device=CPU, rank=rank, world=world)


def numbers(batch: Batch) -> list[int]:
    return [int(image[0, 0, 0]) for image in batch.image]


def flat(parts: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(parts))


def test_a_pass_shows_every_frame_once_in_an_order_of_its_own() -> None:
    batches = make(10, 4)
    first, second = ([numbers(batch) for batch in batches] for _ in range(2))
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert len(batches) == 3
    assert sorted(flat(first)) == list(range(10)) == sorted(flat(second))
    assert first != second
    again = make(10, 4)
    assert [[numbers(batch) for batch in again] for _ in range(2)] == [first, second]
    assert [numbers(batch) for batch in make(10, 4, seed=1)] != first


@given(count=st.integers(1, 12), size=st.integers(1, 9), start=st.integers(0, 30))
def test_a_stream_can_be_entered_anywhere(count: int, size: int, start: int) -> None:
    whole = [numbers(batch) for batch in islice(make(count, size).stream(), start + 3)]
    assert [numbers(batch) for batch in islice(make(count, size).stream(start), 3)] == whole[start:]
    assert all(len(batch) == size for batch in whole)
    shown = flat(whole)
    passes = [shown[i : i + count] for i in range(0, len(shown) - count + 1, count)]
    assert all(sorted(one) == list(range(count)) for one in passes)


@given(count=st.integers(1, 12), share=st.integers(1, 4), world=st.integers(1, 3))
def test_processes_share_the_batches_of_one(count: int, share: int, world: int) -> None:
    size = share * world
    single = [numbers(batch) for batch in islice(make(count, size).stream(), 5)]
    ranks = [
        [numbers(batch) for batch in islice(make(count, size, rank=rank, world=world).stream(), 5)]
        for rank in range(world)
    ]
    assert [flat(parts) for parts in zip(*ranks, strict=True)] == single


def test_a_pass_is_the_same_in_every_process() -> None:
    first, second = (make(5, 2, rank=rank, world=2) for rank in (0, 1))
    assert [numbers(batch) for batch in first] == [numbers(batch) for batch in second]


def test_pixels_are_divided_by_white_and_keep_their_places() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 3000
    reference = image[::-1].copy()
    valid = np.array([[True, False, True], [True, True, False]])
    frames = Listed(TrainingFrame(image, reference, valid))
    batch = next(iter(FrameBatches(frames, white=60000, batch_size=1, seed=0, device=CPU)))
    assert batch.image.dtype == torch.float32
    assert batch.image.shape == (1, 3, 2, 3)
    assert batch.image.is_contiguous()
    np.testing.assert_allclose(batch.image[0].numpy(), image.transpose(2, 0, 1) / 60000, rtol=1e-6)
    assert batch.reference is not None
    np.testing.assert_allclose(batch.reference[0].numpy(), reference.transpose(2, 0, 1) / 60000, rtol=1e-6)
    assert batch.valid is not None
    assert batch.valid.dtype == torch.bool
    np.testing.assert_array_equal(batch.valid.numpy(), valid[None, None])


def test_a_frame_without_a_mask_beside_one_with_a_mask_counts_whole() -> None:
    image = np.zeros((2, 2, 1), np.uint8)
    frames = Listed(TrainingFrame(image), TrainingFrame(image, valid=np.zeros((2, 2), bool)))
    batch = next(iter(FrameBatches(frames, white=255, batch_size=2, seed=0, device=CPU)))
    assert batch.valid is not None
    assert sorted(batch.valid.float().mean((1, 2, 3)).tolist()) == [0, 1]
    assert batch.reference is None


def test_a_pass_takes_the_tiles_of_an_image_together() -> None:
    images = [0, 0, 0, 1, 2, 2, 2, 2, 3, 3]
    batches = FrameBatches(Numbered(10), white=1, batch_size=4, seed=5, device=CPU, images=images)
    for _ in range(3):
        shown = flat(numbers(batch) for batch in batches)
        assert sorted(shown) == list(range(10))
        changes = sum(images[a] != images[b] for a, b in pairwise(shown))
        assert changes == 3
    stream = flat(numbers(batch) for batch in islice(batches.stream(), 5))
    assert sum(images[a] != images[b] for a, b in pairwise(stream)) > 6


def test_no_images_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one good image"):
        make(0, 4)


@pytest.mark.parametrize(("size", "world", "remedy"), [(16, 3, "15 or 18"), (1, 2, "2 or 4"), (0, 1, "1 or 2")])
def test_a_batch_that_cannot_be_shared_names_sizes_that_can(size: int, world: int, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        make(10, size, world=world)


def test_other_batches_are_repeated_and_entered_anywhere() -> None:
    batches = [Batch(torch.full((1, 1, 1, 1), float(i))) for i in range(3)]
    assert [numbers(batch)[0] for batch in islice(endless(batches, 2), 5)] == [2, 0, 1, 2, 0]
    with pytest.raises(PluginError, match="without batches"):
        next(endless([]))


def test_a_batch_knows_images_and_parts() -> None:
    frames = FrameBatches(Numbered(6), white=1, batch_size=4, seed=1, device=CPU, images=[0, 0, 1, 1, 2, 3],
                          parts=[0, 0, 0, 0, 1, 1])  # fmt: skip
    seen = {}
    for batch in chain(frames, islice(frames.stream(), 3)):
        assert batch.images is not None
        assert batch.parts is not None
        for value, image, part in zip(batch.image[:, 0, 0, 0].tolist(), batch.images, batch.parts, strict=True):
            seen[round(value)] = (int(image), int(part))
    assert seen == {0: (0, 0), 1: (0, 0), 2: (1, 0), 3: (1, 0), 4: (2, 1), 5: (3, 1)}


def values(batches: Iterable[Batch]) -> list[int]:
    return [round(value) for batch in batches for value in batch.image[:, 0, 0, 0].tolist()]


@given(parts=st.lists(st.integers(0, 8), min_size=2, max_size=40), share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_a_split_keeps_each_part_on_one_side(parts: list[int], share: float, seed: int) -> None:
    batches = FrameBatches(Numbered(len(parts)), white=1, batch_size=3, seed=seed, device=CPU, parts=parts)
    if len(set(parts)) < 2:
        with pytest.raises(DataError, match="images of one part"):
            batches.split(share)
        return
    sides = [
        [round(value) for batch in side for value in batch.image[:, 0, 0, 0].tolist()] for side in batches.split(share)
    ]
    assert sorted(chain(*sides)) == list(range(len(parts)))
    assert not {parts[i] for i in sides[0]} & {parts[i] for i in sides[1]}
    assert all(sides)
    again = [values(side) for side in batches.split(share)]
    assert [sorted(side) for side in again] == [sorted(side) for side in sides]


@pytest.mark.parametrize("share", [0, 1, -1, 2, float("nan")])
def test_a_share_is_between_nothing_and_all(share: float) -> None:
    with pytest.raises(PluginError, match="expected a number between 0 and 1"):
        FrameBatches(Numbered(4), white=1, batch_size=2, seed=0, device=CPU).split(share)
