"""The method `pixels`: every pixel is predicted from others, and scored against what was predicted.

Zavrtanik, Kristan, Skocaj: Reconstruction by inpainting for visual anomaly detection (RIAD), Pattern Recognition, 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.detector import Batch, Batches, ImageSpec, TrainingRun
from anomalib_lite.errors import ConfigError
from anomalib_lite_inpainting.config import InpaintingConfig
from anomalib_lite_inpainting.masked import Masked, surprisal
from anomalib_lite_inpainting.similarity import msgms_difference, ssim

_CONTRAST = 0.2  # spread of an image whose mean is 0.5: nearly all of it in [0, 1], which GMS and SSIM assume
_NOISE = 0.01  # smallest spread of an image that is magnified to that, share of white
_LEAST = 0.01  # mean evidence of an image below which it is not magnified further
STEPS = 2000
_SCALES = 4  # of the gradient magnitude similarity


class PixelMap(nn.Module):
    """Disjoint-set inpainting with a predicted Laplace distribution per pixel.

    Raises:
        ConfigError: The images are too small for the cells or for the windows of the loss.
    """

    def __init__(self, config: InpaintingConfig, image: ImageSpec) -> None:
        super().__init__()
        if min(image.height, image.width) < 16:
            raise ConfigError(
                f"Images of {image.height} x {image.width} pixels are too small for 'inpainting', "
                "which needs 16 x 16: raise image.height and image.width."
            )
        self.config = config
        size = (image.height, image.width)
        self.masked = Masked(image.channels, size, config.cells, config.sets, config.widths, own_units=True)

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn to predict hidden pixels of good images, hidden anew at random in every step."""
        run.minimise(
            lambda batch: self._loss(batch, run),
            self,
            batches,
            steps=self.config.steps or STEPS,
            optimiser=lambda parameters: torch.optim.AdamW(parameters, lr=self.config.learning_rate),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Tell how surprising each place is.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, 1, H, W), at least 0. `likelihood`: mean |residual| / predicted spread, about 1 on good images; `gms`:
            1 - gradient magnitude similarity. With `relative`, in multiples of the mean over the image.
        """
        evidence = torch.cat([self._evidence(image, hidden) for hidden in self.masked.hidden.unbind()], 1)
        if self.config.map == "likelihood":
            return evidence.amax(1, keepdim=True)
        return evidence.mean(1, keepdim=True)

    def _evidence(self, image: Tensor, hidden: Tensor) -> Tensor:
        """Evidence of one cell size, (B, 1, H, W): hidden (sets, H, W)."""
        if self.config.map == "likelihood":
            evidence = self.masked.surprise(image, hidden)
        else:
            median, _ = self.masked.inpaint(image, hidden.unsqueeze(0))
            evidence = msgms_difference(*_standardise(image, median), scales=_SCALES)
        evidence = _mean_filter(evidence, self.config.window)
        if self.config.relative:
            evidence = evidence / _whole(evidence).clamp_min(_LEAST)
        return evidence

    def _loss(self, batch: Batch, run: TrainingRun) -> Tensor:
        """RIAD's three terms on the prediction, and the likelihood of the residual on its spread alone."""
        image, valid = batch.image, batch.valid
        hide = self.masked.at_random if self.config.masks == "cells" else self.masked.shapes_at_random
        median, log_spread = self.masked.inpaint(image, hide(image))
        with torch.autocast(image.device.type, enabled=False):  # variances of what is nearly constant
            median, log_spread = median.float(), log_spread.float()
            target, prediction = _standardise(image, median)
            l2 = _average((target - prediction).square(), valid) / _CONTRAST**2
            gms = _average(msgms_difference(target, prediction, _SCALES), valid)
            dissimilar = _average(1 - ssim(target, prediction), None if valid is None else valid[:, :, 5:-5, 5:-5])
            surprise = _average(surprisal(image, median.detach(), log_spread), valid)
        for name, value in {"l2": l2, "gms": gms, "ssim": dissimilar, "surprise": surprise}.items():
            run.log(name, value.detach())
        weights = self.config
        wrong = weights.l2_weight * l2 + weights.gms_weight * gms + weights.ssim_weight * dissimilar
        return wrong + _CONTRAST * surprise


def _standardise(image: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the units in which `image` has mean 0.5 and standard deviation 0.2, channels together."""
    mean = _whole(image)
    variance = _whole((image - mean).square()).mean(1, keepdim=True)
    gain = _CONTRAST / (variance + _NOISE**2).sqrt()
    return 0.5 + gain * (image - mean), 0.5 + gain * (other - mean)


def _whole(image: Tensor) -> Tensor:
    """Mean of each channel (B, C, 1, 1), of rows and then of columns: one long sum in float32 is off by more."""
    return image.mean(3, keepdim=True).mean(2, keepdim=True)


def _mean_filter(values: Tensor, window: int) -> Tensor:
    """Mean over window x window pixels. Outside the image is no evidence: predictions are least certain at its edge."""
    return F.avg_pool2d(values, window, 1, window // 2)


def _average(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the valid pixels (B, 1, H, W) of (B, C, H, W)."""
    if valid is None:
        return values.mean()
    weights = valid.to(values.dtype).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp_min(1)
