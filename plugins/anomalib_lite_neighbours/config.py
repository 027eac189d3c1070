"""Options of the detector `neighbours`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from anomalib_lite.config import DetectorConfig
from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo


class NeighboursConfig(DetectorConfig):
    """Whose patches are compared, with how many good ones, and in which units."""

    backbone: str = "tf_efficientnet_lite0"
    """Architecture of timm, frozen."""
    weights: Literal["packaged", "none"] | Path | str = "packaged"
    """Of the backbone: packaged, the file of a state dict, timm's name of pretrained weights, or none: random."""
    layers: tuple[str, ...] = Field(("blocks.4",), min_length=1, max_length=4)
    """Layers of the backbone whose maps describe a patch, from fine to coarse; the first sets how many patches."""
    gallery: int = Field(4000, ge=8, le=16384)
    """Good patches that are kept, at most. They travel in the graph: 4 bytes for each of them and each channel."""
    place: bool = True
    """Measure each place in units of what good images show there. For parts that lie alike; without it, and only then,
    images may be cut into tiles."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """The weights that are used; and with `place` the map depends on the place."""
        weights = weights_of(self.weights)
        return replace(info, positional=self.place, weights=None if weights is None else str(weights))
