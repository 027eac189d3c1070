"""Masks: what each sampler promises about its holes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from anomalib_lite.errors import ConfigError
from anomalib_lite.synthesis import discs, grid_cells, squares, strokes


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 3), st.integers(8, 40), st.integers(8, 40), st.integers(1, 8), st.integers(2, 4), st.integers(0, 99)
)
def test_cells_are_a_partition(count: int, height: int, width: int, cell: int, sets: int, seed: int) -> None:
    if math.ceil(height / cell) * math.ceil(width / cell) < sets:
        with pytest.raises(ConfigError, match="smaller cells"):
            grid_cells(count, height, width, cell=cell, sets=sets, generator=seeded(seed))
        return
    hidden = grid_cells(count, height, width, cell=cell, sets=sets, generator=seeded(seed))
    assert hidden.shape == (count, sets, height, width)
    assert (hidden.sum(1) == 1).all()
    cells = hidden[:, :, ::cell, ::cell]  # one pixel of each cell stands for all of it
    assert torch.equal(cells.repeat_interleave(cell, 2).repeat_interleave(cell, 3)[:, :, :height, :width], hidden)
    per_set = cells.flatten(2).sum(2)
    assert (per_set.amax(1) - per_set.amin(1) <= 1).all()


def test_partitions_of_a_batch_differ() -> None:
    first, second = grid_cells(2, 64, 64, cell=8, sets=3, generator=seeded())
    assert not torch.equal(first, second)


@pytest.mark.parametrize("seed", range(5))
def test_squares_are_whole_and_in_range(seed: int) -> None:
    for mask in squares(20, 30, 50, holes=1, side=(3, 30), generator=seeded(seed)):
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        side = len(rows)
        assert 3 <= side <= 30
        assert len(columns) == side
        assert mask.sum() == side * side


def test_a_square_may_fill_the_image_and_touch_every_edge() -> None:
    assert squares(1, 16, 16, holes=1, side=(16, 16), generator=seeded()).all()
    covered = squares(2000, 8, 8, holes=1, side=(3, 3), generator=seeded()).any(0)
    assert covered.all()


@pytest.mark.parametrize(("radius", "area"), [(8.0, math.pi * 64), (15.0, math.pi * 225)])
def test_discs_have_the_area_of_a_disc(radius: float, area: float) -> None:
    masks = discs(400, 100, 100, holes=1, radius=(radius, radius), generator=seeded())
    border = torch.ones(100, 100, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    whole = masks[~(masks & border).flatten(1).any(1)]
    assert len(whole) > 100
    assert whole.flatten(1).sum(1).float().mean().item() == pytest.approx(area, rel=0.02)


def test_strokes_are_connected_and_as_long_as_their_steps() -> None:
    masks = strokes(50, 200, 200, holes=1, points=2, step=(60, 60), radius=(2, 2), generator=seeded())
    border = torch.ones(200, 200, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    whole = masks[~(masks & border).flatten(1).any(1)]
    assert len(whole) > 10
    area = 60 * 4 + math.pi * 4  # a capsule
    assert whole.flatten(1).sum(1).float().mean().item() == pytest.approx(area, rel=0.05)


def test_more_holes_cover_more() -> None:
    def share(holes: int) -> float:
        lines = strokes(20, 64, 64, holes=holes, points=4, step=(5, 20), radius=(1, 3), generator=seeded())
        return lines.float().mean().item()

    assert 0 < share(1) < share(4) < 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: grid_cells(2, 32, 32, cell=4, sets=3, generator=g),
        lambda g: squares(2, 32, 32, holes=2, side=(2, 9), generator=g),
        lambda g: discs(2, 32, 32, holes=2, radius=(2, 9), generator=g),
        lambda g: strokes(2, 32, 32, holes=2, points=3, step=(4, 9), radius=(1, 2), generator=g),
    ],
    ids=["grid_cells", "squares", "discs", "strokes"],
)
def test_the_generator_alone_decides(draw) -> None:
    state = torch.get_rng_state()
    assert torch.equal(draw(seeded(3)), draw(seeded(3)))
    assert not torch.equal(draw(seeded(3)), draw(seeded(4)))
    assert torch.equal(torch.get_rng_state(), state)


def test_impossible_ranges_are_refused() -> None:
    with pytest.raises(ConfigError, match="side from 9 to 40"):
        squares(1, 32, 32, holes=1, side=(9, 40))
    with pytest.raises(ConfigError, match="radius from 5 to 2"):
        discs(1, 32, 32, holes=1, radius=(5, 2))
    with pytest.raises(ConfigError, match="at least 2"):
        strokes(1, 32, 32, holes=1, points=1, step=(4, 9), radius=(1, 2))
