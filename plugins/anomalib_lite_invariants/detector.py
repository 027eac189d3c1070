"""Distance of an image from all good ones in pooled features of a frozen network, and the same of each place.

MahaAD (Doorenbos, Sznitman and Márquez-Neila, Data invariants to understand unsupervised out-of-distribution detection,
ECCV 2022) is the sum over layers of the Mahalanobis distances of their means. In directions in which good images hardly
vary, the invariants, a small deviation counts much. The map is the same for the vector of each place, with a Gaussian
of its own (Defard et al., PaDiM, 2021) or with one for all places.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, Prediction, TrainingRun
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.features import KEPT, FirstRows, Moments, backbone, cells_that_count, ledoit_wolf, on_one_grid
from anomalib_lite_invariants.config import InvariantsConfig
from anomalib_lite_invariants.measures import Mahalanobis, Nonlinear

COVARIANCES = 1 << 26  # numbers in those of all places: 256 MiB
POOL = 20_000  # vectors that one measure for all places is learnt from
BATCH = 64  # vectors in a step of the network


class Invariants(Detector):
    """Measures pooled features of several layers, and the features of each place."""

    config: InvariantsConfig

    def __init__(self, config: InvariantsConfig, image: ImageSpec) -> None:
        """Build the layers.

        Raises:
            ConfigError: The backbone does not suit the images, or the covariances of all places take more than 256 MiB.
        """
        super().__init__(config, image)
        self.layers = config.layers if config.whole else ()
        asked = tuple(dict.fromkeys((*self.layers, *config.map_layers)))
        self.backbone = backbone(config.backbone, config.weights, asked, image)
        self.pooled = [asked.index(one) for one in self.layers]
        self.mapped = [asked.index(one) for one in config.map_layers]
        stride = self.backbone.strides[self.mapped[0]]
        self.grid = (image.height // stride, image.width // stride)
        channels = [self.backbone.channels[one] for one in self.pooled]
        dimensions = sum(self.backbone.channels[one] for one in self.mapped)
        places = self.grid[0] * self.grid[1] if config.place else 1
        _check_size(image, places, dimensions)
        trained = config.method == "nonlinear"
        self.whole = nn.ModuleList(
            [Nonlinear(sum(channels), config.share)] if trained and channels else map(Mahalanobis, channels)
        )
        self.every = (
            Nonlinear(dimensions, config.share) if trained and not channels else Mahalanobis(dimensions, places)
        )

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """See the good images once; then learn in closed form, or train the network on what was seen.

        Raises:
            DataError: No pixel of the images counts.
        """
        self.backbone.load_pretrained()
        self.backbone.to(run.device)
        whole, cells, counted = self._seen(batches, run)
        if isinstance(self.every, Nonlinear):
            self._train(self.every, _some(cells, counted), batches, run)
        elif self.config.place:
            for place in run.progress(range(counted.shape[1]), "places"):
                here = counted[:, place]  # what is masked out always is masked out of the map, too
                self.every.take(ledoit_wolf(cells[here, place] if here.any() else cells[:, place]), place)
        else:
            self.every.take(ledoit_wolf(_some(cells, counted)))
        for measure, seen in zip(self.whole, whole, strict=True):
            if isinstance(measure, Nonlinear) and isinstance(seen, FirstRows):
                self._train(measure, seen.taken()[0], batches, run)
            elif isinstance(measure, Mahalanobis) and isinstance(seen, Moments):
                measure.take(seen.ledoit_wolf())

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        """Tell how far an image is from what is good, and each of its places.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            The map (B, 1, H / stride, W / stride), and with `whole` a score (B,): distances, at least 0.
        """
        maps = self.backbone(image)
        distances: Tensor = self.every(self._cells(maps).flatten(1, 2)).unflatten(1, self.grid).unsqueeze(1)
        if not self.layers:
            return distances
        parts = self._of_measures(self._means(maps))
        scores = [measure(vectors.unsqueeze(1)) for measure, vectors in zip(self.whole, parts, strict=True)]
        return distances, torch.cat(scores, 1).sum(1)

    def _cells(self, maps: list[Tensor]) -> Tensor:
        """(B, h, w, d): the mean of 3 x 3 cells of each layer of the map, all on the grid of the first."""
        return on_one_grid([maps[one] for one in self.mapped]).movedim(1, -1)

    def _means(self, maps: list[Tensor]) -> list[Tensor]:
        """(B, d) of each layer that describes the whole image."""
        return [maps[one].mean((2, 3)) for one in self.pooled]

    def _of_measures(self, means: list[Tensor]) -> list[Tensor]:
        """The vectors of each measure of the whole image: those of a layer, or of all layers together."""
        return [torch.cat(means, 1)] if len(self.whole) < len(means) else means

    @torch.no_grad()
    def _seen(self, batches: Batches, run: TrainingRun) -> tuple[list[Moments | FirstRows], Tensor, Tensor]:
        """What measures learn of means; cells (N, places, d) of as many images as are kept; which count (bool)."""
        numbers = self.grid[0] * self.grid[1] * sum(self.backbone.channels[one] for one in self.mapped)
        most, kept = -(-KEPT // (numbers * len(batches))), FirstRows(2 * KEPT // numbers)
        pooled = sum(self.backbone.channels[one] for one in self.pooled)
        whole = [FirstRows(KEPT // pooled) if isinstance(one, Nonlinear) else Moments() for one in self.whole]

        def features(batch: Batch) -> tuple[Tensor, ...]:
            maps = self.backbone(batch.image)
            count = cells_that_count(batch.image, batch.valid, self.grid)
            return self._cells(maps).flatten(1, 2), count.flatten(1), *self._means(maps)

        for found, counts, *layers in run.map(features, batches, "features"):
            some = torch.randperm(len(found))[:most].to(found.device)
            kept.add(found[some], counts[some])
            for learning, vectors in zip(whole, self._of_measures(layers), strict=True):
                learning.add(vectors)
        cells, counted = kept.taken()
        if not counted.any():
            raise DataError("no pixel of the training images counts: expected 1 at least. Check the mask of image.roi.")
        return whole, cells, counted

    def _train(self, measure: Nonlinear, vectors: Tensor, batches: Batches, run: TrainingRun) -> None:
        """Principal components first; the network by descent; units last."""
        measure.to(run.device)
        invariants = measure.begin(vectors)
        components = measure.components(vectors)

        def loss(_: Batch) -> Tensor:
            chosen = torch.randint(len(components), (BATCH,)).to(components.device)
            return measure.network.loss(components[chosen], invariants)

        run.minimise(
            loss,
            measure.network,
            batches,
            steps=self.config.steps,
            at_most=self.config.steps,
            optimiser=lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        )
        measure.end(vectors, invariants)


def _some(cells: Tensor, counted: Tensor) -> Tensor:
    """Random vectors of those that count, `POOL` at most, from cells (N, places, d)."""
    image, place = counted.nonzero(as_tuple=True)
    chosen = torch.randperm(len(image))[:POOL].to(cells.device)
    return cells[image[chosen], place[chosen]]


def _check_size(image: ImageSpec, places: int, dimensions: int) -> None:
    if places * dimensions**2 > COVARIANCES:
        raise ConfigError(
            f"{places} places of {dimensions} features have covariances of more than {COVARIANCES >> 18} MiB at images "
            f"of {image.height} x {image.width} pixels: set options.place=false, or take coarser layers with fewer "
            "channels in options.map_layers, or smaller images."
        )
