"""The network of size `features`: outlines anomalies from the image and from what a frozen pretrained network sees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite_draem.compact import CompactNet
from anomalib_lite_draem.contrast import SIGMAS, LocalContrast, units

_ARCHITECTURE = "tf_efficientnet_lite0"
_LAYERS = ("blocks.1", "blocks.2", "blocks.4", "blocks.5")  # strides 4, 8, 16, 32
_WIDTHS = (16, 32, 48, 64, 96)  # of the strides 2, 4, 8, 16, 32
_LEAST = 64  # pixels of a side: smaller images are padded, or the coarsest features were of a single place
_FLOOR = 1e-4  # variance that is not magnified further


class Outline(nn.Module):
    """A U-Net on the image and its local contrast that is given pretrained features at their strides.

    Args:
        image: What it will see.
        weights: Of the backbone, as `anomalib_lite.features.backbone` takes them.

    Raises:
        MissingExtra: timm is not installed.
    """

    def __init__(self, image: ImageSpec, weights: str) -> None:
        from anomalib_lite.features import backbone  # here: the other sizes need no timm

        super().__init__()
        height, width = (max(_LEAST, side + -side % 32) for side in (image.height, image.width))
        self.padding = (0, width - image.width, 0, height - image.height)
        self.contrast = LocalContrast(image.height, image.width, SIGMAS)
        self.backbone = backbone(_ARCHITECTURE, weights, _LAYERS, replace(image, height=height, width=width))
        self.standard = nn.ModuleList(_Standard(channels) for channels in self.backbone.channels)
        given = list(zip(self.backbone.strides, self.backbone.channels, strict=True))
        self.segmentation = CompactNet(image.channels * (1 + len(SIGMAS)), 1, _WIDTHS, fold=2, skips=True, given=given)

    @torch.no_grad()
    def prepare(self, batches: Iterable[Batch]) -> None:
        """Fill the backbone, and learn how much its features vary over good images, as they are and mirrored.

        Raises:
            MissingExtra: The packaged weights are not installed.
            ConfigError: The weights cannot be had or read, or are of another architecture.
        """
        self.backbone.load_pretrained()
        sums: list[Tensor] = []  # (3, C) for each layer: of ones, of values, of squares
        for batch in batches:
            for view in (batch.image, batch.image.flip(3)):
                maps = self.backbone(self._padded(view))
                new = [torch.stack([m.pow(power).sum((0, 2, 3)) for power in range(3)]) for m in maps]
                sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        for standard, (count, total, squares) in zip(self.standard, sums, strict=True):
            assert isinstance(standard, _Standard)
            mean = total / count
            standard.mean.copy_(mean.view(1, -1, 1, 1))
            standard.scale.copy_((squares / count - mean.square()).clamp_min(0).add(_FLOOR).rsqrt().view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Outline.

        Args:
            image: (B, C, H, W) in [0, 1], of the size that it was built for.

        Returns:
            The margin (B, 1, H, W): above 0 where a planted anomaly is likelier than none.
        """
        height, width = image.shape[2:]
        gain, offset = units(image)
        seen = gain * image + offset
        with torch.autocast(image.device.type, enabled=False):  # differences of what is nearly equal
            seen = torch.cat([seen, self.contrast(seen)], 1)
        features = [
            standard(one.float())
            for standard, one in zip(self.standard, self.backbone(self._padded(image)), strict=True)
        ]
        margin: Tensor = self.segmentation(self._padded(seen), features)
        return margin[:, :, :height, :width]

    def _padded(self, image: Tensor) -> Tensor:
        return F.pad(image, self.padding, mode="replicate")


class _Standard(nn.Module):
    """Features in units of their spread over good images, channel by channel."""

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return (features - self.mean) * self.scale
