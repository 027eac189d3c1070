"""Dense diffusion time estimation: noise, times, blocks, and what a short training finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from anomalib_lite_dte import register_detectors
from anomalib_lite_dte.config import DteConfig
from anomalib_lite_dte.unet_map import UNetMap, grainy_noise, time_map
from plain_run import PlainRun
from pydantic import ValidationError
from torch import Tensor

from anomalib_lite import testing
from anomalib_lite.detector import Batch, ImageSpec

SMALL = DteConfig(widths=(8, 16), grain=8, members=2)


def detector(height: int = 48, width: int = 40, channels: int = 1, config: DteConfig = SMALL) -> UNetMap:
    """Untrained, but with outputs that depend on the image."""
    torch.manual_seed(0)
    made = UNetMap(config, ImageSpec(height, width, channels, "uint8", 255.0)).eval()
    for member in made.members:
        torch.nn.init.normal_(member.get_parameter("out.weight"))
    return made


def test_the_description_can_be_listed_without_torch() -> None:
    (info,) = register_detectors()
    assert (info.name, info.positional) == ("dte", False)
    assert not info.config().describe(info).positional
    assert DteConfig(position=True).describe(info).positional


def test_times_are_constant_in_regions_and_zero_elsewhere() -> None:
    torch.manual_seed(0)
    maps = time_map(50, 12, 16, regions=2, steps=400)
    assert maps.shape == (50, 1, 12, 16)
    assert maps.dtype == torch.int64
    assert 0 <= maps.min() <= maps.max() < 400
    assert all(len(one.unique()) <= 3 for one in maps)
    assert 0.3 < float((maps == 0).float().mean()) < 0.95
    assert maps.max() > 350  # late times occur


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_has_variance_one_and_grains_of_many_sizes(channels: int) -> None:
    torch.manual_seed(0)
    noise = grainy_noise(60, channels, 64, 48, grain=16)
    assert noise.shape == (60, channels, 64, 48)
    torch.testing.assert_close(noise.square().mean((1, 2, 3)), torch.ones(60))
    step = (noise[..., 1:] - noise[..., :-1]).square().mean((1, 2, 3)) / 2  # 1 for white noise, 0 for a flat image
    assert step.min() < 0.1 < 0.9 < step.max()
    white = grainy_noise(20, channels, 64, 48, grain=1)
    assert ((white[..., 1:] - white[..., :-1]).square().mean((1, 2, 3)) / 2 > 0.85).all()
    alike = (noise[:, :1] == noise).all((1, 2, 3)) if channels > 1 else None
    assert alike is None or 10 < int(alike.sum()) < 50


class Constant(torch.nn.Module):
    """A network that tells the same shares of the bins everywhere."""

    def __init__(self, shares: torch.Tensor) -> None:
        super().__init__()
        self.shares = shares

    def forward(self, blocks: torch.Tensor) -> torch.Tensor:
        return self.shares.log().view(1, 7, 1, 1).expand(len(blocks), 7, *blocks.shape[2:])


def test_the_map_is_the_mean_log_odds_of_lying_beyond_a_border() -> None:
    shares = torch.tensor([[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05], [0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3]])
    beyond = 1 - shares.cumsum(1)[:, :6]
    expected = float((beyond / (1 - beyond)).log().mean())
    made = detector(8, 12)
    made.members = torch.nn.ModuleList(Constant(one) for one in shares)
    torch.testing.assert_close(made(torch.rand(1, 1, 8, 12)), torch.full((1, 1, 8, 12), expected))


@pytest.mark.parametrize("position", [False, True])
@pytest.mark.parametrize(("height", "width", "channels"), [(48, 40, 1), (37, 53, 3), (16, 64, 1), (5, 7, 1)])
def test_any_size_and_batch(position: bool, height: int, width: int, channels: int) -> None:
    made = detector(height, width, channels, SMALL.model_copy(update={"position": position}))
    image = torch.rand(3, channels, height, width)
    with torch.no_grad():
        together = made(image)
        alone = torch.cat([made(one[None]) for one in image])
    assert together.shape == (3, 1, height, width)
    assert together.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_block_far_away_moves_its_own_place_of_the_map() -> None:
    made = detector(96, 96, config=SMALL)
    image = torch.rand(1, 1, 96, 96)
    changed = image.clone()
    changed[..., 60:64, 20:24] = 1 - changed[..., 60:64, 20:24]
    with torch.no_grad():
        moved = (made(changed) - made(image)).abs()[0, 0]
    here = moved[54:70, 14:30]
    assert here.mean() > 5 * (moved.sum() - here.sum()) / (moved.numel() - here.numel())


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_image_gives_a_finite_map(value: float) -> None:
    with torch.no_grad():
        assert detector()(torch.full((1, 1, 48, 40), value)).isfinite().all()


def test_brightness_and_contrast_of_the_whole_image_hardly_matter() -> None:
    made, image = detector(), torch.rand(1, 1, 48, 40)
    with torch.no_grad():
        torch.testing.assert_close(made(image), made(0.2 + 0.5 * image), rtol=0.02, atol=0.02)


def texture(count: int, seed: int, channels: int = 1) -> Tensor:
    """Vertical grain with noise and a brightness of its own per image, (count, channels, 48, 48)."""
    generator = torch.Generator().manual_seed(seed)
    grain = torch.randn(count, 1, 1, 48, generator=generator)
    noise = torch.randn(count, channels, 48, 48, generator=generator)
    level = 0.4 + 0.2 * torch.rand(count, 1, 1, 1, generator=generator)
    return (level + 0.08 * grain + 0.02 * noise).clamp(0, 1)


def test_components_of_blocks_are_uncorrelated_and_of_spread_one() -> None:
    made, images = detector(48, 48), texture(40, 0)
    made.projection = made._components([Batch(part) for part in images.split(8)], PlainRun())
    centred = images - images.mean((2, 3), keepdim=True)
    centred = centred / centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    blocks = torch.nn.functional.conv2d(centred, made.projection, stride=4).movedim(1, -1).flatten(0, 2)
    covariance = blocks.T.cov()
    torch.testing.assert_close(covariance - covariance.diag().diag(), torch.zeros(16, 16), atol=0.02, rtol=0)
    assert 0.9 < float(covariance.diag()[0]) < 1.05  # the noise floor takes a little off the finest
    assert (covariance.diag() > 0.5).all()


def test_pixels_outside_the_region_do_not_train() -> None:
    made, run, image = detector(), PlainRun(), torch.rand(2, 1, 48, 40)

    def loss(valid: Tensor | None) -> Tensor:
        torch.manual_seed(1)  # the same noise
        return made._loss(Batch(image, valid=valid), run)

    everywhere = torch.ones(2, 1, 48, 40, dtype=torch.bool)
    torch.testing.assert_close(loss(everywhere), loss(None))
    assert loss(~everywhere) == 0
    left = everywhere.clone()
    left[..., 20:] = False
    assert loss(left) != loss(None)
    components = [made._components([Batch(image, valid=valid)], run) for valid in (everywhere, left)]
    assert not torch.allclose(components[0], components[1])


def test_training_finds_a_planted_defect() -> None:
    torch.manual_seed(0)
    made = UNetMap(DteConfig(widths=(8, 16), grain=16, steps=150), ImageSpec(48, 48, 1, "uint8", 255.0))
    run = PlainRun()
    made.fit([Batch(part) for part in texture(32, 0).split(8)], run)
    assert np.mean(run.losses[-20:]) < 0.6 * np.mean(run.losses[:5])
    assert all(0 <= share <= 1 for share in run.values["right_bin"])
    good = texture(16, 1)
    defective = good.clone()
    defective[:, :, 20:28, 8:40] -= 0.2  # a dark bar across the grain
    with torch.no_grad():
        normal, planted = made(good), made(defective)
    above = planted.amax((1, 2, 3)).unsqueeze(1) > normal.amax((1, 2, 3))
    assert above.float().mean() >= 0.9  # image AUROC
    peak = int(planted[:, 0].mean(0).argmax())
    assert 14 <= peak // 48 <= 33


@pytest.mark.slow
def test_a_model_that_knows_the_place_is_exported_alike() -> None:
    (info,) = register_detectors()
    options = {"widths": [8, 16], "members": 2, "position": True}
    testing.check_the_graph_computes_the_same(testing.Subject.of(info, "anomalib_lite_dte", options, 3))


@pytest.mark.parametrize(
    "options",
    [{"widths": [8]}, {"widths": [8, 12]}, {"grain": 0}, {"regions": 0}, {"learning_rate": 0}, {"steps": 0}],
    ids=str,
)
def test_illegal_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DteConfig(**options)
