"""The detector `inpainting`: its mathematics, what no pixel may see, training, and the exported graph."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from anomalib_lite_inpainting import register_detectors
from anomalib_lite_inpainting.config import InpaintingConfig
from anomalib_lite_inpainting.detector import Inpainting
from anomalib_lite_inpainting.feature_map import FeatureMap
from anomalib_lite_inpainting.pixel_map import PixelMap
from anomalib_lite_inpainting.similarity import gms_difference, msgms_difference, ssim
from PIL import Image
from plain_run import PlainRun, map_of
from pydantic import ValidationError
from torch import Tensor, nn

from anomalib_lite import testing
from anomalib_lite.detector import Batch
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError
from anomalib_lite.features import place_units
from anomalib_lite.synthesis import pull_push

PART = Path(__file__).parents[2] / "data_samples/part/train/good/part001_1.jpg"
SMALL = InpaintingConfig(cells=(4, 8), widths=(8, 16))


def pixels(made: Inpainting) -> PixelMap:
    assert isinstance(made.method, PixelMap)
    return made.method


def detector(height: int = 48, width: int = 40, channels: int = 1, config: InpaintingConfig = SMALL) -> Inpainting:
    """A detector whose output layer is not at its initial 0, as after training."""
    torch.manual_seed(0)
    made = Inpainting(config, ImageSpec(height, width, channels, "uint8", 255.0)).eval()
    nn.init.normal_(pixels(made).masked.unet.out.weight, std=0.05)
    return made


def test_entry_module_imports_no_torch() -> None:
    code = (
        "import sys, anomalib_lite_inpainting as p; (i,) = p.register_detectors(); i.config();"
        "assert i.name == 'inpainting' and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "options",
    [{"window": 10}, {"cells": ()}, {"widths": (12, 16)}, {"l2_weight": 0, "gms_weight": 0, "ssim_weight": 0}],
)
def test_options_without_meaning_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InpaintingConfig(**options)


@pytest.mark.parametrize(("size", "cells"), [((12, 64), (4,)), ((32, 32), (4, 32))])
def test_images_too_small_are_refused(size: tuple[int, int], cells: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"larger images|raise image.height"):
        detector(*size, config=InpaintingConfig(cells=cells))


def test_gms_of_a_step_against_a_flat_image() -> None:
    # Prewitt / 3 of a step of height 0.5 is 0.5 on both sides of it and 0 elsewhere; flat is 0: GMS = c / (0.25 + c)
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 0.5
    (difference,) = gms_difference(step, torch.zeros_like(step), scales=1)
    expected = torch.zeros(8)
    expected[3:5] = 1 - 0.0026 / (0.25 + 0.0026)
    torch.testing.assert_close(difference[0, 0], expected.expand(8, 8), atol=1e-5, rtol=0)


def test_msgms_is_the_mean_over_scales() -> None:
    # halved, the step lies between cells 1 and 2 of 4: 0.5 there again, cells 1 and 2 are columns 2 to 5 at full size
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 0.5
    wrong = 1 - 0.0026 / (0.25 + 0.0026)
    coarse = wrong * torch.tensor([0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0])
    fine = wrong * torch.tensor([0, 0, 0, 1, 1, 0, 0, 0])
    difference = msgms_difference(step, torch.zeros_like(step), scales=2)[0, 0]
    torch.testing.assert_close(difference, ((fine + coarse) / 2).expand(8, 8), atol=1e-5, rtol=0)


def test_ssim_by_hand_and_against_an_independent_implementation() -> None:
    # flat images have no structure: (2 a b + c1) / (a^2 + b^2 + c1)
    value = ssim(torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.25))
    expected = torch.full((1, 1, 6, 6), (2 * 0.125 + 1e-4) / (0.25 + 0.0625 + 1e-4))
    torch.testing.assert_close(value, expected, atol=1e-4, rtol=0)
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 32, 40))
    _, oracle = metrics.structural_similarity(
        a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    mine = ssim(torch.from_numpy(a)[None, None].float(), torch.from_numpy(b)[None, None].float())[0, 0]
    np.testing.assert_allclose(mine.numpy(), oracle[5:-5, 5:-5], atol=1e-4)


def test_pull_push_keeps_what_is_visible_and_fills_a_flat_image() -> None:
    image, visible = torch.rand(2, 3, 32, 32), (torch.rand(2, 1, 32, 32) > 0.7).float()
    filled = pull_push(image, visible, 5)
    torch.testing.assert_close(filled * visible, image * visible)
    torch.testing.assert_close(pull_push(torch.full_like(image, 0.3), visible, 5), torch.full_like(image, 0.3))


@pytest.mark.parametrize("channels", [1, 3])
def test_no_pixel_ever_sees_itself(channels: int) -> None:
    made = pixels(detector(32, 28, channels)).masked
    image = torch.rand(1, channels, 32, 28, requires_grad=True)
    for hidden in made.hidden:
        for y, x in [(0, 0), (13, 9), (31, 27), (16, 20)]:
            median, log_spread = made.inpaint(image, hidden.unsqueeze(0))
            (gradient,) = torch.autograd.grad(median[0, :, y, x].sum() + log_spread[0, :, y, x].sum(), image)
            assert (gradient[0, :, y, x] == 0).all()
            assert gradient.abs().sum() > 0  # but it does see others
            owner = int(hidden[:, y, x].nonzero())
            assert (gradient[0][:, hidden[owner]] == 0).all()  # none that is hidden together with it


def test_every_set_is_hidden_once() -> None:
    assert (pixels(detector()).masked.hidden.sum(1) == 1).all()


def test_shapes_of_the_image_are_hidden_each_in_one_set() -> None:
    image = torch.full((2, 1, 48, 40), 0.2)
    image[..., 13:29, 9:27] = 0.8
    made = pixels(detector(config=SMALL.model_copy(update={"masks": "shapes"})))
    torch.manual_seed(1)
    hidden = made.masked.shapes_at_random(image)
    assert (hidden.sum(1) == 1).all()
    assert hidden.float().mean((2, 3)).min() > 0.15
    owner = hidden.int().argmax(1)[0]
    across = (owner[13:29, 8] != owner[13:29, 9]).float().mean()  # over an edge of the image, which no cell has
    assert across > 0.3
    assert made._loss(Batch(image), PlainRun()).isfinite()
    with pytest.raises(ValidationError, match="masks means nothing to method features"):
        InpaintingConfig(method="features", masks="shapes")


@pytest.mark.parametrize("mode", ["likelihood", "gms"])
@pytest.mark.parametrize(("height", "width", "channels"), [(48, 40, 1), (37, 53, 3), (16, 64, 1)])
def test_any_size_and_batch(mode: str, height: int, width: int, channels: int) -> None:
    made = detector(height, width, channels, SMALL.model_copy(update={"map": mode}))
    image = torch.rand(3, channels, height, width)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with torch.no_grad():
        together = map_of(made, image)
        alone = torch.cat([map_of(made, one[None]) for one in image])
    assert together.shape == (3, 1, height, width)
    assert together.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_the_map_is_the_worst_standardised_residual() -> None:
    config = InpaintingConfig(cells=(4, 8), widths=(8, 16), window=1, relative=False)
    made, image = detector(32, 32, config=config), torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        standardised = []
        masked = pixels(made).masked
        for hidden in masked.hidden:
            median, log_spread = masked.inpaint(image, hidden[None])
            standardised.append((image - median).abs() / log_spread.exp())
        torch.testing.assert_close(made(image), torch.maximum(*standardised))
        relative = detector(32, 32, config=config.model_copy(update={"relative": True}))(image)
    torch.testing.assert_close(relative, torch.maximum(*(one / one.mean() for one in standardised)))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_image_gives_a_finite_map(value: float) -> None:
    with torch.no_grad():
        assert map_of(detector(), torch.full((1, 1, 48, 40), value)).isfinite().all()


def test_sixteen_bits_change_the_loss_by_little() -> None:
    """Variances of what is nearly constant are smaller than what sixteen bits round: the loss was infinite."""
    made = pixels(detector(128, 128, 3))
    with Image.open(PART) as opened:
        image = torch.from_numpy(np.asarray(opened.resize((128, 128)), np.float32)).permute(2, 0, 1)[None] / 255
    losses = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(float(made._loss(Batch(image), PlainRun()).detach()))
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_brightness_and_contrast_of_the_whole_image_hardly_matter() -> None:
    made, image = detector(), torch.rand(1, 1, 48, 40)
    with torch.no_grad():
        torch.testing.assert_close(made(image), made(0.2 + 0.5 * image), rtol=0.02, atol=0.02)


def test_pixels_outside_the_region_do_not_train() -> None:
    made, run, image = detector(), PlainRun(), torch.rand(2, 1, 48, 40)

    def loss(valid: Tensor | None) -> Tensor:
        torch.manual_seed(1)  # the same cells are hidden
        return pixels(made)._loss(Batch(image, valid=valid), run)

    everywhere = torch.ones(2, 1, 48, 40, dtype=torch.bool)
    torch.testing.assert_close(loss(everywhere), loss(None))
    assert loss(~everywhere) == 0
    left = everywhere.clone()
    left[..., 20:] = False
    assert loss(left) != loss(None)


def texture(count: int, seed: int) -> Tensor:
    """Vertical grain with noise and a brightness of its own per image, (count, 1, 48, 48)."""
    generator = torch.Generator().manual_seed(seed)
    grain = torch.randn(count, 1, 1, 48, generator=generator)
    grain = torch.nn.functional.avg_pool1d(grain.view(count, 1, 48), 3, 1, 1).view(count, 1, 1, 48)
    noise = torch.randn(count, 1, 48, 48, generator=generator)
    level = 0.4 + 0.2 * torch.rand(count, 1, 1, 1, generator=generator)
    return (level + 0.08 * grain + 0.02 * noise).clamp(0, 1)


def test_training_finds_a_planted_defect() -> None:
    config = InpaintingConfig(cells=(4, 8), widths=(8, 16), window=5, steps=60)
    torch.manual_seed(0)
    made, run = Inpainting(config, ImageSpec(48, 48, 1, "uint8", 255.0)), PlainRun()
    train = texture(32, 0)
    made.fit([Batch(part) for part in train.split(8)], run)
    assert np.mean(run.losses[-10:]) < 0.8 * np.mean(run.losses[:10])
    good = texture(16, 1)
    defective = good.clone()
    defective[:, :, 20:24, 8:40] -= 0.15  # a dark line across the grain
    with torch.no_grad():
        normal, planted = map_of(made, good), map_of(made, defective)
    above = planted.amax((1, 2, 3)).unsqueeze(1) > normal.amax((1, 2, 3))
    assert above.float().mean() >= 0.95  # image AUROC
    peak = planted[:, 0].mean(0).argmax()
    assert 17 <= peak // 48 <= 26


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["likelihood", "gms"])
def test_onnx_agrees_with_torch(tmp_path: Path, mode: str) -> None:
    made = detector(48, 36, 1, SMALL.model_copy(update={"map": mode}))
    image = torch.rand(3, 1, 48, 36)
    export(made, image, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = map_of(made, image).numpy()
    for count in (1, 3):
        (found,) = session.run(None, {session.get_inputs()[0].name: image[:count].numpy()})
        np.testing.assert_allclose(found, expected[:count], atol=1e-4 * np.ptp(expected))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def export(made: Inpainting, image: Tensor, path: Path) -> None:
    program = torch.onnx.export(
        made,
        (image,),
        dynamo=True,
        opset_version=18,
        dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        verbose=False,
    )
    assert program is not None
    program.save(path, external_data=False)


def seen_by_features(images: Tensor, **options: Any) -> FeatureMap:
    """Fitted on images of 64 x 96 pixels, from random weights of the backbone."""
    torch.manual_seed(0)
    config = InpaintingConfig(method="features", weights="none", holes=(2, 4), **options)
    made = Inpainting(config, ImageSpec(64, 96, 1, "uint8", 255.0))
    made.fit([Batch(part) for part in images.split(8)], PlainRun())
    assert isinstance(made.method, FeatureMap)
    return made.method.requires_grad_(False).eval()


def test_hidden_features_are_predicted_in_units_of_good_images() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(24, 1, 64, 96, generator=generator)
    made = seen_by_features(images, steps=20)
    found, new = made(images), made(images[:3])
    assert found.shape == (24, 1, 8, 12)
    torch.testing.assert_close(new, torch.cat([made(one[None]) for one in images[:3]]), rtol=1e-4, atol=1e-4)
    each = (made._surprises(images) - made.median) / made.spread
    counted = torch.ones(24, 1, 8, 12, dtype=torch.bool)
    torch.testing.assert_close(made.median[:, [1]], place_units(made._surprises(images)[:, [1]], counted)[0])
    torch.testing.assert_close(found, each.amax(1, keepdim=True))
    torch.manual_seed(3)
    hidden = made.masked.hidden[0]
    places = made.features(images[:1])
    other = torch.where(hidden[0], places + 5 * torch.randn_like(places), places)  # what the first pass does not see
    (one, two) = (made.masked.inpaint(values, hidden[None])[0] for values in (places, other))
    torch.testing.assert_close(one[..., hidden[0]], two[..., hidden[0]])


def test_holes_larger_than_half_the_grid_are_made_smaller() -> None:
    config = InpaintingConfig(method="features", weights="none", holes=(8, 16))
    made = Inpainting(config, ImageSpec(32, 64, 1, "uint8", 255.0)).method
    assert isinstance(made, FeatureMap)
    assert made.masked.cells == (2,)


def test_what_features_need_is_declared() -> None:
    (info,) = register_detectors()
    described = InpaintingConfig(method="features").describe(info)
    assert described.positional
    assert "Apache-2.0" in str(described.weights)
    assert InpaintingConfig().describe(info) == info
    with pytest.raises(ValidationError, match="window means nothing to method features"):
        InpaintingConfig(method="features", window=5)


@pytest.mark.slow
def test_the_graph_of_features_computes_the_same() -> None:
    options = {"method": "features", "weights": "none", "holes": [2, 4]}
    testing.check_the_graph_computes_the_same(
        testing.Subject.of(register_detectors()[0], "anomalib_lite_inpainting", options, 3)
    )
