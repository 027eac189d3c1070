"""The baseline that keeps the others honest: the Mahalanobis distance, in closed form."""

from __future__ import annotations

from torch import Tensor

from anomalib_lite.features import ledoit_wolf
from anomalib_lite_vectors.base import VectorEstimator


class MahalanobisEstimator(VectorEstimator):
    """Distance from the mean of good vectors, in units of their covariance.

    The covariance is the one that Ledoit and Wolf shrink ("A well-conditioned estimator for large-dimensional
    covariance matrices", Journal of Multivariate Analysis 2004), so fewer vectors than features do. There is nothing to
    choose, and nothing random.

    Attributes:
        n_features_in_: Features of the training set.
        whitening_: The map after which lengths are distances.
    """

    def _learn(self, vectors: Tensor) -> None:
        self.whitening_ = ledoit_wolf(vectors)

    def _score(self, vectors: Tensor) -> Tensor:
        distances: Tensor = self.whitening_(vectors).norm(dim=1)
        return distances
