"""Options of the detector `dte`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from anomalib_lite import DetectorInfo
from anomalib_lite.config import DetectorConfig
from anomalib_lite.features import weights_of

Width = Annotated[int, Field(ge=8, le=512, multiple_of=8)]

_OPTIONS = {
    "unet": ("widths", "grain", "regions", "members", "learning_rate"),
    "features": ("backbone", "weights", "layers", "units"),
}  # those that mean nothing to the other method


class DteConfig(DetectorConfig):
    """How the time is estimated, and from what."""

    method: Literal["unet", "features"] = "unet"
    """unet gives noise to pixels and needs no pretrained weights; features gives it to what a frozen pretrained network
    sees at each place."""
    position: bool = False
    """Tell the method the place. For parts that always lie alike: what is good in one place may be wrong in another.
    Refused with tiles."""
    widths: tuple[Width, ...] = Field((24, 32, 48, 64, 64), min_length=2, max_length=7)
    """unet: channels, from fine to coarse; the first works on blocks of 4 x 4 pixels."""
    grain: int = Field(32, ge=1, le=256)
    """unet: coarsest grain of the noise in pixels of the model's input; every power of two up to it is used. About the
    size of the largest defect inside which nothing else changes."""
    regions: int = Field(3, ge=1, le=16)
    """unet: sorts of regions with a diffusion time of their own in a training image; the rest of it stays good."""
    members: int = Field(6, ge=1, le=32)
    """unet: networks that are trained side by side, each with noise of its own; the map is their mean. One alone
    depends much on the luck of its training. Time and memory grow with their number."""
    learning_rate: float = Field(1e-2, gt=0, le=0.1)
    """unet: of AdamW, at its highest; rises shortly and falls to 0 as a cosine."""
    steps: int = Field(500, ge=1)
    """Optimiser steps unless the host is asked for others; no more than these however many minutes there are."""
    backbone: str = "tf_efficientnet_lite0"
    """features: architecture of timm, frozen."""
    weights: Literal["packaged", "none"] | Path | str = "packaged"
    """features: of the backbone: packaged, the file of a state dict, timm's name of pretrained weights, or none:
    random."""
    layers: tuple[str, ...] = Field(("blocks.4",), min_length=1, max_length=4)
    """features: layers of the backbone whose maps describe a place, from fine to coarse; the first sets the grid."""
    units: bool = True
    """features: tell each place in units of what good images show there. For parts that lie alike. Refused with
    tiles."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """The weights that are used; and with `position` or `units` the map depends on the place."""
        features = self.method == "features"
        weights = weights_of(self.weights) if features else None
        positional = self.position or (features and self.units)
        return replace(info, positional=positional, weights=None if weights is None else str(weights))

    @field_validator("method", mode="before")
    @classmethod
    def _is_known(cls, value: object) -> object:
        if value == "neighbours":
            raise ValueError("neighbours is a detector of its own now: train the detector neighbours")
        return value

    @model_validator(mode="after")
    def _every_option_means_something(self) -> Self:
        for method, names in _OPTIONS.items():
            changed = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
            if changed and method != self.method:
                raise ValueError(
                    f"{changed[0]} means nothing to method {self.method}: set method={method}, or leave it out"
                )
        return self
