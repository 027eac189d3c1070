"""Reconstruction by inpainting: every pixel is predicted from others, and scored against what was predicted.

Zavrtanik, Kristan, Skocaj: Reconstruction by inpainting for visual anomaly detection (RIAD), Pattern Recognition, 2021.
Beyond the paper: the network also predicts how far off it expects to be, starts from an interpolation of the visible
pixels, and sees the image in units of the visible pixels' own mean and spread. EXPERIMENTS.md says what each brought.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Generator, Tensor

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite.errors import ConfigError
from anomalib_lite.synthesis import grid_cells
from anomalib_lite_inpainting.config import InpaintingConfig
from anomalib_lite_inpainting.similarity import msgms_difference, ssim
from anomalib_lite_inpainting.unet import UNet, pull_push

_CONTRAST = 0.2  # spread of an image whose mean is 0.5: nearly all of it in [0, 1], which GMS and SSIM assume
_NOISE = 0.01  # smallest spread of an image that is not taken as flat, share of white
_LEAST = 0.01  # mean evidence of an image below which it is not magnified further
_SCALES = 4  # of the gradient magnitude similarity
_LOG_SPREAD = (-6.0, 4.0)  # limits of the predicted log spread, relative to that of the visible pixels


class Inpainting(Detector):
    """Disjoint-set inpainting with a predicted Laplace distribution per pixel.

    Raises:
        ConfigError: The images are too small for the cells or for the windows of the loss.
    """

    config: InpaintingConfig
    hidden: Tensor  # (cell sizes, sets, H, W) bool: what is hidden in each pass

    def __init__(self, config: InpaintingConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        if min(image.height, image.width) < 16:
            raise ConfigError(
                f"Images of {image.height} x {image.width} pixels are too small for 'inpainting', "
                "which needs 16 x 16: raise image.height and image.width."
            )
        generator = Generator().manual_seed(0)  # part of the method, not of the run: every model hides the same
        masks = [
            grid_cells(1, image.height, image.width, cell=cell, sets=config.sets, generator=generator)
            for cell in config.cells
        ]
        self.register_buffer("hidden", torch.cat(masks))
        self.unet = UNet(image.channels + 1, 2 * image.channels, config.widths)
        self.levels = (max(config.cells) - 1).bit_length()
        multiple = max(self.unet.stride, 2**self.levels)
        self.padding = (0, -image.width % multiple, 0, -image.height % multiple)  # left, right, top, bottom

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn to predict hidden pixels of good images, hidden anew at random in every step."""
        run.minimise(
            lambda batch: self._loss(batch, run),
            self,
            batches,
            steps=self.config.steps,
            optimiser=lambda parameters: torch.optim.AdamW(parameters, lr=self.config.learning_rate),
        )

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tell how surprising each place is.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            (B, 1, H, W), at least 0. `likelihood`: mean |residual| / predicted spread, about 1 on good images; `gms`:
            1 - gradient magnitude similarity. With `relative`, in multiples of the mean over the image.
        """
        evidence = torch.cat([self._evidence(image, hidden) for hidden in self.hidden.unbind()], 1)
        if self.config.map == "likelihood":
            return evidence.amax(1, keepdim=True)
        return evidence.mean(1, keepdim=True)

    def inpaint(self, image: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Predict each pixel from the sets that it is not in.

        Args:
            image: (B, C, H, W).
            hidden: (B, sets, H, W) bool, each pixel True in exactly one set. B may be 1 for all images alike.

        Returns:
            Two tensors (B, C, H, W): the median of the predicted Laplace distribution, and the logarithm of its
            spread, both in units of `image`. Neither depends on the image at the same pixel.
        """
        batch, channels, height, width = image.shape
        sets = hidden.shape[1]
        hole = hidden.to(image.dtype).unsqueeze(2)  # (B, sets, 1, H, W)
        copies = image.unsqueeze(1).expand(batch, sets, channels, height, width)
        visible = (1 - hole).expand(batch, sets, 1, height, width)
        filled, log_spread = self._predict(copies.flatten(0, 1), visible.flatten(0, 1))
        shape = (batch, sets, channels, height, width)
        return (filled.view(shape) * hole).sum(1), (log_spread.view(shape) * hole).sum(1)

    def _predict(self, image: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """One pass: (B, C, H, W) and what is visible (B, 1, H, W) to median and log spread of every pixel."""
        height, width = image.shape[2:]
        count = visible.sum((2, 3), keepdim=True)
        mean = (image * visible).sum((2, 3), keepdim=True) / count
        # once more from there: a long sum in float32 is off by more than a faint image's contrast tolerates
        mean = mean + ((image - mean) * visible).sum((2, 3), keepdim=True) / count
        variance = ((image - mean) * visible).square().sum((2, 3), keepdim=True) / count
        spread = (variance.mean(1, keepdim=True) + _NOISE**2).sqrt()
        inputs = F.pad((image - mean) / spread * visible, self.padding)
        visible = F.pad(visible, self.padding)  # what is added is hidden, too
        start = pull_push(inputs, visible, self.levels)
        change, log_spread = self.unet(torch.cat([start, visible], 1)).chunk(2, 1)
        median = (start + change)[:, :, :height, :width] * spread + mean
        return median, log_spread[:, :, :height, :width].clamp(*_LOG_SPREAD) - 1 + spread.log()

    def _evidence(self, image: Tensor, hidden: Tensor) -> Tensor:
        """Evidence of one cell size, (B, 1, H, W): hidden (sets, H, W)."""
        median, log_spread = self.inpaint(image, hidden.unsqueeze(0))
        if self.config.map == "likelihood":
            evidence = ((image - median).abs() * (-log_spread).exp()).mean(1, keepdim=True)
        else:
            evidence = msgms_difference(*_standardise(image, median), scales=_SCALES)
        evidence = _mean_filter(evidence, self.config.window)
        if self.config.relative:
            evidence = evidence / evidence.mean((2, 3), keepdim=True).clamp_min(_LEAST)
        return evidence

    def _loss(self, batch: Batch, run: TrainingRun) -> Tensor:
        """RIAD's three terms on the prediction, and the likelihood of the residual on its spread alone."""
        image, valid = batch.image, batch.valid
        cell = self.config.cells[int(torch.randint(len(self.config.cells), ()))]
        hidden = grid_cells(len(image), *image.shape[2:], cell=cell, sets=self.config.sets).to(image.device)
        median, log_spread = self.inpaint(image, hidden)
        target, prediction = _standardise(image, median)
        l2 = _average((target - prediction).square(), valid) / _CONTRAST**2
        gms = _average(msgms_difference(target, prediction, _SCALES), valid)
        dissimilar = _average(1 - ssim(target, prediction), None if valid is None else valid[:, :, 5:-5, 5:-5])
        residual = (image - median).detach().abs()
        surprise = _average(residual * (-log_spread).exp() + log_spread, valid)  # -log Laplace, less log 2
        for name, value in {"l2": l2, "gms": gms, "ssim": dissimilar, "surprise": surprise}.items():
            run.log(name, value.detach())
        weights = self.config
        wrong = weights.l2_weight * l2 + weights.gms_weight * gms + weights.ssim_weight * dissimilar
        return wrong + _CONTRAST * surprise


def _standardise(image: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the units in which `image` has mean 0.5 and standard deviation 0.2, channels together."""
    mean = image.mean((2, 3), keepdim=True)
    variance = (image - mean).square().mean((1, 2, 3), keepdim=True)
    gain = _CONTRAST / (variance + _NOISE**2).sqrt()
    return 0.5 + gain * (image - mean), 0.5 + gain * (other - mean)


def _mean_filter(values: Tensor, window: int) -> Tensor:
    """Mean over window x window pixels. Outside the image is no evidence: predictions are least certain at its edge."""
    return F.avg_pool2d(values, window, 1, window // 2)


def _average(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the valid pixels (B, 1, H, W) of (B, C, H, W)."""
    if valid is None:
        return values.mean()
    weights = valid.to(values.dtype).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp_min(1)
