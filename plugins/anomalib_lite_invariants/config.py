"""Options of the detector `invariants`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from anomalib_lite.config import DetectorConfig
from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo

Layers = Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]


class InvariantsConfig(DetectorConfig):
    """What is looked at, and how the distance from what is good is measured."""

    method: Literal["mahalanobis", "nonlinear"] = "mahalanobis"
    """Of the score: mahalanobis is in closed form; nonlinear trains a network that preserves volumes."""
    whole: bool = True
    """Score the image as a whole, by the means of its features. Without it the score is that of the map. Where part of
    an image is masked out the map decides, too."""
    place: bool = True
    """In the map, measure each place by what good images show there. For parts that lie alike; without it all places
    are measured alike, and images may be cut into tiles."""
    backbone: str = "tf_efficientnet_lite0"
    """Architecture of timm, frozen."""
    weights: Literal["packaged", "none"] | Path | str = "packaged"
    """Of the backbone: packaged, the file of a state dict, timm's name of pretrained weights, or none: random."""
    layers: Layers = tuple(f"blocks.{number}" for number in range(7))
    """whole: layers of the backbone whose means over the image describe it."""
    map_layers: Layers = ("blocks.4",)
    """Layers whose maps describe a place, from fine to coarse; the first sets how many places."""
    share: float = Field(0.95, gt=0, lt=1)
    """nonlinear: of the variance of good images, what varies; the directions beyond it become invariants."""
    steps: int = Field(500, ge=1)
    """nonlinear: optimiser steps when neither steps nor minutes are asked for; no more however many minutes there
    are."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """The weights that are used; and with `place` the map depends on the place."""
        weights = weights_of(self.weights)
        return replace(info, positional=self.place, weights=None if weights is None else str(weights))

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.method == "nonlinear" and self.place and not self.whole:
            raise ValueError(
                "no network is trained for each place by itself: set place=false for one of all places, or whole=true"
            )
        return self
