"""Backbones: built for one size of images, frozen, and filled with pretrained weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anomalib_lite.config import nearest
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError, PluginError
from anomalib_lite.features import files
from anomalib_lite.features.architectures import Architecture, Layer, cut, layers_of, maps
from anomalib_lite.features.folding import Pairs, fold, pairs
from anomalib_lite.features.weights import NONE


class Backbone(nn.Module):
    """A frozen network that gives the maps of some of its layers. `backbone` makes one, and says from what.

    It stays in evaluation mode, whatever `train` is told; nothing of it is trained, and no statistics change. All that
    `load_pretrained` takes over lies in its state: a detector that is loaded from its own needs no weights file.

    Attributes:
        channels: Of the map of each layer.
        strides: Of the map of each layer: pixels of the image from one cell to the next.
    """

    mean: Tensor  # (1, 3, 1, 1), of red, green and blue
    spread: Tensor
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __init__(self, name: str, weights: str | Path, layers: Sequence[str], image: ImageSpec) -> None:
        super().__init__()
        if image.channels not in (1, 3):
            raise ConfigError(
                f"images of {image.channels} channels do not suit '{name}': expected grey or colour, "
                "image.channels=1 or 3."
            )
        architecture = Architecture(name, image.height, image.width)
        self._architecture, self._weights = architecture, weights
        network = architecture.build()
        found = _chosen(architecture.name, layers, layers_of(network))
        self.channels, self.strides = tuple(one.channels for one in found), tuple(one.stride for one in found)
        _check_size(architecture, math.lcm(*self.strides))
        self._indices = sorted(one.number for one in found)
        self._order = [self._indices.index(one.number) for one in found]
        cut(network, self._indices)
        self._pairs = self._tried(network)
        fold(network, self._pairs)
        self.network = network
        mean, spread = files.expected_input(architecture.name)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self._ready = weights == NONE
        self.register_load_state_dict_pre_hook(_is_ready)  # type: ignore[no-untyped-call]
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: what is frozen normalises by its own statistics, not by those of a batch."""
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        """Describe the surroundings of each place, once for each layer.

        Args:
            image: (B, 1 or 3, H, W) in [0, 1]; grey is taken for red, green and blue alike.

        Returns:
            A map (B, channels, H / stride, W / stride) for each layer, in the order in which they were asked for.

        Raises:
            PluginError: It has no weights yet.
        """
        if not self._ready:
            raise PluginError(
                f"the backbone '{self._architecture.name}' has no weights yet: call its load_pretrained() in fit, "
                "before anything else."
            )
        found = maps(self.network, self._indices, (image - self.mean) / self.spread)
        return [found[position] for position in self._order]

    def load_pretrained(self) -> None:
        """Take over the weights that `backbone` was told of. For `fit`: `__init__` must touch no disk and no network.

        Raises:
            MissingExtra: The package of the packaged ones is not installed.
            ConfigError: They cannot be had or read, are not those that were published, or are of another architecture.
        """
        if self._weights == NONE:
            return
        weights = files.load(self._weights, self._architecture)
        network = self._architecture.build()
        used = deepcopy(network)
        cut(used, self._indices)
        used.load_state_dict(files.conformed(weights.state, network, used.state_dict(), weights.where))
        fold(used, self._pairs)
        self.network.load_state_dict(used.state_dict())
        self.mean.copy_(weights.mean)
        self.spread.copy_(weights.spread)
        self._ready = True

    @torch.no_grad()
    def _tried(self, network: nn.Module) -> Pairs:
        """What can be folded, as one run shows; that it runs is seen before a training, too."""
        try:
            return pairs(network, lambda: maps(network, self._indices, self._architecture.example()))
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            named, said = self._architecture, str(error).partition("\n")[0]
            raise ConfigError(
                f"'{named.name}' gives no maps of images of {named.height} x {named.width} pixels"
                f"{f' ({said})' if said else ''}: try image.height=256 and image.width=256, or another architecture."
            ) from error


def backbone(name: str, weights: str | Path, layers: Sequence[str], image: ImageSpec) -> Backbone:
    """A frozen backbone without its weights yet: those come with `load_pretrained`, or from the detector's own state.

    Args:
        name: An architecture of timm: tf_efficientnet_lite0, resnet18, vit_small_patch14_dinov2.
        weights: "packaged" (EfficientNet-Lite0, in the extra `train`); the file of a state dict, of torch.save or
            safetensors; timm's name of pretrained weights, which are downloaded; or "none": random, from the seed.
        layers: Names of modules as timm's `feature_info` has them: "layer2" of a ResNet, "blocks.11" of a vision
            transformer. Of EfficientNets and MobileNets every stage, "blocks.0" to "blocks.6".
        image: What it will see, of 1 or 3 channels; both sides multiples of the layers' strides.

    Raises:
        MissingExtra: timm is not installed.
        ConfigError: There is no such architecture or layer, or images of this size or depth do not suit it.
    """
    return Backbone(name, weights, layers, image)


def _chosen(name: str, layers: Sequence[str], there: dict[str, Layer]) -> list[Layer]:
    if isinstance(layers, str) or not layers or len(set(layers)) < len(layers):
        raise ConfigError(f"layers {layers!r} of '{name}': expected names, each once, such as {tuple(there)[-2:]}.")
    for layer in layers:
        if layer not in there:
            raise ConfigError(
                f"'{name}' has no layer {layer!r}.{nearest(str(layer), there)} Expected some of {', '.join(there)}."
            )
    return [there[layer] for layer in layers]


def _check_size(architecture: Architecture, multiple: int) -> None:
    size = architecture.height, architecture.width
    if any(side % multiple for side in size):
        height, width = (max(1, round(side / multiple)) * multiple for side in size)
        raise ConfigError(
            f"Images of {size[0]} x {size[1]} pixels do not suit '{architecture.name}': with these layers both sides "
            f"have to be multiples of {multiple}. Set image.height={height} and image.width={width}."
        )


def _is_ready(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """What is loaded from a detector's own state has its weights there."""
    assert isinstance(module, Backbone)
    module._ready = module._ready or f"{prefix}mean" in state
