"""The detector `musc`: its map is what the definition says of one more image of the lot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from anomalib_lite_musc.config import MuscConfig
from anomalib_lite_musc.detector import Musc
from plain_run import PlainRun, map_of
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, layer_norm, normalize

from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.registry import load

SPEC = ImageSpec(height=64, width=96, channels=1, dtype="uint8", white=255)
RANDOM: dict[str, Any] = {"weights": "none", "layers": ("blocks.2", "blocks.4")}  # strides 8 and 16: 8 x 12 places


def images(number: int, seed: int = 0) -> Tensor:
    return torch.rand(number, 1, SPEC.height, SPEC.width, generator=torch.Generator().manual_seed(seed))


def fitted(batches: list[Batch], **options: Any) -> Musc:
    torch.manual_seed(0)
    detector = Musc(MuscConfig(**RANDOM | options), SPEC)
    detector.eval()
    detector.fit(batches, PlainRun())
    return detector


@torch.no_grad()
def defined(detector: Musc, image: Tensor, lot: Tensor) -> Tensor:
    """LNAMD and MSM of one image (1, C, H, W) among a lot, written down directly; (8, 12)."""
    found = []
    for mine, theirs in zip(detector.backbone(image), detector.backbone(lot), strict=True):
        for size in (1, 3, 5):
            one, others = (
                normalize(avg_pool2d(layer_norm(x, x.shape[1:]), size, 1, size // 2).double(), dim=1).flatten(2).mT
                for x in (mine, theirs)
            )
            nearest = torch.cdist(one, others).amin(2).sort(0).values
            grid = nearest[: int(0.3 * len(lot))].mean(0).view(1, 1, *mine.shape[2:])
            found.append(interpolate(grid, (8, 12), mode="bilinear", align_corners=True)[0, 0])
    return torch.stack(found).mean(0)


@torch.no_grad()
def test_the_map_is_that_of_one_more_image_of_the_lot() -> None:
    lot, new = images(9, 1), images(2, 9)
    detector = fitted([Batch(lot[:5]), Batch(lot[5:])])
    for one, found in zip(new, map_of(detector, new), strict=True):
        torch.testing.assert_close(found[0].double(), defined(detector, one[None], lot), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_gallery_has_an_image_of_each_part_before_a_second_of_any() -> None:
    lot, parts = images(12, 2), torch.tensor([0, 0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 6])
    detector = fitted([Batch(lot[:6], parts=parts[:6]), Batch(lot[6:], parts=parts[6:])], images=8)
    kept = lot[[0, 4, 6, 7, 8, 10, 11, 1]]  # the first of each of seven parts, then the first second one
    new = images(1, 9)
    torch.testing.assert_close(map_of(detector, new)[0, 0].double(), defined(detector, new, kept), rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_is_strange_in_the_lot_stays_strange() -> None:
    """Of a lot of twenty, three have a dark patch; an image that has it is found, though all three are kept."""
    lot = images(20, 3)
    lot[:3, :, 16:48, 16:48] = 0
    detector = fitted([Batch(lot)])
    new = images(2, 9)
    new[1, :, 16:48, 16:48] = 0
    plain, patched = map_of(detector, new).amax((1, 2, 3))
    assert patched > 1.1 * plain
    often = lot.clone()
    often[:10, :, 16:48, 16:48] = 0
    plain, patched = map_of(fitted([Batch(often)]), new).amax((1, 2, 3))
    assert patched < 1.1 * plain, "what half of the lot has is usual"


def test_few_parts_are_refused() -> None:
    with pytest.raises(DataError, match=r"of 4 parts.*5 at least"):
        fitted([Batch(images(8), parts=torch.tensor([0, 1, 2, 3] * 2))])


@torch.no_grad()
def test_nothing_is_near_to_what_does_not_count() -> None:
    valid = torch.zeros(6, 1, SPEC.height, SPEC.width, dtype=torch.bool)
    with pytest.raises(DataError, match=r"no pixel.*image.roi"):
        fitted([Batch(images(6), valid=valid)])
    valid[..., :48] = True
    seen = images(6, 6)
    detector = fitted([Batch(seen, valid=valid)])
    whole = fitted([Batch(seen)])
    assert (map_of(detector, seen) >= map_of(whole, seen) - 1e-6).all()
    assert map_of(detector, seen)[..., 8:].mean() > map_of(whole, seen)[..., 8:].mean() + 0.01


def test_a_gallery_that_takes_too_much_memory_is_refused_with_one_that_does_not() -> None:
    large = ImageSpec(height=1024, width=1024, channels=1, dtype="uint8", white=255)
    with pytest.raises(ConfigError, match=r"options.images=34"):
        Musc(MuscConfig(weights="none", images=64), large)
    with pytest.raises(ConfigError, match=r"image.height=256"):
        Musc(MuscConfig(weights="none", images=64), ImageSpec(4096, 4096, 1, "uint8", 255))


def test_weights_and_lot_are_told() -> None:
    info = load().detector("musc")
    assert info.fit_on == "unlabelled"
    assert "Apache-2.0" in str(MuscConfig().describe(info).weights)
    assert MuscConfig(weights="none").describe(info).weights is None
