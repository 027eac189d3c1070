"""Where `DiffusionTimeEstimator` was before vectors had a package of their own: this import goes on working."""

from anomalib_lite_vectors.diffusion_time import BATCH, MAX_DIMENSIONS, DiffusionTimeEstimator

__all__ = ["BATCH", "MAX_DIMENSIONS", "DiffusionTimeEstimator"]
