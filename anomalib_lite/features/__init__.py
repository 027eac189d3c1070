"""Frozen pretrained backbones for detectors: maps of chosen layers, of several strides, normalisation inside.

    from anomalib_lite.features import backbone

    class Mine(Detector):
        def __init__(self, config, image):
            super().__init__(config, image)
            self.backbone = backbone("tf_efficientnet_lite0", config.weights, ("blocks.4", "blocks.5"), image)

        def fit(self, batches, run):
            self.backbone.load_pretrained()
            ...

        def forward(self, image, reference=None):
            fine, coarse = self.backbone(image)  # (B, 112, H / 16, W / 16), (B, 192, H / 32, W / 32)

`backbone` builds the layers and touches nothing else; the weights come with `load_pretrained`, in `fit`, and lie in the
state of the detector from then on. Architectures and the names of their layers are those of timm. For DetectorInfo,
`str(weights_of("packaged"))` says which weights, whence, and their licence; it imports no torch. Needs the extra
`train`.

- `on_one_grid`, `cells_that_count` and `place_units` are for maps; `WhitenedFeatures` gives principal components of
  each place, `MutualScoring` compares the places of one image with those of others.
- `farthest_first` chooses the vectors to keep of many; `ledoit_wolf` gives Mahalanobis distances of few vectors.
- In memory that does not grow with the number of images: `FirstRows` keeps what has to be held of each, `KEPT` numbers
  at most; `Moments` sums what means and covariances are made of.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from anomalib_lite.errors import MissingExtra
from anomalib_lite.features.weights import WeightsInfo, weights_of

if TYPE_CHECKING:
    from anomalib_lite.features.backbones import Backbone, backbone
    from anomalib_lite.features.coreset import farthest_first
    from anomalib_lite.features.mutual import MutualScoring
    from anomalib_lite.features.places import cells_that_count, on_one_grid, place_units
    from anomalib_lite.features.rows import KEPT, FirstRows
    from anomalib_lite.features.whitening import (
        Moments,
        WhitenedFeatures,
        Whitening,
        ledoit_wolf,
        principal_components,
    )

__all__ = [
    "KEPT",
    "Backbone",
    "FirstRows",
    "Moments",
    "MutualScoring",
    "WeightsInfo",
    "WhitenedFeatures",
    "Whitening",
    "backbone",
    "cells_that_count",
    "farthest_first",
    "ledoit_wolf",
    "on_one_grid",
    "place_units",
    "principal_components",
    "weights_of",
]

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # before timm is imported: its downloads would be reported

_HOME = {
    "Backbone": "backbones",
    "FirstRows": "rows",
    "KEPT": "rows",
    "Moments": "whitening",
    "MutualScoring": "mutual",
    "WhitenedFeatures": "whitening",
    "Whitening": "whitening",
    "backbone": "backbones",
    "cells_that_count": "places",
    "farthest_first": "coreset",
    "ledoit_wolf": "whitening",
    "on_one_grid": "places",
    "place_units": "places",
    "principal_components": "whitening",
}


def __getattr__(name: str) -> object:
    """What imports torch is imported when it is used.

    Raises:
        MissingExtra: timm or torch is not installed.
    """
    if name in _HOME:
        try:
            return getattr(import_module(f"anomalib_lite.features.{_HOME[name]}"), name)
        except ModuleNotFoundError as error:
            raise MissingExtra(str(error.name), "train", "A backbone") from error
    raise AttributeError(f"module 'anomalib_lite.features' has no attribute '{name}'")
