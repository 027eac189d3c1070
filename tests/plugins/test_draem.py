"""The detector `draem`: its losses, its networks in three sizes, the authors' checkpoints, training, the graph."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest
import torch
from anomalib_lite_draem.config import DraemConfig, Mix
from anomalib_lite_draem.contrast import LocalContrast
from anomalib_lite_draem.detector import Draem, Reconstructed, published_schedule
from anomalib_lite_draem.losses import dissimilarity, focal
from anomalib_lite_draem.networks import Averaged, Networks
from plain_run import PlainRun, map_of
from pydantic import ValidationError
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from anomalib_lite.detector import Batch
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import DataError
from anomalib_lite.synthesis import SOURCES, Anomalies

TINY = DraemConfig(size="tiny")


def detector(height: int = 64, width: int = 64, channels: int = 1, config: DraemConfig = TINY) -> Draem:
    torch.manual_seed(0)
    return Draem(config, ImageSpec(height, width, channels, "uint8", 255.0)).eval()


def test_entry_module_imports_no_torch() -> None:
    code = (
        "import sys, anomalib_lite_draem as p; (i,) = p.register_detectors(); i.config();"
        "assert i.name == 'draem' and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "options",
    [{"size": "huge"}, {"mix": dict.fromkeys(SOURCES, 0)}, {"mix": {"sopt": 1}}, {"size": "small", "checkpoint": "a"}],
)
def test_options_without_meaning_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DraemConfig(**options)


def test_the_mix_has_a_weight_for_every_source() -> None:
    assert set(Mix.model_fields) == set(SOURCES)


# The loss


@pytest.mark.parametrize("channels", [1, 3])
def test_the_published_loss_is_the_sum_of_its_three_terms(channels: int) -> None:
    made = detector(channels=channels, config=DraemConfig(size="large"))
    generator = torch.Generator().manual_seed(0)
    target, found = (torch.rand(2, channels, 32, 32, dtype=torch.float64, generator=generator) for _ in range(2))
    margin = torch.randn(2, 1, 32, 32, dtype=torch.float64, generator=generator)
    mask = torch.rand(2, 1, 32, 32, generator=generator) > 0.9
    terms = made._terms(margin, mask, Reconstructed(found, target), None)
    assert set(terms) == {"l2", "ssim", "outline"}
    assert terms["l2"].item() == pytest.approx(((found - target) ** 2).mean().item(), abs=1e-6)
    assert terms["ssim"].item() == pytest.approx(dissimilarity(found, target).mean().item(), abs=1e-6)
    right = torch.sigmoid(torch.where(mask, margin, -margin))
    assert terms["outline"].item() == pytest.approx((-((1 - right) ** 2) * right.log()).mean().item(), abs=1e-6)


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_the_small_networks_learn_the_outline_by_cross_entropy(size: Literal["tiny", "small"]) -> None:
    """The focal loss lets pixels rest that are right already, and those tell good images from faint defects."""
    made = detector(config=DraemConfig(size=size))
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 1, 32, 32, dtype=torch.float64, generator=generator)
    margin = torch.randn(2, 1, 32, 32, dtype=torch.float64, generator=generator)
    mask = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    mask[0, :, :4, :4] = True
    terms = made._terms(margin, mask, Reconstructed(image, image), None)
    wrong = -torch.sigmoid(torch.where(mask, margin, -margin)).log()
    assert terms["outline"].item() == pytest.approx(wrong.mean().item(), abs=1e-6)
    assert terms["recall"].item() == pytest.approx(0.3 * wrong[mask].mean().item() / 2, abs=1e-6)  # one of two images


def test_pixels_outside_the_region_do_not_train() -> None:
    made, run, image = detector(), PlainRun(), torch.rand(2, 1, 64, 64)
    trainer, anomalies = Averaged(made.networks), Anomalies({"edge": 1})

    def loss(valid: Tensor | None) -> float:
        torch.manual_seed(1)
        return made._loss(trainer, anomalies, Batch(image, valid=valid), run).item()

    everywhere = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    assert loss(everywhere) == pytest.approx(loss(None), rel=1e-5)
    nowhere = loss(~everywhere)
    assert nowhere == pytest.approx(0, abs=1e-6)


def test_the_segmentation_loss_reaches_the_autoencoder() -> None:
    networks = detector().networks
    assert isinstance(networks, Networks)
    _, margin = networks(torch.rand(2, 1, 64, 64))
    focal(margin, torch.rand(2, 1, 64, 64) > 0.5, 0.0).mean().backward()
    gradients = [one.grad for one in networks.reconstruction.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


# The networks


def test_local_contrast_by_its_definition() -> None:
    image = torch.rand(1, 1, 12, 9, dtype=torch.float64)
    found = LocalContrast(12, 9, (2.0,)).double()(image)

    def mean(values: np.ndarray, sigma: float, y: int, x: int) -> float:
        rows, columns = np.mgrid[:12, :9]
        weights = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))
        return float((weights * values).sum() / weights.sum())

    pixels = image[0, 0].numpy()
    difference = np.array([[pixels[y, x] - mean(pixels, 2, y, x) for x in range(9)] for y in range(12)])
    for y, x in [(0, 0), (5, 4), (11, 8)]:
        expected = 0.5 * difference[y, x] / math.sqrt(mean(difference**2, 4, y, x) + 1e-4)
        assert found[0, 0, y, x].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", ["tiny", "small"])
@pytest.mark.parametrize(("height", "width", "channels"), [(64, 64, 1), (37, 53, 3), (16, 70, 1)])
def test_any_size_and_batch(size: str, height: int, width: int, channels: int) -> None:
    made = detector(height, width, channels, DraemConfig.model_validate({"size": size}))
    image = torch.rand(3, channels, height, width)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with torch.no_grad():
        together = map_of(made, image)
        alone = torch.cat([map_of(made, one[None]) for one in image])
    assert together.shape == (3, 1, height, width)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_image_gives_a_finite_map(value: float) -> None:
    with torch.no_grad():
        assert map_of(detector(), torch.full((1, 1, 64, 64), value)).isfinite().all()


def test_brightness_and_contrast_of_the_whole_image_hardly_matter() -> None:
    made, image = detector(), torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(made(image), made(0.3 + 0.5 * image), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("width", [64, 52])
def test_a_mirrored_image_is_judged_alike_where_good_images_are_mirrored_too(width: int) -> None:
    image = torch.rand(2, 1, 64, width)
    for options, alike in (({}, True), ({"mirror": False}, False), ({"vary": False}, False)):
        made = detector(64, width, 1, DraemConfig(size="tiny", **options))
        nn.init.normal_(made.networks.segmentation.get_parameter("out.weight"))
        with torch.no_grad():
            apart = (map_of(made, image.flip(3)).flip(3) - map_of(made, image)).abs().max()
        assert (apart < 1e-4) == alike


def test_scores_of_clear_defects_do_not_tie() -> None:
    # networks sure of themselves: margins far beyond where a float32 softmax is 1
    made = detector()
    nn.init.normal_(made.networks.segmentation.get_parameter("out.weight"), std=500.0)
    with torch.no_grad():
        scores = map_of(made, torch.rand(20, 1, 64, 64)).amax((1, 2, 3))
    assert torch.sigmoid(scores).min() == 1
    assert len(scores.unique()) == 20


def flops(made: Draem, channels: int) -> float:
    """Of one image; counted from shapes alone."""
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter, torch.no_grad():
        made(torch.rand(1, channels, made.image.height, made.image.width))
    return float(counter.get_total_flops())


@pytest.mark.parametrize("channels", [1, 3])
def test_small_fits_an_edge_device(channels: int) -> None:
    made = detector(256, 256, channels, DraemConfig(size="small"))
    assert flops(made, channels) < 5e9
    assert sum(value.nbytes for value in made.state_dict().values()) < 12e6


@pytest.mark.slow
def test_large_is_as_large_as_published() -> None:
    made = detector(256, 256, 3, DraemConfig(size="large"))
    assert flops(made, 3) == pytest.approx(396e9, rel=0.01)
    assert isinstance(made.networks, Networks)
    reconstruction, segmentation = (
        sum(one.numel() for one in part.parameters()) / 1e6
        for part in (made.networks.reconstruction, made.networks.segmentation)
    )
    assert reconstruction == pytest.approx(69.1, abs=0.06)
    assert segmentation == pytest.approx(28.4, abs=0.06)


# Training


def test_the_average_is_that_of_the_weights_so_far() -> None:
    trainer = Averaged(detector().networks)
    weight = trainer.live.get_parameter("reconstruction.out.weight")
    kept = trainer.average.get_parameter("reconstruction.out.weight")
    expected = 0.0
    for step in range(1, 200):
        with torch.no_grad():
            weight.fill_(step)
        trainer.update()
        expected += 10 / (10 + step) * (step - expected)
    assert kept.flatten()[0].item() == pytest.approx(expected, rel=1e-5)
    assert 170 < expected < 190  # about the last tenth
    assert not any(one.requires_grad for one in trainer.average.parameters())


def test_the_published_schedule() -> None:
    assert [published_schedule(at) for at in (0, 0.79, 0.81, 0.91)] == pytest.approx([1, 1, 0.2, 0.04])


def surface(count: int, seed: int) -> Tensor:
    """Vertical grain with noise and a brightness of its own per image, (count, 1, 64, 64)."""
    generator = torch.Generator().manual_seed(seed)
    grain = torch.randn(count, 1, 1, 64, generator=generator)
    noise = torch.randn(count, 1, 64, 64, generator=generator)
    level = 0.4 + 0.2 * torch.rand(count, 1, 1, 1, generator=generator)
    return (level + 0.03 * grain + 0.02 * noise).clamp(0, 1)


@pytest.mark.slow
def test_training_finds_a_defect_of_a_kind_that_was_not_planted() -> None:
    good = surface(24, 1)
    defective = good.clone()
    rings = (torch.arange(64) - 30.0).square().view(-1, 1) + (torch.arange(64) - 20.0).square()
    defective[:, :, (rings > 25) & (rings < 64)] -= 0.15
    left = []  # of the term that asks whether there is an anomaly; 0.1 more or less by seed, and by last bits of a mean
    for seed in range(3):
        torch.manual_seed(seed)
        made, run = Draem(TINY, ImageSpec(64, 64, 1, "uint8", 255.0)), PlainRun(steps=400)
        made.fit([Batch(part) for part in surface(64, 0).split(8)], run)
        left.append(np.mean(run.values["presence"][-20:]) / np.mean(run.values["presence"][:20]))
        with torch.no_grad():
            normal, planted = map_of(made, good), map_of(made, defective)
        above = planted.amax((1, 2, 3)).unsqueeze(1) > normal.amax((1, 2, 3))
        assert above.float().mean() >= 0.95  # image AUROC
        peak = planted[:, 0].mean(0).argmax()
        assert 20 <= peak // 64 <= 40
        assert 10 <= peak % 64 <= 30
    assert np.median(left) < 0.7


def test_few_images_train_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="on 3 good images"):
        detector().fit([Batch(torch.rand(3, 1, 64, 64))], PlainRun(steps=1))
    run = PlainRun(steps=1)
    detector().fit([Batch(torch.rand(4, 1, 64, 64))] * 2, run)
    assert run.asked == 3000


def test_large_is_trained_for_the_published_epochs() -> None:
    run = PlainRun(steps=0)
    detector(config=DraemConfig(size="large")).fit([Batch(torch.rand(4, 1, 64, 64))] * 3, run)
    assert run.asked == 2100


def test_foreground_and_mixed_precision_train_too() -> None:
    made = detector(channels=3, config=DraemConfig(size="tiny", foreground=True))
    image = torch.full((8, 3, 64, 64), 0.1)
    image[:, :, 16:48, 16:48] = torch.rand(8, 3, 32, 32)
    torch.manual_seed(0)
    full = made._loss(Averaged(made.networks), Anomalies({"spot": 1}), Batch(image), PlainRun())
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = made._loss(Averaged(made.networks), Anomalies({"spot": 1}), Batch(image), PlainRun())
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(full.item(), rel=0.05)


def test_an_empty_folder_of_textures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no texture"):
        detector(config=DraemConfig(size="tiny", textures=tmp_path)).fit(
            [Batch(torch.rand(8, 1, 64, 64))], PlainRun(steps=0)
        )


# The exported graph


@pytest.mark.slow
@pytest.mark.parametrize(("size", "height", "width"), [("small", 64, 52), ("large", 64, 64)])
def test_onnx_agrees_with_torch(tmp_path: Path, size: str, height: int, width: int) -> None:
    made = detector(height, width, 1, DraemConfig.model_validate({"size": size}))
    image = torch.rand(3, 1, height, width)
    export(made, image, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = map_of(made, image).numpy()
    for count in (1, 3):
        (found,) = session.run(None, {session.get_inputs()[0].name: image[:count].numpy()})
        np.testing.assert_allclose(found, expected[:count], atol=1e-4 * max(np.ptp(expected), 1e-3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def export(made: Draem, image: Tensor, path: Path) -> None:
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
