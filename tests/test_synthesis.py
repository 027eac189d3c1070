"""Masks and synthetic anomalies: what each sampler promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.synthesis import (
    SOURCES,
    Anomalies,
    Draw,
    TextureFolder,
    discs,
    foreground,
    grid_cells,
    perlin,
    pull_push,
    shapes,
    squares,
    strokes,
    superpixels,
    vary,
)
from anomalib_lite.synthesis.box import Box
from anomalib_lite.synthesis.shapes import blobs, broken_edges, clouds, cuts, scratches
from anomalib_lite.synthesis.sources import patch


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
def test_the_generator_alone_decides(draw: Callable[[Generator], Tensor]) -> None:
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


@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 90), (256, 33)])
def test_perlin_noise_has_the_statistics_of_perlin_noise(height: int, width: int) -> None:
    noise = perlin(Draw(generator=seeded()), 200, height, width, octaves=(3, 3))
    assert noise.shape == (200, height, width)
    assert noise.mean().abs() < 0.02
    assert noise.abs().max() <= 1.0 + 1e-6  # |lattice noise| is at most 1 / sqrt 2 for unit gradients in two dimensions
    assert 0.25 < noise.std() < 0.45


def test_perlin_noise_is_zero_at_the_points_of_its_lattice_and_smooth() -> None:
    # One cell over 512 pixels: the noise changes by at most about its slope, 4 x sqrt 2 per cell, from pixel to pixel.
    noise = perlin(Draw(generator=seeded()), 20, 512, 512, octaves=(0, 0))
    assert (noise[:, 1:] - noise[:, :-1]).abs().max() < 6 / 512
    # A lattice as fine as can be has a period of 8 pixels on 256: far from constant within it.
    fine = perlin(Draw(generator=seeded()), 20, 256, 256, octaves=(5, 5))
    assert fine.unfold(1, 16, 16).std(3).mean() > 0.15


def test_clouds_cover_as_much_as_an_independent_perlin_noise_above_a_half() -> None:
    def noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> np.ndarray:
        """By the definition, pixel by pixel: gradients at lattice points, quintic fade."""
        angles = rng.uniform(0, 2 * np.pi, (rows + 1, columns + 1))
        y, x = np.meshgrid(
            (np.arange(size) + 0.5) * rows / size, (np.arange(size) + 0.5) * columns / size, indexing="ij"
        )
        i, j = y.astype(int), x.astype(int)
        total = np.zeros((size, size))
        for a in (0, 1):
            for b in (0, 1):
                dy, dx = y - i - a, x - j - b
                weight = np.prod([1 - 6 * abs(t) ** 5 + 15 * abs(t) ** 4 - 10 * abs(t) ** 3 for t in (dy, dx)], axis=0)
                angle = angles[i + a, j + b]
                total += weight * (np.sin(angle) * dy + np.cos(angle) * dx)
        return np.asarray(np.sqrt(2) * total)

    rng = np.random.default_rng(0)
    expected = [(noise(rng, 64, *2 ** rng.integers(0, 6, 2)) > 0.5).mean() for _ in range(600)]
    found = clouds(Draw(generator=seeded()), 600, 64, 64).mean((1, 2, 3))
    assert found.mean().item() == pytest.approx(np.mean(expected), rel=0.2)
    # turned about the middle, a field is no longer cut along its lattice: a little more of them show something
    assert (found == 0).float().mean().item() == pytest.approx(np.mean(np.array(expected) == 0), abs=0.08)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_source_changes_what_its_mask_says_and_nothing_else(source: str, channels: int) -> None:
    image = grainy(16, channels, 64, 48)
    planted, mask = Anomalies({source: 1}, clean=0).plant(Draw(generator=seeded()), image)
    assert planted.shape == image.shape
    assert mask.shape == (16, 1, 64, 48)
    assert mask.dtype == torch.bool
    assert planted.min() >= 0
    assert planted.max() <= 1
    assert mask.flatten(1).any(1).float().mean() >= 0.5  # most draws are visible
    changed = (planted - image).abs().amax(1, keepdim=True)
    untouched = ~mask.flatten(1).any(1)
    assert torch.equal(planted[untouched], image[untouched])
    inside = changed[mask].mean()
    outside = changed[~mask].mean()
    assert inside > 20 * outside


def test_the_clean_share_has_an_empty_mask_and_is_as_it_came() -> None:
    image = grainy(400, 1, 32, 32)
    planted, mask = Anomalies(dict.fromkeys(SOURCES, 1), clean=0.5).plant(Draw(generator=seeded()), image)
    empty = ~mask.flatten(1).any(1)
    assert 0.42 < empty.float().mean() < 0.68  # half of them, and the changes that cannot be seen
    assert torch.equal(planted[empty], image[empty])
    assert Anomalies({"spot": 1}, clean=1).plant(Draw(), image)[1].sum() == 0


def test_the_mix_is_drawn_in_proportion() -> None:
    image = torch.full((600, 1, 64, 64), 0.5)
    _, mask = Anomalies({"photometric": 1, "scratch": 3}, clean=0).plant(Draw(generator=seeded()), image)
    thin = mask.flatten(1).sum(1) < 64 * 64 * 0.04
    assert 0.6 < thin.float().mean() < 0.95


def test_anomalies_stay_where_they_are_allowed() -> None:
    image = grainy(32, 1, 64, 64)
    allowed = torch.zeros(32, 1, 64, 64, dtype=torch.bool)
    allowed[..., :20] = True
    planted, mask = Anomalies(dict.fromkeys(SOURCES, 1), clean=0).plant(Draw(generator=seeded()), image, allowed)
    assert mask.any()
    assert not (mask & ~allowed).any()
    assert torch.equal(planted[..., 20:], image[..., 20:])


@pytest.mark.parametrize("source", SOURCES)
def test_as_many_anomalies_are_seen_beside_bars_as_without(source: str) -> None:
    """Images that are framed with bars: what is planted into the bars would be lost."""
    image = grainy(200, 1, 64, 96)
    inside = torch.zeros(200, 1, 64, 96, dtype=torch.bool)
    inside[..., 32:64] = True
    anomalies = Anomalies({source: 1}, clean=0)
    whole, framed = (
        anomalies.plant(Draw(generator=seeded()), image, allowed)[1].flatten(1).any(1).float().mean()
        for allowed in (None, inside)
    )
    assert framed > 0.85 * whole


def test_patches_come_from_inside_the_images() -> None:
    image = torch.full((50, 1, 40, 60), -100.0)
    image[:, :, 5:30, 20:45] = 0.5
    box = Box.around(image > 0)
    changed, _ = patch(Draw(generator=seeded()), image, box, image, box)
    assert box.side.unique().tolist() == [25]
    assert changed[:, :, 5:30, 20:45].amin() == 0.5


def test_a_box_is_the_extent_of_what_counts() -> None:
    valid = torch.zeros(3, 1, 6, 8, dtype=torch.bool)
    valid[0, 0, 2:5, 1] = True
    valid[0, 0, 3, 1:7] = True
    valid[1] = True
    assert torch.stack(list(Box.around(valid)), 1).tolist() == [[2, 1, 3, 6], [0, 0, 6, 8], [0, 0, 6, 8]]
    assert torch.equal(torch.stack(list(Box.around(valid)))[:, 1:], torch.stack(list(Box.whole(valid)))[:, 1:])


def test_planting_is_decided_by_the_generator_alone() -> None:
    image, anomalies = grainy(8, 1, 48, 48), Anomalies(dict.fromkeys(SOURCES, 1), clean=0.2)
    first, again, other = (anomalies.plant(Draw(generator=seeded(seed)), image)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("mix", [{}, {"spot": 0}, {"spot": -1, "edge": 2}, {"sopt": 1}])
def test_a_mix_without_meaning_is_refused(mix: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"sources? of anomalies"):
        Anomalies(mix)


def test_scratches_are_as_long_and_wide_as_asked() -> None:
    lines = scratches(Draw(generator=seeded()), 200, 96, 96, radius=(1.5, 1.5), length=(40, 40))
    border = torch.ones(96, 96, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    whole = lines[~((lines[:, 0] > 0) & border).flatten(1).any(1)]
    assert len(whole) > 50
    area = (whole > 0).flatten(1).sum(1).float()
    assert 40 * 3 * 0.9 < area.median() < (40 * 5 + 20) * 1.1  # 3 pixels wide, and the soft pixel on either side
    assert lines.min() >= 0
    assert lines.max() <= 1


def test_broken_edges_lie_at_an_edge_of_the_image() -> None:
    cover = broken_edges(Draw(generator=seeded()), 100, 80, 120, radius=(6, 12)) > 0.5
    middle = cover[:, :, 30:50, 30:90].flatten(1).any(1)
    assert cover.flatten(1).any(1).float().mean() > 0.9
    assert middle.float().mean() < 0.1


def test_shapes_lie_in_their_box() -> None:
    box = Box(*(torch.full((100,), float(one)) for one in (20, 40, 40, 60)))
    at = broken_edges(Draw(generator=seeded()), 100, 80, 120, radius=(3, 5), box=box) > 0.5
    assert at.flatten(1).any(1).float().mean() > 0.9
    assert at[:, :, 32:48, 52:88].flatten(1).any(1).float().mean() < 0.1
    assert at[:, :, 10:70, 30:110].sum() == at.sum()
    middles = blobs(Draw(generator=seeded()), 100, 80, 120, radius=(1.5, 1.5), box=box) > 0.5
    assert middles[:, :, 16:64, 36:104].sum() == middles.sum()
    lines = scratches(Draw(generator=seeded()), 100, 80, 120, radius=(1, 1), length=(4, 4), box=box) > 0
    assert lines[:, :, 14:66, 34:106].sum() == lines.sum()
    share = (cuts(Draw(generator=seeded()), 100, 80, 120, box=box) > 0.5)[:, :, 20:60, 40:100].float().mean((1, 2, 3))
    assert 0.15 < share.mean() < 0.45


def test_cuts_and_blobs_have_the_extent_asked_for() -> None:
    share = (cuts(Draw(generator=seeded()), 300, 64, 64) > 0.5).float().mean((1, 2, 3))
    assert 0.15 < share.mean() < 0.45
    assert share.max() < 0.85  # 60 % and the waves of the line
    small, large = (
        (blobs(Draw(generator=seeded()), 100, 128, 128, radius=(r, r)) > 0.5).float().sum((1, 2, 3)).median()
        for r in (4.0, 16.0)
    )
    assert 8 < large / small < 32  # 16 times the area


def test_foreground_is_the_object() -> None:
    image = torch.full((2, 3, 40, 50), 0.1)
    image[0, :, 10:30, 15:40] = 0.6
    object_ = foreground(image)
    assert torch.equal(object_[0, 0], image[0, 0] > 0.3)
    assert object_[1].all()  # nothing to tell apart


def test_textures_of_a_folder(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    (tmp_path / "deep").mkdir()
    Image.fromarray(pixels).save(tmp_path / "deep" / "a.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "b.jpg")
    folder = TextureFolder(tmp_path)
    assert len(folder) == 2
    first, again, other = (folder(Draw(generator=seeded(seed)), 6, 3, 32, 24) for seed in (0, 0, 1))
    assert first.shape == (6, 3, 32, 24)
    assert 0 <= first.min() < first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(one.flatten().tolist()[:50]) for one in first}) > 2  # altered, each in its own way
    assert folder(Draw(), 2, 1, 16, 16).shape == (2, 1, 16, 16)


def test_a_folder_without_a_readable_texture_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no texture image"):
        TextureFolder(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        TextureFolder(tmp_path)  # and not when it is first drawn


def test_hidden_files_are_no_textures(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"what archives of some systems leave behind")
    assert len(TextureFolder(tmp_path)) == 1


def corners(image: Tensor) -> Tensor:
    """(B, 4) values at the corners, clockwise from the upper left."""
    return torch.stack([image[:, 0, y, x] for y, x in ((0, 0), (0, -1), (-1, -1), (-1, 0))], 1)


def test_varied_images_are_mirrored_enlarged_and_lit_otherwise() -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 40), indexing="ij")
    image = (0.2 + 0.2 * rows + 0.4 * columns).expand(400, 1, 32, 40)  # each corner has a grey of its own
    seen, valid = vary(Draw(generator=seeded(3)), image)
    assert (seen.shape, valid) == (image.shape, None)
    first = corners(seen).argmin(1)  # where the upper left corner has gone to
    assert set(first.tolist()) == {0, 1}
    assert all(150 < (first == corner).sum() < 250 for corner in (0, 1))
    assert seen.std((1, 2, 3)).unique().numel() > 300  # gamma and enlargement differ
    again, _ = vary(Draw(generator=seeded(3)), image)
    assert torch.equal(seen, again)


def test_what_counts_moves_with_the_image() -> None:
    image = torch.zeros(64, 1, 24, 24)
    image[:, :, :, 12:] = 1.0
    seen, valid = vary(Draw(generator=seeded(0)), image, image > 0.5)
    assert valid is not None
    assert valid.dtype == torch.bool
    assert (seen[valid] > 0.998).all()
    assert (seen[~valid] < 0.9995).all()
    assert len({tuple(one.flatten().tolist()) for one in valid}) > 4


def grainy(count: int, channels: int, height: int, width: int) -> Tensor:
    """Grey images with a little noise."""
    return 0.4 + 0.02 * torch.randn(count, channels, height, width, generator=seeded(9)).clamp(-3, 3)


def test_filling_does_not_jump_where_a_pixel_is_hardly_visible() -> None:
    image, visible = torch.rand(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    visible[..., 4:12, 4:12] = 0
    hidden = pull_push(image, visible, 4)
    for little in (1e-7, 1e-5, 1e-3):
        visible[..., 6, 6] = little
        assert (pull_push(image, visible, 4) - hidden).abs().max() <= 5 * little


def organs(seed: int) -> Tensor:
    """Two discs on an even ground, with noise, (1, 1, 64, 64)."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    image = torch.full((64, 64), 0.1)
    image[(y - 22).square() + (x - 24).square() <= 15**2] = 0.5
    image[(y - 44).square() + (x - 44).square() <= 12**2] = 0.8
    return (image + 0.01 * torch.randn(64, 64, generator=seeded(seed)))[None, None]


def test_superpixels_follow_edges() -> None:
    image = organs(0).expand(2, 3, 64, 64)
    found = superpixels(image, 8)
    assert found.shape == (2, 64, 64)
    assert torch.equal(found[0], found[1])
    mean = torch.stack([image[0, 0][found[0] == one].mean() for one in found[0].unique()])
    each = mean[torch.searchsorted(found[0].unique(), found[0])]
    assert (image[0, 0] - each).abs().mean() < 0.015  # of squares of 8 pixels: 0.06
    assert 40 <= len(found[0].unique()) <= 64


def test_shapes_are_of_the_image_in_one_piece_and_of_the_asked_size() -> None:
    image, generator = organs(1), seeded()
    edge = torch.maximum(*(F.pad(image.diff(dim=axis).abs(), pad) for axis, pad in ((2, (0, 0, 0, 1)), (3, (0, 1)))))[
        0, 0
    ]
    sharp = []
    for _ in range(20):
        (mask,) = shapes(image, side=8, area=(0.04, 0.1), generator=generator)
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        assert 0.04 <= mask.float().mean() <= 0.25  # at most a superpixel more, and a pixel around
        sharp.append(float(edge[boundary(mask)].mean()))
    placed = squares(20, 64, 64, holes=1, side=(16, 18), generator=generator)
    others = [float(edge[boundary(mask)].mean()) for mask in placed]
    assert np.mean(sharp) > 1.5 * np.mean(others)


def boundary(mask: Tensor) -> Tensor:
    """Pixels of a mask (H, W) within two of its outside, where its shape was before it was widened."""
    inner = -F.max_pool2d(-mask[None].float(), 5, 1, 2)[0]
    return mask & (inner == 0)


def test_shapes_begin_where_they_may() -> None:
    image, allowed = organs(2), torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    assert not shapes(image, side=8, allowed=allowed).any()
    allowed[..., 36:52, 36:52] = True  # in the lower disc
    for _ in range(5):
        (mask,) = shapes(image, side=8, area=(0.5, 0.9), allowed=allowed)
        assert mask[30:59, 30:59].sum() > 0.9 * mask.sum()
