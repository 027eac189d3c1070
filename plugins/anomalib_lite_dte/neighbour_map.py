"""The method `neighbours`: how far features of a frozen backbone are from those of good images.

DTE-NP of the paper in closed form, m / d as in `estimator`, for the vector of every place: m is the mean squared
distance to the 5 nearest vectors of a gallery, d their dimensions. Scaler, projection and gallery are in the graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.detector import Batch, Batches, ImageSpec, TrainingRun
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite_dte.config import DteConfig
from anomalib_lite_dte.coreset import CHUNK, farthest_first
from anomalib_lite_dte.features import DIMENSIONS, LEAST, STRIDE, PatchFeatures, onto_grid
from anomalib_lite_dte.whitening import principal_components

COMPONENTS = 64
NEIGHBOURS = 5
POOL = 1 << 25  # numbers: 128 MiB of vectors that the projection is learnt from, and the gallery chosen of
DISTANCES = 1 << 26  # of one image to the gallery: 256 MiB
SKETCH = 32  # dimensions of the random projection in which the gallery is chosen


class NeighbourMap(nn.Module):
    """Estimates the diffusion time at every eighth pixel from distances to good feature vectors.

    Raises:
        ConfigError: The images are too small for the backbone, or so large that the distances to the gallery would take
            more than 256 MiB.
    """

    place: Tensor  # (1, 0 or 2, h, w): row and column of each cell, of mean 0 and spread about 1
    mean: Tensor  # (d,) of the features of good images
    projection: Tensor  # (d, k): from standardised features to whitened principal components, both in one
    gallery: Tensor  # (n, k)

    def __init__(self, config: DteConfig, image: ImageSpec) -> None:
        super().__init__()
        self.config = config
        self.image = image
        height, width = (-(-size // STRIDE) for size in (image.height, image.width))
        _check_size(image, height * width, config.gallery)
        self.features = PatchFeatures(config.backbone)
        place = torch.stack(torch.meshgrid(_axis(height), _axis(width), indexing="ij"))
        self.register_buffer("place", place[: 2 * config.position].unsqueeze(0), persistent=False)
        inputs, outputs = (known + self.place.shape[1] for known in (DIMENSIONS[config.backbone], COMPONENTS))
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("projection", torch.zeros(inputs, outputs))
        self.register_buffer("gallery", torch.zeros(config.gallery, outputs))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Take the backbone's weights over, learn the projection, and choose the gallery. Nothing is trained.

        Raises:
            ConfigError: The weights cannot be had.
            DataError: No pixel of the images counts.
        """
        self.features.load(self.config.weights)
        pool = self._pool(batches, run)
        mean, projection = _whitening(pool, self.place.shape[1])
        vectors = torch.cat([(part - mean) @ projection for part in torch.split(pool, CHUNK)])
        sketch = vectors @ torch.randn(vectors.shape[1], SKETCH)
        steps = run.progress(range(self.config.gallery), "gallery")
        chosen = [index for index, _ in zip(farthest_first(sketch), steps, strict=False)]
        self.mean, self.projection, self.gallery = (
            tensor.to(run.device) for tensor in (mean, projection, vectors[chosen])
        )

    def forward(self, image: Tensor) -> Tensor:
        """Tell how long each place would have diffused.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, 1, H, W), at least 0: the most probable variance of the noise on an unbounded axis of time, m / d.
        """
        vectors = (self._cells(image) - self.mean) @ self.projection  # (B, h, w, k)
        squares = vectors.square().sum(-1, keepdim=True) + self.gallery.square().sum(-1)
        squares = squares - 2 * vectors @ self.gallery.T  # (B, h, w, n)
        nearest = squares.topk(min(NEIGHBOURS, len(self.gallery)), largest=False).values.clamp_min(0)
        variance = nearest.mean(-1).unsqueeze(1) / self.gallery.shape[1]
        return onto_grid(variance, STRIDE, self.image.height, self.image.width)

    def _cells(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, h, w, d): features of each cell, and its place where that is wanted."""
        place = self.place.expand(image.shape[0], -1, -1, -1)
        return torch.cat([self.features(image), place], 1).movedim(1, -1)

    @torch.no_grad()
    def _pool(self, batches: Batches, run: TrainingRun) -> Tensor:
        """(n, d) vectors of good images, as many of each batch; all, where they fit into `POOL`."""
        share = max(1, POOL // len(self.mean) // len(batches))
        pool = []
        for batch in run.progress(batches, "features"):
            found = self._cells(batch.image)[_counted(batch)]
            pool.append(found[torch.randperm(len(found))[:share].to(found.device)].cpu())
        vectors = torch.cat(pool)
        if not len(vectors):
            raise DataError("no pixel of the training images counts: expected 1 at least. Check the mask of image.roi.")
        return vectors


class _Affine(NamedTuple):
    mean: Tensor
    projection: Tensor


def _whitening(vectors: Tensor, places: int) -> _Affine:
    """Standardisation and whitened principal components of (n, d) vectors; the last `places` columns stay as they are.

    Returns:
        mean (d,) and projection (d, k), float32.
    """
    features = vectors[:, : vectors.shape[1] - places]
    mean = features.mean(0, dtype=torch.float64)
    parts = (part.double() - mean for part in torch.split(features, CHUNK))
    covariance = sum((part.T @ part for part in parts), torch.zeros(())) / max(len(features) - 1, 1)
    spread = covariance.diag().sqrt()
    spread = torch.where(spread > 0, spread, 1.0)
    whitening = principal_components(mean, covariance / spread.outer(spread), COMPONENTS)
    projection = torch.block_diag(whitening.projection / spread.unsqueeze(1), torch.eye(places))  # type: ignore[no-untyped-call]
    return _Affine(F.pad(mean, (0, places)).float(), projection.float())


def _axis(cells: int) -> Tensor:
    """Places of cells along a side, as far spread as a principal component."""
    return torch.linspace(-1, 1, cells) * 3**0.5


def _counted(batch: Batch) -> Tensor:
    """(B, h, w): whether the value of a cell, interpolated to pixels, reaches one that is valid."""
    valid = torch.ones_like(batch.image[:, :1]) if batch.valid is None else batch.valid.to(batch.image.dtype)
    return F.max_pool2d(valid, 2 * STRIDE - 1, STRIDE, STRIDE - 1).squeeze(1) > 0


def _check_size(image: ImageSpec, cells: int, gallery: int) -> None:
    if min(image.height, image.width) < LEAST:
        raise ConfigError(
            f"Images of {image.height} x {image.width} pixels are too small for the backbone of 'dte', which needs "
            f"{LEAST} x {LEAST}: raise image.height and image.width, or use method=unet."
        )
    if cells * gallery > DISTANCES:
        raise ConfigError(
            f"A gallery of {gallery} vectors is too large for images of {image.height} x {image.width} pixels: their "
            f"distances would take more than {DISTANCES >> 18} MiB. Use options.gallery={DISTANCES // cells} at most, "
            "smaller images, or image.mode=tile."
        )
