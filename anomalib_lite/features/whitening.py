"""Whitening: principal components and Mahalanobis distances of vectors, and of features of every place of an image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.errors import DataError
from anomalib_lite.features.places import cells_that_count, on_one_grid

if TYPE_CHECKING:
    from anomalib_lite.features.backbones import Backbone  # timm: vectors do without

_CHUNK = 8192  # vectors that are brought to float64 at once
_FLAT = 1e-6  # variance below which a component is not a direction of the data, share of the largest
_LEAST = 1e-10  # variance that any direction has for a distance, share of the mean: 2 vectors leave all but one without
_ROUNDING = 1e-12  # spread below which vectors are all alike, share of the largest value


class Whitening(NamedTuple):
    """An affine map, learnt from good data: (x - mean) @ projection."""

    mean: Tensor  # (d,)
    projection: Tensor  # (d, k)

    def __call__(self, vectors: Tensor) -> Tensor:
        """(..., d) -> (..., k)."""
        return (vectors - self.mean) @ self.projection


def principal_components(mean: Tensor, covariance: Tensor, limit: int) -> Whitening:
    """The largest principal components, each scaled to variance 1.

    Args:
        mean: (d,).
        covariance: (d, d).
        limit: Components at most; fewer where the data has fewer directions.

    Returns:
        A map from d to at least 1 dimension. Data without any spread is mapped to 0.
    """
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0)[:limit], vectors.flip(1)[:, :limit]
    kept = values > max(float(values[0]) * _FLAT, torch.finfo(values.dtype).tiny)
    kept[0] = True
    scale = torch.where(values > 0, values, 1.0).rsqrt() * (values > 0)
    return Whitening(mean, (vectors * scale)[:, kept])


class Moments:
    """What `ledoit_wolf` needs of vectors that come in parts: sums, in memory that does not grow with their number.

    The sums are those of differences from the mean of the first part: a large mean costs no digits.
    """

    def __init__(self) -> None:
        self._count = 0
        self._origin = torch.zeros(())  # (d,): the mean of the first part
        self._first = self._second = self._weighted = self._fourth = self._largest = torch.zeros(())

    def add(self, vectors: Tensor) -> None:
        """Take further vectors (n, d)."""
        for part in vectors.split(_CHUNK) if len(vectors) else ():
            data = part.double()
            if not self._count:
                self._origin, self._dtype = data.mean(0), vectors.dtype
                zero = data.new_zeros(())
                self._first = self._second = self._weighted = self._fourth = self._largest = zero
            moved = data - self._origin
            squares = moved.square().sum(1)
            self._count += len(data)
            self._first = self._first + moved.sum(0)
            self._second = self._second + moved.T @ moved
            self._weighted = self._weighted + squares @ moved
            self._fourth = self._fourth + squares.square().sum()
            self._largest = torch.maximum(self._largest, data.abs().amax())

    def ledoit_wolf(self) -> Whitening:
        """`ledoit_wolf` of all vectors so far, one at least."""
        offset, second = self._first / self._count, self._second / self._count
        mean, covariance = (self._origin + offset).to(self._dtype), second - offset.outer(offset)
        level = covariance.diagonal().mean().clamp_min(0)
        if level.sqrt() <= _ROUNDING * self._largest:
            return Whitening(mean, torch.eye(len(mean)).to(mean))
        square, far = covariance.square().sum(), offset.square().sum()
        fourth = (  # mean of the fourth powers of the distances from the mean
            (self._fourth - 4 * offset @ self._weighted) / self._count
            + 4 * offset @ second @ offset
            + 2 * far * second.diagonal().sum()
            - 3 * far.square()
        )
        error = (fourth - square) / self._count  # expected, of the covariance, squared
        distance = square - len(mean) * level.square()  # of the covariance from level times the identity, squared
        share = (error / distance.clamp_min(torch.finfo(torch.float64).tiny)).clamp(0, 1)
        values, directions = torch.linalg.eigh(covariance)
        values = ((1 - share) * values + share * level).clamp_min(_LEAST * level)
        return Whitening(mean, (directions * values.rsqrt()).to(mean))


def ledoit_wolf(vectors: Tensor) -> Whitening:
    """The map after which lengths are Mahalanobis distances, by the covariance that Ledoit and Wolf shrink.

    A well-conditioned estimator for large-dimensional covariance matrices, Journal of Multivariate Analysis 2004: drawn
    towards a multiple of the identity by so much as its noise asks for, so that fewer vectors than dimensions do.
    Shrinking depends on the units of the dimensions: bring them to a common one first where they differ.

    Args:
        vectors: (n, d) of good data, n and d at least 1. Where they are too many to be held, use `Moments`.

    Returns:
        A map from d to d dimensions: `whitening(x).norm(dim=-1)` is the distance of x from the mean. Data without any
        spread has the distance in its own units.
    """
    moments = Moments()
    moments.add(vectors)
    return moments.ledoit_wolf()


class WhitenedFeatures(nn.Module):
    """Describes each place by the principal components of its features, each with a spread of 1 over good images.

    Args:
        backbone: Frozen; the map of its first layer sets the grid.
        image: Height and width of the images in pixels.
        limit: Components at most; as many as there are features where these are fewer.

    Attributes:
        grid: h and w, cells of the map.
        components: How many.
    """

    mean: Tensor  # (d, 1, 1) of the features of good images
    projection: Tensor  # (components, d, 1, 1); rows of 0 where the data has fewer directions

    def __init__(self, backbone: Backbone, image: tuple[int, int], limit: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.grid = (image[0] // backbone.strides[0], image[1] // backbone.strides[0])
        features = sum(backbone.channels)
        self.components = min(limit, features)
        self.register_buffer("mean", torch.zeros(features, 1, 1))
        self.register_buffer("projection", torch.zeros(self.components, features, 1, 1))

    @torch.no_grad()
    def fit(self, images: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Load the pretrained weights, and learn the components in one pass.

        Args:
            images: Batches of good images (B, C, H, W), and which of their pixels are valid (B, 1, H, W); None for all.

        Raises:
            DataError: No pixel of the images counts.
        """
        self.backbone.load_pretrained()
        count = 0
        first = second = torch.zeros((), dtype=torch.float64)
        for image, valid in images:
            maps = on_one_grid(self.backbone(image)).movedim(1, -1)
            vectors = maps[cells_that_count(image, valid, self.grid)].double()
            first, second = first.to(vectors) + vectors.sum(0), second.to(vectors) + vectors.T @ vectors
            count += len(vectors)
        if not count:
            raise DataError("no pixel of the training images counts: expected 1 at least. Check the mask of image.roi.")
        mean = first / count
        whitening = principal_components(mean.cpu(), (second / count - mean.outer(mean)).cpu(), self.components)
        self.mean.copy_(mean[:, None, None])
        self.projection.zero_()
        self.projection[: whitening.projection.shape[1], :, 0, 0] = whitening.projection.T.to(self.projection)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to (B, components, h, w)."""
        return F.conv2d(on_one_grid(self.backbone(image)) - self.mean, self.projection)
