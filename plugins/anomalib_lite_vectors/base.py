"""What the estimators share: checked and standardised vectors, whole parameters, and which way a score points."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from anomalib_lite.features import Whitening, principal_components

MAX_DIMENSIONS = 128  # that networks are trained on
ROWS = 1024  # scored at a time


class VectorEstimator(BaseEstimator):  # type: ignore[misc]
    """Learns from good vectors, each feature brought to mean 0 and spread 1, and scores others.

    Attributes:
        n_features_in_: Features of the training set.
    """

    _whole: tuple[str, ...] = ()  # parameters that are whole numbers, 1 or more

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: N803
        """Learn from good vectors.

        Args:
            X: (n, d) numbers, finite; n at least 1.
            y: Not used; for scikit-learn.

        Raises:
            ValueError: A parameter is not legal, X is no such matrix, or has fewer features than the method needs.
        """
        self._check_parameters()
        data: NDArray[np.float64] = validate_data(self, X, dtype=np.float64)
        self._check_features(data.shape[1])
        self.scaler_ = StandardScaler().fit(data)
        self._learn(torch.from_numpy(self.scaler_.transform(data)))
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """How unlike the good vectors each input is.

        Higher is more anomalous, as everywhere in this project, and unlike in scikit-learn's own outlier detectors.

        Args:
            X: (m, d), as in `fit`.

        Returns:
            (m,), in the unit that the class says.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: X is not finite, or has other features.
        """
        check_is_fitted(self)
        data = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self._score(torch.from_numpy(self.scaler_.transform(data))).numpy(), np.float64)

    def _check_parameters(self) -> None:
        for name in self._whole:
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name}={value!r}: expected a whole number, 1 or more.")

    def _check_features(self, features: int) -> None:
        """Raises a ValueError that says how many features are needed, where there are fewer."""

    @abstractmethod
    def _learn(self, vectors: Tensor) -> None:
        """From standardised good vectors (n, d) float64."""

    @abstractmethod
    def _score(self, vectors: Tensor) -> Tensor:
        """(m, d) float64 to (m,)."""


def reduction(vectors: Tensor) -> Whitening | None:
    """To whitened principal components, where vectors (n, d) have more than 128 features; None where they have not."""
    if vectors.shape[1] <= MAX_DIMENSIONS or len(vectors) == 1:
        return None
    return principal_components(vectors.mean(0), vectors.T.cov(), MAX_DIMENSIONS)
