"""Self-inpainting: what stands out is hidden and filled with healthy anatomy, until only what is ill stands out.

Astaraki et al., AutoPaint: a self-inpainting method for unsupervised anomaly detection, arXiv 2305.12358.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite_autopaint.config import AutopaintConfig
from anomalib_lite_autopaint.hiding import at_random, grids
from anomalib_lite_autopaint.losses import Eyes, mean_over, perceptual_and_style, total_variation
from anomalib_lite_autopaint.network import Filler

_LOCAL = (3, 1, 1)  # mean filter on a residual before it is suspicious: side, stride, padding
_GROWN = 2  # pixels by which what is suspicious is widened: its rim is ill, too
_HIDDEN = (0.5, 1.25)  # times the limit: where hiding begins, and is complete; a slow rise, for rounding grows by it
_SAMPLED = 1_000_000  # residuals of good images, of which the quantile is taken
_LEAST = 0.1  # limit, in units of what is expected
_SPREAD_WEIGHT = 0.2


class Autopaint(Detector):
    """A network that fills holes, and the loop that decides which.

    Raises:
        ConfigError: The images are too small, or have not as many channels as there are weights of them.
    """

    holes: Tensor  # (passes, 1, H, W) bool: what the first map hides in each pass
    limit: Tensor  # scalar: residual above which a place is suspicious
    share: Tensor  # (1, C, 1, 1): of each channel in the residual

    def __init__(self, config: AutopaintConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        shorter = min(image.height, image.width)
        if shorter < 16:
            raise ConfigError(
                f"Images of {image.height} x {image.width} pixels are too small for 'autopaint', which needs "
                "16 x 16: raise image.height and image.width."
            )
        weights = config.channel_weights or (1.0,) * image.channels
        if len(weights) != image.channels:
            raise ConfigError(
                f"options.channel_weights has {len(weights)} weights, the images {image.channels} channels: give "
                "one for each, or none."
            )
        self.hole = max(2, min(config.hole, shorter // 4))
        self.filler = Filler(image.channels, (image.height, image.width), config.widths)
        self.register_buffer("holes", grids(image.height, image.width, self.hole))
        self.register_buffer("limit", torch.ones(()))
        share = torch.tensor(weights).view(1, -1, 1, 1)
        self.register_buffer("share", share / share.sum())

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn to fill random holes of good images, and which residuals these have."""
        eyes = Eyes(str(self.config.weights), self.image).to(run.device) if self.config.looks else None
        run.minimise(
            lambda batch: self._loss(batch, eyes, run),
            self.filler,
            batches,
            steps=self.config.steps,
            optimiser=lambda parameters: torch.optim.AdamW(parameters, lr=self.config.learning_rate),
        )
        self._learn_limit(batches, run)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tell how far each place is from what good images would show there.

        Args:
            image: (B, C, H, W), black 0 and white 1.
            reference: Not used.

        Returns:
            (B, 1, H, W), at least 0; about 1 where all is as expected.
        """
        found = self._residual(image, *self.first(image))
        for _ in range(self.config.rounds):
            hidden = self.suspicious(found)
            again = self._residual(image, *self.filler(image, 1 - hidden))
            found = torch.lerp(found, again, hidden)
        return found

    def first(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Fill overlapping grids of holes: each pixel (B, C, H, W) as told while it was hidden, the mean of twice."""
        batch, passes = image.shape[0], self.holes.shape[0]  # len() of a tensor fixes its size in the graph
        hidden = self.holes.to(image.dtype)
        copies = image.unsqueeze(1).expand(-1, passes, -1, -1, -1).flatten(0, 1)
        visible = (1 - hidden).expand(batch, *hidden.shape).flatten(0, 1)
        share = hidden / hidden.sum(0)
        filled, log_spread = (
            (one.view(batch, passes, *image.shape[1:]) * share).sum(1) for one in self.filler(copies, visible)
        )
        return filled, log_spread

    def suspicious(self, residual: Tensor) -> Tensor:
        """How much of each place is to be hidden, (B, 1, H, W) in [0, 1]: all of it where it surely stands out."""
        local = F.avg_pool2d(residual, *_LOCAL, count_include_pad=False)
        none, all_of_it = _HIDDEN
        above = ((local / self.limit - none) / (all_of_it - none)).clamp(0, 1)
        return F.max_pool2d(above, 2 * _GROWN + 1, 1, _GROWN)

    def _residual(self, image: Tensor, filled: Tensor, log_spread: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 1, H, W): differences in units of the expected ones, by the weights of the channels."""
        difference = image - filled
        if self.config.residual == "both":
            difference = difference.abs()
        else:
            difference = F.relu(difference if self.config.residual == "brighter" else -difference)
        return (difference * (-log_spread).exp() * self.share).sum(1, keepdim=True)

    def _loss(self, batch: Batch, eyes: Eyes | None, run: TrainingRun) -> Tensor:
        image, weights = batch.image, self.config
        hidden = at_random(image, batch.valid, self.config.masks, self.hole)
        known = torch.ones_like(hidden) if batch.valid is None else batch.valid
        filled, log_spread = self.filler(image, 1 - hidden.to(image.dtype))
        painted = torch.where(hidden, filled, image)
        wrong = (filled - image).abs()
        surprise = wrong.detach() * (-log_spread).exp() + log_spread  # its spread alone learns from it
        terms = {
            "hole": weights.hole_weight * mean_over(wrong, hidden & known),
            "valid": weights.valid_weight * mean_over(wrong, ~hidden & known),
            "variation": weights.variation_weight * total_variation(painted, hidden & known),
            "spread": _SPREAD_WEIGHT * mean_over(surprise, hidden & known),
        }
        if eyes is not None:
            perceptual, style = perceptual_and_style(eyes, image, filled, painted)
            terms["perceptual"] = weights.perceptual_weight * perceptual
            terms["style"] = weights.style_weight * style
        for name, value in terms.items():
            run.log(name, value.detach())
        return torch.stack(list(terms.values())).sum()

    @torch.no_grad()
    def _learn_limit(self, batches: Batches, run: TrainingRun) -> None:
        sampled, step = torch.empty(0), 1  # each `step`-th of those that were seen, so that memory does not grow
        for batch in run.progress(batches, "residuals"):
            local = F.avg_pool2d(
                self._residual(batch.image, *self.first(batch.image)), *_LOCAL, count_include_pad=False
            )
            counted = (local.flatten() if batch.valid is None else local[batch.valid]).cpu()
            sampled = torch.cat([sampled, counted[::step]])
            while len(sampled) > _SAMPLED:
                sampled, step = sampled[::2], 2 * step
        if not len(sampled):
            raise DataError("No pixel of the training images counts: look at the region of interest.")
        self.limit = sampled.quantile(self.config.suspect).clamp_min(_LEAST).to(run.device)
