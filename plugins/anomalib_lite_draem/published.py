"""The published networks, with the authors' names of layers, so that their checkpoints load by name."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.errors import ConfigError

_SEGMENTATION = "_seg"  # the authors' file name of the second network is that of the first with this appended


def _layer(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _pair(inputs: int, between: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_layer(inputs, between), *_layer(between, outputs))


def _upward(inputs: int, outputs: int) -> nn.Sequential:
    doubled = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    return nn.Sequential(doubled, *_layer(inputs, outputs))


class _Encoder(nn.Module):
    """Pairs of convolutions `block1`, `block2`, ... with maximum pooling between them."""

    def __init__(self, inputs: int, widths: list[int]) -> None:
        super().__init__()
        for number, (before, width) in enumerate(pairwise([inputs, *widths]), 1):
            self.add_module(f"block{number}", _pair(before, width, width))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, inputs, H, W) to the features of every block, from fine to coarse."""
        features: list[Tensor] = []
        for block in self.children():
            features.append(block(F.max_pool2d(features[-1], 2) if features else image))
        return features


class _PlainDecoder(nn.Module):
    """Four doublings without skips."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        for number, (deep, flat) in enumerate(pairwise([8 * width, 4 * width, 2 * width, width, width]), 1):
            self.add_module(f"up{number}", _upward(deep, deep))
            self.add_module(f"db{number}", _pair(deep, deep, flat))
        self.fin_out = nn.Sequential(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, 8 width, h, w) to (B, outputs, 16 h, 16 w)."""
        for stage in self.children():
            features = stage(features)
        return features


class _SkipDecoder(nn.Module):
    """Five doublings, each joined with the encoder's features of its size."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        skips = [8 * width, 8 * width, 4 * width, 2 * width, width]
        widths = [8 * width, 4 * width, 2 * width, width, width]
        self.names = ["b", "1", "2", "3", "4"]
        for name, before, skip, after in zip(self.names, [8 * width, *widths], skips, widths, strict=False):
            self.add_module(f"up_{name}" if name == "b" else f"up{name}", _upward(before, after))
            self.add_module(f"db_{name}" if name == "b" else f"db{name}", _pair(after + skip, after, after))
        self.fin_out = nn.Sequential(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, features: list[Tensor]) -> Tensor:
        """The six features of the encoder, fine to coarse, to (B, outputs, H, W)."""
        *skips, deep = features
        *stages, last = self.children()
        for raise_it, join in zip(stages[::2], stages[1::2], strict=True):
            deep = join(torch.cat([raise_it(deep), skips.pop()], 1))
        return last(deep)  # type: ignore[no-any-return]


class PublishedReconstruction(nn.Module):
    """The reconstructive autoencoder: no skips, sixteenfold reduction."""

    stride = 16

    def __init__(self, channels: int, width: int = 128) -> None:
        super().__init__()
        self.encoder = _Encoder(channels, [width, 2 * width, 4 * width, 8 * width, 8 * width])
        self.decoder = _PlainDecoder(width, channels)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape; H and W divisible by `stride`."""
        return self.decoder(self.encoder(image)[-1])  # type: ignore[no-any-return]


class PublishedSegmentation(nn.Module):
    """The discriminative U-Net on reconstruction and image."""

    stride = 32

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.encoder_segment = _Encoder(channels, [width, 2 * width, 4 * width, *[8 * width] * 3])
        self.decoder_segment = _SkipDecoder(width, 2)
        _initialise(self)

    def forward(self, pair: Tensor) -> Tensor:
        """(B, channels, H, W) to the logits of normal and anomalous, (B, 2, H, W); sides divisible by `stride`."""
        return self.decoder_segment(self.encoder_segment(pair))  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    """As published: convolutions N(0, 0.02), the gain of batch normalisation N(1, 0.02)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)


def read_published(path: Path, reconstruction: nn.Module, segmentation: nn.Module) -> None:
    """Load a pair of the authors' checkpoints into the published networks, by name.

    Args:
        path: The autoencoder's file, such as `DRAEM_seg_large_ae_large_0.0001_800_bs8_carpet_.pckl`; the U-Net's lies
            beside it and has `_seg` before the suffix.
        reconstruction: A `PublishedReconstruction` of 3 channels.
        segmentation: A `PublishedSegmentation` of 6 channels.

    Raises:
        ConfigError: A file is missing, is no state dict of tensors, or has other names or shapes.
    """
    partner = path.with_name(path.stem + _SEGMENTATION + path.suffix)
    for file, module in ((path, reconstruction), (partner, segmentation)):
        state = _read_tensors(file)
        own = module.state_dict()
        wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
        wrong += [name for name in state if name not in own]
        if wrong:
            raise ConfigError(
                f"{file}: {len(wrong)} of {len(own)} layers differ from the published network in name or shape, "
                f"the first being '{wrong[0]}': expected the authors' checkpoint of the full-size model."
            )
        module.load_state_dict(dict(state))


def _read_tensors(file: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load names no common base of what it raises
        raise ConfigError(f"{file} cannot be read as a checkpoint of tensors: {error}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{file} is no state dict: expected a mapping from names to tensors.")
    return state
