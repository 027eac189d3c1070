"""The networks of each size, and the steady average of their weights."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.detector import ImageSpec
from anomalib_lite_draem.compact import CompactNet
from anomalib_lite_draem.contrast import SIGMAS, LocalContrast, units
from anomalib_lite_draem.outline import Outline
from anomalib_lite_draem.published import PublishedReconstruction, PublishedSegmentation

_WIDTHS = {  # of the reconstruction and of the segmentation, from fine to coarse
    "tiny": ((8, 16, 24, 32), (8, 16, 24, 32, 48)),
    "small": ((16, 32, 48, 64), (16, 32, 48, 64, 96)),
}


class Networks(nn.Module):
    """A network that reconstructs the image without its anomaly, and one that outlines it from both.

    Args:
        reconstruction: (B, C, H, W) to the same, with a `stride` that divides H and W.
        segmentation: (B, 2C, H, W), and the channels of `contrast`, to two logits (B, 2, H, W), likewise.
        standardise: See each image in units in which its mean is 0.5 and its standard deviation 0.2, so that the
            exposure does not matter. The published networks see it as it is.
        contrast: (B, C, H, W) to further maps of the image that the segmentation is given.
    """

    def __init__(
        self,
        reconstruction: nn.Module,
        segmentation: nn.Module,
        *,
        standardise: bool,
        contrast: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.reconstruction = reconstruction
        self.segmentation = segmentation
        self.standardise = standardise
        self.contrast = contrast

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct and outline, both in the networks' units: see `units`.

        Args:
            image: (B, C, H, W), of any size that `contrast` takes; padded to a multiple of the strides.

        Returns:
            The reconstruction (B, C, H, W), and the margin (B, 1, H, W): logit of anomalous less logit of normal.
        """
        height, width = image.shape[2:]
        stride = max(int(self.reconstruction.stride), int(self.segmentation.stride))  # type: ignore[arg-type]
        padding = (0, -width % stride, 0, -height % stride)
        padded = F.pad(image, padding, mode="replicate")
        reconstruction = self.reconstruction(padded)
        seen = [reconstruction, padded]
        if self.contrast is not None:
            with torch.autocast(image.device.type, enabled=False):  # differences of what is nearly equal
                seen.append(F.pad(self.contrast(image), padding, mode="replicate"))
        normal, anomalous = self.segmentation(torch.cat(seen, 1)).chunk(2, 1)
        return reconstruction[:, :, :height, :width], (anomalous - normal)[:, :, :height, :width]

    def units(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and offset of each image (B, 1, 1, 1): the networks take gain x image + offset."""
        if not self.standardise:
            return torch.ones_like(image[:, :1, :1, :1]), torch.zeros_like(image[:, :1, :1, :1])
        return units(image)


def build(size: str, image: ImageSpec, *, weights: str, as_published: bool) -> Networks | Outline:
    """The networks of a size.

    Args:
        size: `tiny`, `small`, `features`, or `large`: the published architecture.
        image: Size and channels of what they are to see.
        weights: Of the features that `features` is given.
        as_published: Three channels, and each image seen as it is, as the authors' weights expect it.
    """
    if size == "features":
        return Outline(image, weights)
    channels = 3 if as_published else image.channels
    if size == "large":
        pair = PublishedReconstruction(channels), PublishedSegmentation(2 * channels)
        return Networks(*pair, standardise=not as_published)
    narrow, wide = _WIDTHS[size]
    contrast = LocalContrast(image.height, image.width, SIGMAS)
    return Networks(
        CompactNet(channels, channels, narrow, fold=4, skips=False),
        CompactNet(channels * (2 + len(SIGMAS)), 2, wide, fold=2, skips=True),
        standardise=True,
        contrast=contrast,
    )


class Averaged(nn.Module):
    """Networks in training beside the running average of their weights, which is steadier and is what is kept.

    The average reaches over about the last tenth of all steps so far, however many they are.
    """

    updates: Tensor

    def __init__(self, networks: Networks | Outline) -> None:
        super().__init__()
        self.live = networks
        self.average = copy.deepcopy(networks).requires_grad_(False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self) -> None:
        """Count the live weights, and running statistics, as they are now."""
        self.updates += 1
        share = 10 / (10 + float(self.updates))
        for kept, new in zip(self.average.state_dict().values(), self.live.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, share)
            else:
                kept.copy_(new)
