"""Options of the detector `logic`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from anomalib_lite.config import DetectorConfig
from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo


class LogicConfig(DetectorConfig):
    """What is counted, and whether it matters where it lies."""

    backbone: str = "tf_efficientnet_lite0"
    """Architecture of timm, frozen."""
    weights: Literal["packaged", "none"] | Path | str = "packaged"
    """Of the backbone: packaged, the file of a state dict, timm's name of pretrained weights, or none: random."""
    layers: tuple[str, ...] = Field(("blocks.1", "blocks.2", "blocks.4"), min_length=1, max_length=4)
    """Layers of the backbone whose maps describe a place, from fine to coarse; the first sets how many places."""
    words: int = Field(64, ge=8, le=256)
    """Kinds of places that are told apart."""
    positions: bool = True
    """Whether it matters where in the image they lie. Off for parts that lie anywhere: then they are only counted."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """The weights that are used."""
        weights = weights_of(self.weights)
        return replace(info, weights=None if weights is None else str(weights))
