"""The method `features`: DTE-C of the paper for the vector of every place, on features of a frozen backbone.

The paper's classifier, four layers that tell the bin of the diffusion time of a vector, as convolutions of 1 x 1 over
whitened features: every place of good images is a vector to learn from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from anomalib_lite_vectors.diffusion import BINS, STEPS, variances
from torch import Tensor, nn

from anomalib_lite.detector import Batch, Batches, ImageSpec, TrainingRun
from anomalib_lite.features import KEPT, FirstRows, WhitenedFeatures, backbone, cells_that_count, place_units
from anomalib_lite_dte.config import DteConfig
from anomalib_lite_dte.diffusion import log_odds

COMPONENTS = 64  # dimensions that the features are reduced to
HIDDEN = (256, 512, 256)  # Livernoche et al., 2024, appendix
DROPOUT = 0.5  # behind the second and the third of these


class FeatureMap(nn.Module):
    """Estimates the diffusion time of the features of every place.

    Raises:
        ConfigError: The backbone does not suit the images.
    """

    variance: Tensor  # (400,) of the noise at each time
    median: Tensor  # (1, 1, h, w) of the log odds of good images
    spread: Tensor  # (1, 1, h, w), above 0
    place: Tensor  # (1, 0 or 2, h, w): row and column of each cell, of mean 0 and spread about 1

    def __init__(self, config: DteConfig, image: ImageSpec) -> None:
        super().__init__()
        self.config = config
        found = backbone(config.backbone, config.weights, config.layers, image)
        self.features = WhitenedFeatures(found, (image.height, image.width), COMPONENTS)
        self.grid = self.features.grid
        self.register_buffer("variance", variances(STEPS).float(), persistent=False)
        rows, columns = (torch.linspace(-1, 1, cells) * 3**0.5 for cells in self.grid)
        place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[: 2 * config.position]
        self.register_buffer("place", place.unsqueeze(0), persistent=False)
        self.register_buffer("median", torch.zeros(1, 1, *self.grid))
        self.register_buffer("spread", torch.ones(1, 1, *self.grid))
        self.head = _head(self.features.components + len(place))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn the projection in one pass over good images, then to tell the time of noise given to their features.

        Raises:
            DataError: No pixel of the images counts.
        """
        self.features.fit((batch.image, batch.valid) for batch in run.progress(batches, "components"))
        run.minimise(
            lambda batch: self._surprise(batch, run),
            self.head,
            batches,
            steps=self.config.steps,
            at_most=self.config.steps,
            optimiser=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
        )
        if self.config.units:
            self.median, self.spread = self._units(batches, run)

    def forward(self, image: Tensor) -> Tensor:
        """Tell how long each place seems to have diffused.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, 1, h, w), a cell for each stride of the first layer: `log_odds` of the time. With `units`, 0 where they
            are as in the median of the good images, 1 where they are one standard deviation higher.
        """
        return (log_odds(self.head(self._cells(image))) - self.median) / self.spread

    def _cells(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, k, h, w): whitened features of each cell, and its place where that is wanted."""
        return torch.cat([self.features(image), self.place.expand(image.shape[0], -1, -1, -1)], 1)

    @torch.no_grad()
    def _units(self, batches: Batches, run: TrainingRun) -> tuple[Tensor, Tensor]:
        """Median and spread of the map at each place over good images."""

        def measured(batch: Batch) -> tuple[Tensor, Tensor]:
            return self(batch.image), cells_that_count(batch.image, batch.valid, self.grid).unsqueeze(1)

        maps, counted = FirstRows(KEPT // (self.grid[0] * self.grid[1])).fill(run.map(measured, batches, "units"))
        return place_units(maps, counted)

    def _surprise(self, batch: Batch, run: TrainingRun) -> Tensor:
        """Cross-entropy of the bin of each cell's time, over the cells that count."""
        with torch.no_grad():
            cells = self._cells(batch.image)
        counted = cells_that_count(batch.image, batch.valid, self.grid)
        time = torch.randint(STEPS, counted.shape).to(cells.device)
        noise = torch.randn(cells.shape).to(cells.device) * self.variance[time].sqrt().unsqueeze(1)
        logits, bins = self.head(cells + noise), time * BINS // STEPS
        run.log("right_bin", (logits.detach().argmax(1) == bins)[counted].float().mean())
        return (F.cross_entropy(logits, bins, reduction="none") * counted).sum() / counted.sum().clamp_min(1)


def _head(inputs: int) -> nn.Sequential:
    """Vectors (B, inputs, h, w) to logits of the bin of their time (B, 7, h, w), each place by itself."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(zip((inputs, *HIDDEN), HIDDEN, strict=False)):
        layers += [nn.Conv2d(before, after, 1), nn.ReLU(), *([nn.Dropout(DROPOUT)] if number else [])]
    return nn.Sequential(*layers, nn.Conv2d(HIDDEN[-1], BINS, 1))
