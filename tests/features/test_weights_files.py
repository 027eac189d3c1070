"""Weights of a file, or of timm by name: taken over whole, or refused with what differs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision import models  # type: ignore[import-untyped]

timm = pytest.importorskip("timm")

from anomalib_lite.detector import ImageSpec  # noqa: E402
from anomalib_lite.errors import ConfigError  # noqa: E402
from anomalib_lite.features import WeightsInfo, backbone, weights_of  # noqa: E402

IMAGENET = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
VIT = "test_vit"  # timm's smallest: 64 channels, for 160 x 160 pixels
State = dict[str, Any]


def lively(state: State) -> State:
    """With statistics and scales that are not those of a new network."""
    torch.manual_seed(1)
    for name, value in state.items():
        if "running_mean" in name:
            state[name] = 0.1 * torch.randn_like(value)
        elif "running_var" in name or ("bn" in name and name.endswith("weight")):
            state[name] = 0.5 + torch.rand_like(value)
    return state


def resnet(name: str = "resnet18") -> State:
    """A state dict as torchvision saves it: timm has the same names."""
    torch.manual_seed(0)
    return lively(models.get_model(name, weights=None).state_dict())


def maps(weights: Any, images: Tensor, name: str = "resnet18", layers: Any = ("layer2", "layer3")) -> list[Tensor]:
    channels, height, width = images.shape[1:]
    torch.manual_seed(7)
    one = backbone(name, weights, layers, ImageSpec(height, width, channels, "uint8", 255.0))
    one.load_pretrained()
    found: list[Tensor] = one(images)
    return found


def written(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


# -- taken over


@torch.no_grad()
def test_weights_of_torchvision_give_the_features_of_torchvision(tmp_path: Path) -> None:
    state, images = resnet(), torch.rand(2, 3, 64, 96)
    network: Any = models.get_model("resnet18", weights=None)
    network.load_state_dict(state)
    network.eval()
    values = network.maxpool(network.relu(network.bn1(network.conv1((images - IMAGENET[0]) / IMAGENET[1]))))
    second = network.layer2(network.layer1(values))
    found = maps(written(tmp_path / "resnet18.pth", state), images)
    for one, expected in zip(found, (second, network.layer3(second)), strict=True):
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def as_safetensors(state: State, folder: Path) -> Path:
    save_file(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


@pytest.mark.parametrize(
    "write",
    [
        as_safetensors,
        lambda state, folder: str(written(folder / "w.pth", state)),
        lambda state, folder: written(folder / "w.tar", {"epoch": 3, "state_dict": state}),
        lambda state, folder: written(folder / "w.pt", {f"module.{name}": value for name, value in state.items()}),
        lambda state, folder: written(folder / "w.bin", {k: v for k, v in state.items() if "num_batches" not in k}),
        lambda state, folder: written(folder / "w.pth", {k: v for k, v in state.items() if k[:3] != "fc."}),
        lambda state, folder: written(folder / "w.pth", state | {"projector.0.weight": torch.zeros(2)}),
    ],
    ids=["safetensors", "text", "checkpoint", "parallel", "old", "headless", "other head"],
)
def test_any_file_of_a_state_dict(write: Callable[[State, Path], Any], tmp_path: Path) -> None:
    state, images = resnet(), torch.rand(1, 3, 64, 64)
    expected = maps(written(tmp_path / "plain.pth", state), images)
    for one, other in zip(maps(write(state, tmp_path), images), expected, strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_tokens_of_a_transformer_become_a_grid(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model(VIT).eval()
    images, seen = torch.rand(2, 3, 160, 160), []
    network.blocks[4].register_forward_hook(lambda module, inputs, output: seen.append(output))
    network((images - 0.5) / 0.5)
    (found,) = maps(written(tmp_path / "vit.pth", network.state_dict()), images, VIT, ("blocks.4",))
    assert found.shape == (2, 64, 10, 10)
    expected = seen[0][:, 1:].reshape(2, 10, 10, 64).permute(0, 3, 1, 2)  # the first token is the class's
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_transformer_of_another_size_of_images_has_its_places_resampled(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model(VIT)
    for name, parameter in network.named_parameters():
        if name == "pos_embed":  # a slope from left to right, alike in every row
            parameter[:, 1:] = torch.linspace(-3, 3, 10).repeat(10)[None, :, None]
    path = written(tmp_path / "vit.pth", network.state_dict())
    (found,) = maps(path, torch.full((1, 3, 96, 128), 0.5), VIT, ("blocks.0",))
    assert found.shape == (1, 64, 6, 8)
    assert (found - found[:, :, :1]).abs().max() < 1e-2 * found.abs().max()  # rows are alike
    assert (found[..., 1:] - found[..., :-1]).abs().amax((0, 1, 2)).min() > 1e-2  # columns are not


# -- refused


def refused(
    weights: Any, *words: str, name: str = "resnet18", layers: Any = ("layer2", "layer3"), size: int = 64
) -> None:
    with pytest.raises(ConfigError) as caught:
        maps(weights, torch.rand(1, 3, size, size), name, layers)
    for word in words:
        assert word in str(caught.value), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("layer3.1.bn2.bias"), ["they lack 'layer3.1.bn2.bias'."]),
        (lambda state: state.update({"conv1.weight": 3}), ["they lack 'conv1.weight'"]),
        (
            lambda state: state.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}),
            ["'conv1.weight' of (64, 1, 7, 7) instead of (64, 3, 7, 7)"],
        ),
        (lambda state: state["bn1.bias"].fill_(torch.nan), ["not finite is 'bn1.bias'"]),
        (
            lambda state: state.update({"layer2.0.gate": torch.zeros(1)}),
            ["they have 'layer2.0.gate', which it has not"],
        ),
    ],
    ids=["name", "type", "shape", "values", "more"],
)
def test_what_differs_from_the_architecture_is_named(
    change: Callable[[State], Any], words: list[str], tmp_path: Path
) -> None:
    state = resnet()
    change(state)
    refused(written(tmp_path / "other.pth", state), "other.pth: no weights of 'resnet18'", *words)


def test_weights_of_a_sibling_are_refused_though_all_names_are_there(tmp_path: Path) -> None:
    path = written(tmp_path / "resnet34.pth", resnet("resnet34"))
    refused(path, "resnet34.pth", "they have 'layer1.2.conv1.weight', which it has not (and ")
    path = written(tmp_path / "resnet50.pth", resnet("resnet50"))
    refused(path, "they have 'layer1.0.conv3.weight'", "'layer1.0.conv1.weight' of (64, 64, 1, 1) instead of")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("test_vit3", ["'pos_embed' of (1, 101, 96) instead of (1, 101, 64) (and "]),
        ("deit_tiny_patch16_224", ["they have 'blocks.6.norm1.weight', which it has not"]),
        ("test_convnext", ["they lack 'cls_token'"]),
    ],
)
def test_transformers_of_another_make_are_refused(other: str, words: list[str], tmp_path: Path) -> None:
    path = written(tmp_path / "other.pth", timm.create_model(other).state_dict())
    refused(path, "no weights of 'test_vit'", *words, name=VIT, layers=("blocks.3",), size=160)


def test_a_transformer_of_larger_patches_is_not_resampled_into_this_one(tmp_path: Path) -> None:
    state = timm.create_model(VIT).state_dict()
    state["patch_embed.proj.weight"] = torch.zeros(64, 3, 32, 32)
    path = written(tmp_path / "other.pth", state)
    words = "'patch_embed.proj.weight' of (64, 3, 32, 32) instead of (64, 3, 16, 16)"
    refused(path, words, name=VIT, layers=("blocks.3",), size=160)


class Payload:
    """What a pickle may hide: it would run as soon as it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_a_file_that_holds_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path = written(tmp_path / "code.pth", resnet() | {"more": Payload(tmp_path / "ran")})
    refused(path, "code.pth is refused: beside tensors it holds posix.mkdir, which would be run", "state dict")
    path = written(tmp_path / "module.pth", torch.nn.Linear(2, 2))
    refused(path, "module.pth is refused", "torch.nn.modules.linear.Linear")
    assert not (tmp_path / "ran").exists()


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    refused(
        tmp_path / "gone.pth", "there is no file", "gone.pth", "packaged, none, a file of a state dict, or timm's name"
    )
    refused(tmp_path, "there is no file")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("hello")
        refused(tmp_path / name, f"{name} cannot be read as a state dict")
    refused(written(tmp_path / "list.pth", [torch.zeros(3)]), "list.pth holds no tensors by name")
    refused(written(tmp_path / "empty.pth", {}), "empty.pth holds no tensors by name")


# -- by timm's name


OFFLINE = """
import sys
import torch
from anomalib_lite.detector import ImageSpec
from anomalib_lite.features import backbone
one = backbone("resnet18", sys.argv[1], ("layer2",), ImageSpec(64, 64, 3, "uint8", 255.0))
try:
    one.load_pretrained()
    torch.save(one(torch.full((1, 3, 64, 64), 0.7)), sys.argv[2])
except Exception as error:
    print(type(error).__name__, error)
"""


def offline(cache: Path, *arguments: object) -> str:
    """What `OFFLINE` prints where there is no network, but what was downloaded before."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    command = [sys.executable, "-c", OFFLINE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout


@pytest.mark.slow
def test_without_a_network_the_error_says_what_to_fetch(tmp_path: Path) -> None:
    said = offline(tmp_path, "resnet18.a1_in1k", tmp_path / "maps.pt")
    assert said.startswith("ConfigError the weights resnet18.a1_in1k cannot be had: ")
    assert "Fetch them from https://huggingface.co/timm/resnet18.a1_in1k" in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_what_was_downloaded_once_is_taken_from_there(tmp_path: Path) -> None:
    """The folders of the cache are those of huggingface_hub."""
    home, state = tmp_path / "models--timm--resnet18.a1_in1k", resnet()
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0123")
    (home / "snapshots" / "0123").mkdir(parents=True)
    save_file(state, home / "snapshots" / "0123" / "model.safetensors")
    assert not offline(tmp_path, "resnet18.a1_in1k", tmp_path / "maps.pt")
    (expected,) = maps(as_safetensors(state, tmp_path), torch.full((1, 3, 64, 64), 0.7), layers=("layer2",))
    (found,) = torch.load(tmp_path / "maps.pt", weights_only=True)
    torch.testing.assert_close(found, expected)


def test_a_name_of_another_architecture_is_refused() -> None:
    refused("resnet34.a1_in1k", "weights=resnet34.a1_in1k are of 'resnet34', not of 'resnet18'")


def test_nothing_is_downloaded_that_was_not_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def guarded(*arguments: Any, pretrained: bool = False, **options: Any) -> Any:
        assert not pretrained
        return create(*arguments, **options)

    monkeypatch.setattr(timm, "create_model", guarded)
    maps("packaged", torch.rand(1, 3, 64, 64), "tf_efficientnet_lite0", ("blocks.2",))
    maps("none", torch.rand(1, 3, 64, 64))
    maps(written(tmp_path / "resnet18.a1_in1k", resnet()), torch.rand(1, 3, 64, 64))  # a file of that name is a file
    refused(tmp_path / "gone.pth", "there is no file")


# -- told


def test_whence_weights_come(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"hello")
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert weights_of("none") is None
    assert weights_of(path) == weights_of(str(path)) == WeightsInfo("mine.pth", "a file of the user's", None, digest)
    assert str(weights_of(path)) == f"mine.pth: a file of the user's; licence not known, SHA-256 {digest}"
    assert weights_of("folder/gone.pth") == WeightsInfo("gone.pth", "a file of the user's", None)
    known = weights_of("resnet18.a1_in1k")
    assert known == WeightsInfo("resnet18.a1_in1k", "timm, https://huggingface.co/timm/resnet18.a1_in1k", "apache-2.0")
