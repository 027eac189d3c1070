"""The contract of a detector: this file is enough to write one.

A detector is a torch module. The host builds it from its options and the image specification, lets it fit on good
images, wraps it (`anomalib_lite.graph.inspector`) and exports it as one ONNX graph; calibration, prediction and the
device run that graph. So:

- everything learnt lives in `state_dict()`: parameters, or buffers assigned in `fit`;
- `forward` is traceable: tensor operations of fixed shapes, no Python branches on values, no randomness;
- images are (B, C, H, W) float32, 0 the black and 1 the white level of `ImageSpec`, and beyond them where pixels are:
  nothing is clipped, no other normalisation is done for you, and B must not change the result of an image;
- the exported graph computes what torch computes: scores to `SCORE_TOLERANCE`, maps to `MAP_TOLERANCE`, on images that
  were fitted, too. Where it does not, the fit is kept: mend `forward`, and train with --resume;
- `fit` begins in evaluation mode; `run.minimise` sets the modes that it needs and puts them back, so that what is
  frozen never changes by being run;
- anomaly maps are raw: higher is more anomalous, any unit, finite. The host resizes, smooths, reduces to the image
  score, calibrates and thresholds them. Do not squash them: scores that tie at an upper limit hide defects.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import PluginError

__all__ = [
    "MAP_TOLERANCE",
    "SCORE_TOLERANCE",
    "Batch",
    "Batches",
    "Detector",
    "ImageSpec",
    "Prediction",
    "TrainingRun",
]

SCORE_TOLERANCE = 1e-4
"""Largest difference of a score between torch and the graph, of the larger of |score| and the range of the scores."""
MAP_TOLERANCE = 1e-3
"""Largest difference of an anomaly map, of the range of the maps."""

T = TypeVar("T")
R = TypeVar("R")
Prediction: TypeAlias = Tensor | tuple[Tensor, Tensor]


class Batch(NamedTuple):
    """Some good images, as `fit` sees them."""

    image: Tensor  # (B, C, H, W) float32, 0 black and 1 white
    reference: Tensor | None = None  # same shape, for inputs == ("image", "reference")
    valid: Tensor | None = None  # (B, 1, H, W) bool: False where the image is padding or outside the region of interest
    images: Tensor | None = None  # (B,) int64: which image each is of; several tiles may be of one
    parts: Tensor | None = None  # (B,) int64: which part each is of; numbers that mean nothing but the same and another


class Batches(Protocol):
    """The training images. Iterating gives one shuffled pass; it can be iterated again."""

    def __iter__(self) -> Iterator[Batch]:
        """One pass over the training images, in an order set by the seed."""
        ...

    def __len__(self) -> int:
        """Batches in one pass."""
        ...


class TrainingRun(Protocol):
    """All that a detector knows of training."""

    device: torch.device
    seed: int

    def time_left(self) -> float:
        """Seconds until the time budget ends; infinite without `--minutes`."""
        ...

    def minimise(
        self,
        loss: Callable[[Batch], Tensor],
        module: nn.Module,
        batches: Batches,
        *,
        steps: int,
        optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
        schedule: Callable[[float], float] | None = None,
        at_most: int | None = None,
        share: float = 1.0,
    ) -> None:
        """Gradient descent on `loss(batch)` over the parameters of `module`; can be interrupted and resumed.

        Args:
            loss: Maps a batch on `device` to a scalar. Randomness drawn from torch inside it is seeded per step.
            module: What is trained, buffers included (put helper networks inside it as well).
            batches: What `fit` was given.
            steps: Optimiser steps; replaced by the user's `--steps`, or by the clock with `--minutes`.
            optimiser: From parameters to an optimiser. Default: AdamW at 1e-3.
            schedule: Factor of the learning rate, from training progress in [0, 1] (of steps or of the time budget).
                Default: a short warm-up, then cosine to 0.
            at_most: Steps after which `--minutes` end early, for what gets no better then. `--steps` goes beyond.
            share: Of the time that is left with `--minutes`, in (0, 1]: for a fit in several parts.
        """
        ...

    def split(self, batches: Batches, share: float) -> tuple[Batches, Batches]:
        """The training images in two: about `share` of the parts, in (0, 1), and the rest. No part is on both sides.

        The seed chooses. For what must be measured on images that were not learnt from, such as a spread.
        """
        ...

    def progress(self, batches: Iterable[T], label: str) -> Iterator[T]:
        """Pass items through and show how far a closed-form fit has come."""
        ...

    def map(self, compute: Callable[[Batch], R], batches: Batches, label: str) -> Iterator[R]:
        """What `compute` makes of each batch, in order, with progress: for what is costly in a closed-form fit.

        Several processes divide the batches, and each gets all that comes of them: the fit is that of one process.

        Args:
            compute: From a batch to a tensor or a tuple of tensors. It draws nothing random and changes nothing.
            batches: What `fit` was given, or one of `split`.
            label: Names the pass.
        """
        ...

    def log(self, name: str, value: float | Tensor) -> None:
        """Record a value of the current step in training.csv."""
        ...


class Detector(nn.Module, ABC):
    """Base of every detector: three methods, of which `fit` has a default."""

    def __init__(self, config: Any, image: ImageSpec) -> None:
        """Build the layers. Touches no network, no disk and no data."""
        super().__init__()
        self.config = config
        self.image = image

    def __call__(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        """`forward`, for images of the size and the channels that the detector was built for.

        Raises:
            PluginError: They are others.
        """
        expected = (self.image.channels, self.image.height, self.image.width)
        for one in (image, reference):
            if one is not None and tuple(one.shape[1:]) != expected:
                raise PluginError(
                    f"{type(self).__name__} was built for images of (B, {', '.join(map(str, expected))}), "
                    f"but got {tuple(one.shape)}: frame them with the model's image specification."
                )
        prediction: Prediction = super().__call__(image) if reference is None else super().__call__(image, reference)
        return prediction

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn from good images alone. Default: there is nothing to learn."""

    @abstractmethod
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        """Tell how anomalous each place is.

        Args:
            image: (B, C, H, W) float32 in [0, 1].
            reference: Of the same shape, where the detector declares it as an input.

        Returns:
            The anomaly map (B, 1, h, w), or (map, score (B,)). h and w may be smaller than H and W. The detector's own
            score is used only where no part of an image is masked out; otherwise the map is reduced.
        """
