"""Patch vectors of a frozen ResNet, and where its weights come from."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision import models  # type: ignore[import-untyped]

from anomalib_lite.errors import ConfigError

STRIDE = 8  # pixels from one vector to the next
LEAST = 32  # pixels of a side: two cells of the third layer
DIMENSIONS = {"resnet18": 128 + 256, "wide_resnet50_2": 512 + 1024}

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue


class PatchFeatures(nn.Module):
    """Second and third layer of a ResNet, each the mean of 3 x 3 cells, on the grid of the second.

    After Roth et al.: Towards total recall in industrial anomaly detection (PatchCore), CVPR 2022, section 3.1.

    Args:
        backbone: "resnet18" or "wide_resnet50_2". Its weights are random until `load`.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.backbone = backbone
        network: Any = models.get_model(backbone, weights=None)
        network.layer4 = network.avgpool = network.fc = nn.Identity()
        self.network = network.requires_grad_(False).eval()
        for name, values in (("mean", _MEAN), ("spread", _SPREAD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> PatchFeatures:
        """Stay in evaluation mode: what is frozen normalises by its own statistics, not by those of a batch."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Describe the surroundings of every eighth pixel.

        Args:
            image: (B, 1 or 3, H, W) in [0, 1], sides of 32 pixels or more.

        Returns:
            (B, d, h, w), d as in `DIMENSIONS`, h and w an eighth of H and W, rounded up. Cell i lies at pixel 8 i.
        """
        network: Any = self.network
        values = (image - self.mean) / self.spread  # grey becomes three channels
        values = network.maxpool(network.relu(network.bn1(network.conv1(values))))
        second = network.layer2(network.layer1(values))
        third = network.layer3(second)
        height, width = second.shape[2:]
        return torch.cat([_mean_of_nine(second), onto_grid(_mean_of_nine(third), 2, height, width)], 1)

    def load(self, weights: str | Path) -> None:
        """Take weights over.

        Args:
            weights: "imagenet", "none", or a file with a state dict of the backbone.

        Raises:
            ConfigError: They cannot be downloaded or read, or are not those of the backbone.
        """
        if weights == "none":
            warnings.warn(
                f"the weights of {self.backbone} are random: expect to find coarse changes of brightness and texture, "
                "and little else. Give options.weights=imagenet, or a file.",
                stacklevel=2,
            )
            return
        state = _download(self.backbone) if weights == "imagenet" else _read(Path(weights))
        own = {name: tensor for name, tensor in self.network.state_dict().items() if "num_batches" not in name}
        fault = next((fault for name, tensor in own.items() if (fault := _fault(name, tensor, state.get(name)))), None)
        if fault:
            raise ConfigError(f"{weights}: {fault}. Expected torchvision's state dict of {self.backbone}.")
        self.network.load_state_dict({name: state[name] for name in own}, strict=False)


def onto_grid(cells: Tensor, step: int, height: int, width: int) -> Tensor:
    """Bilinear interpolation between cells that lie `step` apart, the first at 0: where strided convolutions have them.

    Args:
        cells: (B, C, h, w).
        step: Whole number.
        height: Between `step * (h - 1) + 1` and `step * h`; beyond the last cell it counts on unchanged.
        width: Likewise.

    Returns:
        (B, C, height, width).
    """
    rows, columns = (step * (size - 1) + 1 for size in cells.shape[2:])
    between = F.interpolate(cells, size=(rows, columns), mode="bilinear", align_corners=True)
    return F.pad(between, (0, width - columns, 0, height - rows), mode="replicate")


def _mean_of_nine(cells: Tensor) -> Tensor:
    return F.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)


def _download(backbone: str) -> Mapping[str, Any]:
    """Of the first version: those of the second are trained to classify better, with features that are less local."""
    weights = models.get_model_weights(backbone)["IMAGENET1K_V1"]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torch.hub prints what it downloads
            state: Mapping[str, Any] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # of the network, of the disk, of a damaged file: no common base
        raise ConfigError(
            f"the ImageNet weights of {backbone} cannot be had: {error}. "
            f"Fetch {weights.url} where there is a network, and give the file as options.weights."
        ) from error
    return state


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise ConfigError(f"options.weights: there is no file {file}. Expected imagenet, none, or a state dict's file.")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load names no common base of what it raises
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{file} cannot be read as tensors saved with torch.save: {reason}") from error
    if not isinstance(state, Mapping):
        raise ConfigError(f"{file} holds a {type(state).__name__}: expected a state dict, names to tensors.")
    return state


def _fault(name: str, own: Tensor, found: Any) -> str | None:
    """What is wrong with the value that a file has for a name."""
    if not isinstance(found, Tensor):
        return f"there is no tensor '{name}'"
    if found.shape != own.shape:
        return f"'{name}' is of shape {tuple(found.shape)}, not {tuple(own.shape)}"
    return None if found.isfinite().all() else f"'{name}' is not finite"
