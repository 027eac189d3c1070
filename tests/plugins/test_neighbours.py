"""The detector `neighbours`: its map is what its definition says, and its units are those of good images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from anomalib_lite_neighbours.config import NeighboursConfig
from anomalib_lite_neighbours.detector import FLOOR, Neighbours
from plain_run import PlainRun, map_of
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.registry import load

SPEC = ImageSpec(height=64, width=96, channels=1, dtype="uint8", white=255)
RANDOM: dict[str, Any] = {"weights": "none", "layers": ("blocks.2", "blocks.4")}  # strides 8 and 16: 8 x 12 places


def images(number: int, seed: int = 0) -> Tensor:
    return torch.rand(number, 1, SPEC.height, SPEC.width, generator=torch.Generator().manual_seed(seed))


def fitted(batches: list[Batch], **options: Any) -> Neighbours:
    torch.manual_seed(0)
    detector = Neighbours(NeighboursConfig(**RANDOM | options), SPEC)
    detector.eval()
    detector.fit(batches, PlainRun())
    return detector


def patches(detector: Neighbours, image: Tensor) -> Tensor:
    """(B, h w, d) by the definition."""
    fine, coarse = (avg_pool2d(one, 3, 1, 1, count_include_pad=False) for one in detector.backbone(image))
    coarse = interpolate(coarse, fine.shape[2:], mode="bilinear")
    return torch.cat([fine, coarse], 1).flatten(2).transpose(1, 2)


@torch.no_grad()
def test_the_map_is_the_distance_to_the_nearest_in_units_of_the_place() -> None:
    detector = fitted([Batch(images(6, 1), parts=torch.arange(6))], gallery=100)
    new = images(2, 9)
    found = patches(detector, new)
    squares = torch.cdist(found.double(), detector.gallery.T.double()).amin(2).square().view(2, 1, 8, 12)
    expected = ((squares + detector.floor).sqrt() - detector.median) / detector.spread
    torch.testing.assert_close(map_of(detector, new).double(), expected, rtol=1e-3, atol=1e-2)


@torch.no_grad()
def test_distances_are_exact_where_all_patches_are_long_and_alike() -> None:
    """Lengths of two patches less twice their product would leave nothing of a distance that is small beside them."""
    detector = Neighbours(NeighboursConfig(**RANDOM, gallery=50), SPEC)
    good = 1000 + torch.randn(50, len(detector.gallery), generator=torch.Generator().manual_seed(0))
    detector.gallery, detector.halved = good.T.contiguous(), good.square().sum(1) / 2
    some = good[:6] + 1e-2 * torch.randn(6, good.shape[1], generator=torch.Generator().manual_seed(1))
    squares = detector._squares(some.view(1, 2, 3, -1))
    torch.testing.assert_close(squares.flatten(), (some - good[:6]).square().sum(1), rtol=1e-4, atol=0)


@torch.no_grad()
def test_units_are_those_of_patches_of_other_parts() -> None:
    """Where all patches are kept, a part would be at distance 0 from itself, and nothing could be told by that."""
    batch = Batch(images(4, 2), parts=torch.tensor([0, 0, 1, 1]))
    detector = fitted([batch], gallery=16384)
    found = patches(detector, batch.image)
    distances = torch.stack(
        [
            torch.cdist(found[own], torch.cat([found[other] for other in others])).amin(1)
            for own, others in ((0, (2, 3)), (1, (2, 3)), (2, (0, 1)), (3, (0, 1)))
        ]
    ).view(4, 1, 8, 12)
    middle = distances.median(0, keepdim=True).values
    torch.testing.assert_close(detector.floor, FLOOR * distances.square().median(), rtol=1e-3, atol=0)
    expected = avg_pool2d(middle, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(detector.median, expected, rtol=1e-2, atol=1e-2)
    scores = map_of(detector, batch.image)
    assert scores.median() < 0, "they are nearer to themselves than good images are to each other"


def test_one_unit_for_all_places_where_they_do_not_lie_alike() -> None:
    detector = fitted([Batch(images(4, 3))], place=False)
    assert len(detector.median.unique()) == len(detector.spread.unique()) == 1
    info = load().detector("neighbours")
    assert NeighboursConfig(place=False).describe(info).positional is False
    assert NeighboursConfig().describe(info).positional is True


def test_one_part_is_measured_against_itself() -> None:
    detector = fitted([Batch(images(1, 4), parts=torch.tensor([7]))], gallery=16)
    assert torch.isfinite(map_of(detector, images(2, 5))).all()


def test_what_does_not_count_is_not_kept() -> None:
    valid = torch.zeros(3, 1, SPEC.height, SPEC.width, dtype=torch.bool)
    valid[..., :48] = True
    seen = images(3, 6)
    detector = fitted([Batch(seen, valid=valid)], gallery=16384)
    assert detector.gallery.shape[1] == 3 * 8 * 6
    with pytest.raises(DataError, match=r"no pixel.*image.roi"):
        fitted([Batch(seen, valid=torch.zeros_like(valid))])


def test_a_gallery_that_takes_too_much_memory_is_refused_with_one_that_does_not() -> None:
    large = ImageSpec(height=2048, width=2048, channels=1, dtype="uint8", white=255)
    with pytest.raises(ConfigError, match=r"options.gallery=1024"):
        Neighbours(NeighboursConfig(**RANDOM), large)


def test_weights_are_told() -> None:
    info = load().detector("neighbours")
    assert "Apache-2.0" in str(NeighboursConfig().describe(info).weights)
    assert NeighboursConfig(weights="none").describe(info).weights is None
