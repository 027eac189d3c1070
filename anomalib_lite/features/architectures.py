"""timm's architectures: built without weights, their layers named, and cut behind the last one that is wanted."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor

from anomalib_lite.config import nearest
from anomalib_lite.errors import ConfigError

LARGE = 256  # pixels of a side: enough for every architecture that takes several sizes


class Layer(NamedTuple):
    """A layer whose map can be had."""

    number: int  # as timm's forward_intermediates counts
    channels: int
    stride: int  # pixels


@dataclass(frozen=True)
class Architecture:
    """One of timm's, for images of one size.

    Raises:
        ConfigError: timm does not know it, or it gives no maps of images of that size.
    """

    name: str
    height: int
    width: int

    def __post_init__(self) -> None:
        if not timm.is_model(self.name):
            raise ConfigError(
                f"'{self.name}' is no architecture of timm {timm.__version__}.{nearest(self.name, timm.list_models())}"
            )

    @property
    def size(self) -> dict[str, tuple[int, int]]:
        """What timm is told of the size of images: only what is built for one, such as a transformer."""
        known = timm.get_pretrained_cfg(self.name, allow_unregistered=True)
        return {"img_size": (self.height, self.width)} if known is not None and known.fixed_input_size else {}

    def example(self) -> Tensor:
        """An image (1, 3, H, W) that it takes; no larger than it has to be."""
        height, width = self.size.get("img_size", (min(self.height, LARGE), min(self.width, LARGE)))
        return torch.zeros(1, 3, height, width)

    def build(self) -> Any:
        """The whole network, with random weights, in evaluation mode."""
        try:
            network = timm.create_model(self.name, pretrained=False, **self.size).eval()
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"'{self.name}' cannot be built for images of {self.height} x {self.width} pixels: {error}"
            ) from error
        if not hasattr(network, "forward_intermediates"):
            raise ConfigError(
                f"timm {timm.__version__} gives no maps of '{self.name}': expected an architecture with "
                "forward_intermediates, such as tf_efficientnet_lite0, resnet18 or vit_small_patch16_224."
            )
        for layer in network.modules():
            if getattr(layer, "inplace", False):  # which takes torch twice as long to export, to the same nodes
                layer.inplace = False
        return network


def layers_of(network: Any) -> dict[str, Layer]:
    """The layers of a network by the names of their modules, from fine to coarse.

    Those that timm counts as features, and of EfficientNets and MobileNets every stage. EfficientNet-Lite0 has the
    blocks 0 to 15: its stage "blocks.4" (112 channels) ends with block 10, "blocks.5" (192 channels) with block 14.
    """
    known = list(getattr(network.feature_info, "info", network.feature_info))
    if not _counts_every_stage(network):
        return {one["module"]: Layer(i, one["num_chs"], one["reduction"]) for i, one in enumerate(known)}
    found = {}
    for number, stage in enumerate(network.blocks, start=1):  # 0 is the stem
        stride = next(one["reduction"] for one in known if one["stage"] >= number)
        found[f"blocks.{number - 1}"] = Layer(number, stage[-1].feature_info("bottleneck")["num_chs"], stride)
    return found


def cut(network: Any, indices: Sequence[int]) -> None:
    """Take off, in place, all that lies behind the last of these layers."""
    network.prune_intermediate_layers(list(indices), prune_norm=True, prune_head=True, **_counting(network))


def maps(network: Any, indices: Sequence[int], image: Tensor) -> list[Tensor]:
    """The maps (B, C, h, w) of layers, in ascending order; patch tokens of a transformer as a grid."""
    found: list[Tensor] = network.forward_intermediates(
        image, indices=list(indices), intermediates_only=True, **_counting(network)
    )
    return found


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and spread of red, green and blue that weights of timm expect, or the default ones of an architecture."""
    known = timm.get_pretrained_cfg(name, allow_unregistered=True) or timm.models.PretrainedCfg()
    return tuple(known.mean), tuple(known.std)


def _counts_every_stage(network: Any) -> bool:
    return "extra_blocks" in inspect.signature(network.forward_intermediates).parameters


def _counting(network: Any) -> dict[str, bool]:
    return {"extra_blocks": True} if _counts_every_stage(network) else {}
