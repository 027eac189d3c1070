"""Detectors for vectors, as scikit-learn estimators: embeddings, process data, whatever is no image.

    from anomalib_lite_vectors import MahalanobisEstimator

    estimator = MahalanobisEstimator().fit(good)  # (n, d)
    estimator.score_samples(vectors)  # (m,), higher is more anomalous

Needs the extra `train`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anomalib_lite_vectors.diffusion_time import DiffusionTimeEstimator
    from anomalib_lite_vectors.mahalanobis import MahalanobisEstimator
    from anomalib_lite_vectors.scale import ScaleLearner

__all__ = ["DiffusionTimeEstimator", "MahalanobisEstimator", "ScaleLearner"]

_HOME = {"DiffusionTimeEstimator": "diffusion_time", "MahalanobisEstimator": "mahalanobis", "ScaleLearner": "scale"}


def __getattr__(name: str) -> object:
    """What imports torch is imported when it is used."""
    if name in _HOME:
        return getattr(import_module(f"anomalib_lite_vectors.{_HOME[name]}"), name)
    raise AttributeError(f"module 'anomalib_lite_vectors' has no attribute '{name}'")
