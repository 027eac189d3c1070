"""Distance to the nearest good patch, place by place in units of what good images show there.

PatchCore (Roth et al., CVPR 2022) with its coreset; what is ours are the units: the distance of a patch less the median
of those of good images at its place, over their median absolute deviation. Edges and prints, where good images differ
more than elsewhere, no longer hide what differs little on a plain surface.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.features import (
    KEPT,
    FirstRows,
    backbone,
    cells_that_count,
    farthest_first,
    on_one_grid,
    place_units,
)
from anomalib_lite_neighbours.config import NeighboursConfig

POOL = 20_000  # good patches of which the gallery is chosen
SKETCH = 48  # dimensions of the random projection in which it is chosen
DISTANCES = 1 << 26  # of one image to the gallery: 256 MiB
FLOOR = 1e-4  # of the median squared distance, below the root: near 0 float32 is inexact


class Neighbours(Detector):
    """Keeps good patches, and how far those of other good images are from them at each place."""

    gallery: Tensor  # (channels, n)
    halved: Tensor  # (n,): half of the squared length of each
    floor: Tensor  # (): of squared distances
    median: Tensor  # (1, 1, h, w)
    spread: Tensor  # (1, 1, h, w), above 0
    config: NeighboursConfig

    def __init__(self, config: NeighboursConfig, image: ImageSpec) -> None:
        """Build the layers.

        Raises:
            ConfigError: The backbone does not suit the images, or the distances to the gallery take more than 256 MiB.
        """
        super().__init__(config, image)
        self.backbone = backbone(config.backbone, config.weights, config.layers, image)
        stride = self.backbone.strides[0]
        self.grid = (image.height // stride, image.width // stride)
        _check_size(image, self.grid[0] * self.grid[1], config.gallery)
        self.register_buffer("gallery", torch.zeros(sum(self.backbone.channels), config.gallery))
        self.register_buffer("halved", torch.zeros(config.gallery))
        self.register_buffer("floor", torch.ones(()))
        self.register_buffer("median", torch.zeros(1, 1, *self.grid))
        self.register_buffer("spread", torch.ones(1, 1, *self.grid))

    @torch.no_grad()
    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Choose the gallery in one pass over good images; measure what is good at each place in a second one.

        Raises:
            DataError: No pixel of the images counts.
        """
        self.backbone.load_pretrained()
        self.backbone.to(run.device)
        pool, owners = self._pool(batches, run)
        sketch = pool @ torch.randn(pool.shape[1], SKETCH).to(pool.device)
        chosen = list(islice(run.progress(farthest_first(sketch), "gallery"), self.config.gallery))
        self.gallery = pool[chosen].T.contiguous()
        self.halved = pool[chosen].square().sum(1) / 2
        squares, counted = self._of_good_images(batches, run, owners[chosen])
        self.floor = FLOOR * squares[counted].median()
        self.median, self.spread = place_units(squares.add_(self.floor).sqrt_(), counted, each=self.config.place)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tell how far each place is from what is good there.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            (B, 1, H / stride, W / stride): 0 where a place is as far from the gallery as those of good images are in
            the median, 1 where it is one standard deviation farther.
        """
        distance = (self._squares(self._patches(image)) + self.floor).sqrt()
        return (distance - self.median) / self.spread

    def _patches(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, h, w, d): the mean of 3 x 3 cells of each map, all on the grid of the first."""
        return on_one_grid(self.backbone(image)).movedim(1, -1)

    def _squares(self, patches: Tensor, foreign: Tensor | None = None) -> Tensor:
        """Squared distances (B, 1, h, w) of patches to the nearest of the gallery; of those that are `foreign`, if any.

        Args:
            patches: (B, h, w, d).
            foreign: (B, n) bool: which of the gallery count for an image.
        """
        near = patches @ self.gallery - self.halved  # the larger, the nearer; too inexact to be a distance itself
        if foreign is not None:
            near = near.masked_fill(~foreign[:, None, None], -torch.inf)
        return (patches - self.gallery.T[near.argmax(-1)]).square().sum(-1).unsqueeze(1)

    def _pool(self, batches: Batches, run: TrainingRun) -> tuple[Tensor, Tensor]:
        """Random patches (n, d) of good images, as many of each batch, and the part (n,) that each is of."""
        most = max(1, POOL // len(batches))

        def patches(batch: Batch) -> tuple[Tensor, Tensor]:
            counted = cells_that_count(batch.image, batch.valid, self.grid)
            return self._patches(batch.image)[counted], _parts(batch)[:, None, None].expand_as(counted)[counted]

        def some() -> Iterator[tuple[Tensor, Tensor]]:
            for found, of in run.map(patches, batches, "features"):
                chosen = torch.randperm(len(found))[:most].to(found.device)
                yield found[chosen], of[chosen]

        kept = FirstRows(POOL).fill(some())
        if not kept:
            raise DataError("no pixel of the training images counts: expected 1 at least. Check the mask of image.roi.")
        pool, owners = kept
        return pool, owners

    def _of_good_images(self, batches: Batches, run: TrainingRun, owners: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distances (N, 1, h, w) of good images to patches of other parts, and which of them count (bool)."""

        def measured(batch: Batch) -> tuple[Tensor, Tensor]:
            foreign = _parts(batch)[:, None] != owners
            foreign |= ~foreign.any(1, keepdim=True)  # all is of one part: its own patches are all there is
            squares = self._squares(self._patches(batch.image), foreign)
            return squares, cells_that_count(batch.image, batch.valid, self.grid).unsqueeze(1)

        kept = FirstRows(KEPT // (self.grid[0] * self.grid[1]))
        squares, counted = kept.fill(run.map(measured, batches, "spreads"))
        return squares, counted


def _parts(batch: Batch) -> Tensor:
    """(B,): the part of each image; each its own where nobody knows."""
    unknown = torch.arange(len(batch.image), device=batch.image.device)
    return unknown if batch.parts is None else batch.parts.to(batch.image.device)


def _check_size(image: ImageSpec, cells: int, gallery: int) -> None:
    if cells * gallery > DISTANCES:
        raise ConfigError(
            f"A gallery of {gallery} patches is too large for images of {image.height} x {image.width} pixels: the "
            f"distances would take more than {DISTANCES >> 18} MiB. Use options.gallery={DISTANCES // cells} at most, "
            "or smaller images."
        )
