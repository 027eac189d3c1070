"""The method `features`: what a frozen backbone sees at each place is predicted from what it sees elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anomalib_lite.detector import Batch, Batches, ImageSpec, TrainingRun
from anomalib_lite.features import KEPT, FirstRows, WhitenedFeatures, backbone, cells_that_count, place_units
from anomalib_lite_inpainting.config import InpaintingConfig
from anomalib_lite_inpainting.masked import Masked, surprisal

COMPONENTS = 48  # dimensions that the features are reduced to
WIDTHS = (64, 96, 128)  # of the U-Net
STEPS = 500


class FeatureMap(nn.Module):
    """Masked prediction of whitened features, in units of what good images show at each place.

    Raises:
        ConfigError: The backbone does not suit the images.
    """

    median: Tensor  # (1, holes, h, w) of the surprise of good images
    spread: Tensor  # (1, holes, h, w), above 0

    def __init__(self, config: InpaintingConfig, image: ImageSpec) -> None:
        super().__init__()
        self.config = config
        found = backbone(config.backbone, config.weights, config.layers, image)
        self.features = WhitenedFeatures(found, (image.height, image.width), COMPONENTS)
        grid = self.features.grid
        holes = sorted({max(1, min(hole, min(grid) // 2)) for hole in config.holes})
        self.masked = Masked(self.features.components, grid, holes, config.sets, WIDTHS, own_units=False)
        self.register_buffer("median", torch.zeros(1, len(holes), *grid))
        self.register_buffer("spread", torch.ones(1, len(holes), *grid))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn the components, then to predict hidden places of good images, then what is usual at each place.

        Raises:
            DataError: No pixel of the images counts.
        """
        self.features.fit((batch.image, batch.valid) for batch in run.progress(batches, "components"))
        run.minimise(
            lambda batch: self._loss(batch, run),
            self.masked,
            batches,
            steps=self.config.steps or STEPS,
            at_most=self.config.steps or STEPS,
            optimiser=lambda parameters: torch.optim.AdamW(parameters, lr=self.config.learning_rate),
        )
        self._learn_units(batches, run)

    def forward(self, image: Tensor) -> Tensor:
        """Tell how surprising each place is.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, 1, h, w), a cell for each stride of the first layer: 0 where a place surprises as those of good images
            do in the median, 1 where by one standard deviation more; the largest over the sizes of what is hidden.
        """
        return ((self._surprises(image) - self.median) / self.spread).amax(1, keepdim=True)

    def _surprises(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, holes, h, w)."""
        places = self.features(image)
        return torch.cat([self.masked.surprise(places, hidden) for hidden in self.masked.hidden.unbind()], 1)

    def _loss(self, batch: Batch, run: TrainingRun) -> Tensor:
        """The likelihood of the features, over the places that count."""
        with torch.no_grad():
            places = self.features(batch.image)
        median, log_spread = self.masked.inpaint(places, self.masked.at_random(places))
        counted = cells_that_count(batch.image, batch.valid, self.features.grid)
        loss = surprisal(places.float(), median.float(), log_spread.float()).mean(1)[counted].mean()
        run.log("surprise", loss.detach())
        return loss

    @torch.no_grad()
    def _learn_units(self, batches: Batches, run: TrainingRun) -> None:
        def measured(batch: Batch) -> tuple[Tensor, Tensor]:
            counted = cells_that_count(batch.image, batch.valid, self.features.grid)
            return self._surprises(batch.image), counted.unsqueeze(1)

        values, count = FirstRows(KEPT // self.median.numel()).fill(run.map(measured, batches, "units"))
        units = [place_units(values[:, [one]], count) for one in range(values.shape[1])]
        self.median, self.spread = torch.cat([one[0] for one in units], 1), torch.cat([one[1] for one in units], 1)
