"""Options of the detector `musc`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from anomalib_lite.config import DetectorConfig
from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo


class MuscConfig(DetectorConfig):
    """Whose places are compared, and with those of how many images."""

    backbone: str = "tf_efficientnet_lite0"
    """Architecture of timm, frozen."""
    weights: Literal["packaged", "none"] | Path | str = "packaged"
    """Of the backbone: packaged, the file of a state dict, timm's name of pretrained weights, or none: random."""
    layers: tuple[str, ...] = Field(("blocks.4", "blocks.5"), min_length=1, max_length=4)
    """Layers of the backbone whose places are compared, from fine to coarse; the map is as fine as the first."""
    images: int = Field(32, ge=5, le=1000)
    """Images of the lot that are kept, at most. Their places travel in the graph."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """The weights that are used."""
        weights = weights_of(self.weights)
        return replace(info, weights=None if weights is None else str(weights))
