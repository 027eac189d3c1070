"""The detector `autopaint`: what is hidden, what the network may see, the loop, and the losses."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from anomalib_lite_autopaint import register_detectors
from anomalib_lite_autopaint.config import AutopaintConfig
from anomalib_lite_autopaint.detector import Autopaint
from anomalib_lite_autopaint.hiding import at_random, grids
from anomalib_lite_autopaint.losses import Eyes, mean_over, perceptual_and_style, total_variation
from plain_run import PlainRun, map_of
from pydantic import ValidationError
from torch import Tensor, nn

from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite.errors import ConfigError, DataError


def detector(height: int = 64, width: int = 64, channels: int = 1, **options: Any) -> Autopaint:
    """Not trained: it fills by interpolation alone, and expects to be off by 1."""
    torch.manual_seed(0)
    config = AutopaintConfig(**{"widths": (8, 16), "hole": 8, **options})
    made = Autopaint(config, ImageSpec(height, width, channels, "uint8", 255.0)).requires_grad_(False).eval()
    bias(made).view(2 * channels, 4)[channels:] = 3
    return made


def bias(made: Autopaint) -> Tensor:
    """Of the last layer: fillings, then logarithms of the spreads, 4 pixels each."""
    assert made.filler.out.bias is not None
    return made.filler.out.bias


def disc(value: float, radius: float, *, background: float = 0.2) -> Tensor:
    """(1, 1, 64, 64): a disc in the middle of an even image."""
    steps = torch.arange(64) - 31.5
    inside = steps.square().view(-1, 1) + steps.square() <= radius**2
    return torch.where(inside, value, background)[None, None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"masks": ("strokes", "strokes")}, "names a kind twice"),
        ({"channel_weights": (0, 0)}, "no difference would count"),
        ({"suspect": 1.0}, "less than or equal to 0.9999"),
        ({"widths": (12, 16)}, "multiple of 8"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AutopaintConfig(**options)


def test_images_that_do_not_suit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"raise image\.height"):
        detector(12, 64)
    with pytest.raises(ConfigError, match="has 2 weights, the images 1 channels"):
        detector(channel_weights=(1, 0.5))


def test_weights_are_declared_where_they_are_used() -> None:
    (info,) = register_detectors()
    assert "Apache-2.0" in str(AutopaintConfig(perceptual_weight=0.05).describe(info).weights)
    assert AutopaintConfig().describe(info).weights is None


@pytest.mark.parametrize(("height", "width", "side"), [(64, 48, 8), (33, 50, 7), (16, 16, 4)])
def test_every_pixel_is_hidden_twice(height: int, width: int, side: int) -> None:
    assert (grids(height, width, side).sum(0) == 2).all()


def test_what_is_hidden_is_not_seen() -> None:
    made, image = detector(40, 52, 2), torch.rand(1, 2, 40, 52)
    nn.init.normal_(made.filler.out.weight, std=0.05)
    hidden = grids(40, 52, 8)[3:4]
    other = torch.where(hidden, torch.rand_like(image), image)
    visible = (~hidden).float()
    found, again = made.filler(image, visible), made.filler(other, visible)
    torch.testing.assert_close(found, again, atol=0, rtol=0)
    assert not torch.equal(found[0], made.filler(1 - image, visible)[0])


def test_the_loop_shows_all_of_what_is_larger_than_a_hole() -> None:
    """Its inside is filled from its own rim at first; in the end the whole of it stands out, and nothing beside it."""
    image, ill = disc(0.8, 14), disc(1, 14, background=0).bool()
    beside = ~disc(1, 18, background=0).bool()
    made = [detector(rounds=rounds) for rounds in (0, 6)]
    made[1].limit.fill_(0.05)
    once, looped = (map_of(one, image) for one in made)
    assert once[ill].median() < 0.3
    assert looped[ill].min() > 0.55  # of 0.6
    assert looped[beside].max() < 0.05 < once[beside].max()


def test_an_image_without_anything_suspicious_stays_as_it_was() -> None:
    made = detector(rounds=3)
    made.limit.fill_(10)
    image = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(map_of(made, image), (image - made.first(image)[0]).abs())


def test_suspicion_rises_without_a_jump_and_reaches_beyond() -> None:
    made = detector()
    made.limit.fill_(2)
    levels = torch.tensor([0.9, 1.75, 2.6]).view(3, 1, 1, 1)
    hidden = made.suspicious(levels.expand(3, 1, 64, 64))
    torch.testing.assert_close(hidden[:, 0, 30, 30], torch.tensor([0.0, 0.5, 1.0]))
    spot = torch.zeros(1, 1, 64, 64)
    spot[..., 30:33, 30:33] = 9
    assert made.suspicious(spot)[0, 0, 31].nonzero().flatten().tolist() == list(range(27, 36))


def test_rounding_stays_small_where_features_hardly_differ() -> None:
    """Each round makes it larger, and the exported graph has to agree."""
    made = detector(rounds=0)
    for block in (*made.filler.down, *made.filler.up):
        for gated in block:
            gated.convolution.bias.fill_(3)
            gated.convolution.weight.mul_(0.1)
    nn.init.normal_(made.filler.out.weight, std=0.05)
    image = torch.rand(1, 1, 64, 64)
    exact = map_of(copy.deepcopy(made).double(), image.double())
    assert (map_of(made, image) - exact).abs().max() < 1e-5 * exact.max()


def test_channels_count_by_their_weights_in_their_units() -> None:
    bright, dark = disc(0.6, 6), disc(0.0, 6)
    image = torch.cat([bright, dark], 1)
    alone = detector(channels=2, channel_weights=(1, 0), rounds=0)
    torch.testing.assert_close(map_of(alone, image), map_of(detector(rounds=0), bright))
    made = detector(channels=2, channel_weights=(3, 1), rounds=0)
    bias(made)[8:12] += math.log(0.5)  # expects to be off by 0.5 in the first channel
    expected = (3 * map_of(detector(rounds=0), bright) / 0.5 + map_of(detector(rounds=0), dark)) / 4
    torch.testing.assert_close(map_of(made, image), expected)


def test_only_the_asked_sign_counts() -> None:
    bright, dark = disc(0.6, 4), disc(0.0, 4, background=0.4)
    for sign, seen, unseen in (("brighter", bright, dark), ("darker", dark, bright)):
        made = detector(residual=sign, rounds=4)
        made.limit.fill_(0.05)
        assert map_of(made, seen)[..., 31, 31] > 0.35
        assert map_of(made, unseen)[..., 31, 31] == 0


def test_the_limit_is_that_of_good_images_where_they_count() -> None:
    made = detector(rounds=0, suspect=0.9)
    images, valid = torch.rand(6, 1, 64, 64), torch.ones(6, 1, 64, 64, dtype=torch.bool)
    valid[..., :32] = False
    images[..., :24] += 5 * torch.rand(6, 1, 64, 24)
    made._learn_limit([Batch(images, valid=valid)], PlainRun())
    smooth = nn.functional.avg_pool2d(map_of(made, images), 3, 1, 1, count_include_pad=False)
    assert (smooth[valid] > made.limit).float().mean() == pytest.approx(0.1, abs=0.001)
    with pytest.raises(DataError, match="region of interest"):
        made._learn_limit([Batch(images, valid=valid & False)], PlainRun())


@pytest.mark.parametrize("kind", ["rectangles", "strokes", "shapes"])
def test_about_a_third_is_hidden_to_learn_from(kind: str) -> None:
    torch.manual_seed(0)
    image = nn.functional.interpolate(torch.rand(24, 3, 6, 8), (96, 128), mode="bilinear")
    hidden = at_random(image, None, [kind], 16)
    assert hidden.shape == (24, 1, 96, 128)
    assert 0.15 < hidden.float().mean() < 0.5
    assert at_random(image[:2, :, :16, :16], None, [kind], 4).any()


def test_losses_by_hand() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    first = torch.tensor([[True, False], [False, False]]).view(1, 1, 2, 2)
    assert mean_over(values, first) == 1
    assert mean_over(values, first & False) == 0
    # steps of which the first pixel is an end: 2 down, 1 across
    assert total_variation(values, first) == pytest.approx(1.5)


def test_a_network_sees_each_channel_and_what_differs() -> None:
    eyes = Eyes("none", ImageSpec(30, 37, 2, "uint8", 255.0))
    truth = torch.rand(2, 2, 30, 37)
    assert [one.shape[0] for one in eyes(truth)] == [4, 4]
    same = perceptual_and_style(eyes, truth, truth, truth)
    other = perceptual_and_style(eyes, truth, truth.mean((2, 3), keepdim=True).expand_as(truth))
    assert all(one == 0 for one in same)
    assert all(one > 0.01 for one in other)


def test_the_loss_has_all_terms_and_ignores_what_does_not_count() -> None:
    made, run = detector(perceptual_weight=1, style_weight=1), PlainRun()
    image, valid = torch.rand(2, 1, 64, 64), torch.ones(2, 1, 64, 64, dtype=torch.bool)
    eyes = Eyes("none", made.image)
    losses = []
    for counted in (None, valid, valid & False):
        torch.manual_seed(1)
        losses.append(made._loss(Batch(image, valid=counted), eyes, run))
    assert set(run.values) == {"hole", "valid", "variation", "spread", "perceptual", "style"}
    assert losses[0] == losses[1]
    assert all(run.values[name][2] == 0 for name in ("hole", "valid", "variation", "spread"))


def test_training_learns_to_fill() -> None:
    made, run = detector(steps=45, learning_rate=1e-2), PlainRun()
    rows = torch.linspace(0, 12, 64).sin().view(1, 1, 64, 1)
    images = 0.5 + 0.3 * rows * torch.ones(2, 1, 64, 64)
    made.filler.requires_grad_(True)
    made.fit([Batch(images)], run)
    holes = run.values["hole"]
    assert sum(holes[-5:]) < 0.7 * sum(holes[:5])
