"""Options of the detector `dte`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from anomalib_lite import DetectorInfo
from anomalib_lite.config import DetectorConfig

Width = Annotated[int, Field(ge=8, le=512, multiple_of=8)]

_OPTIONS = {
    "unet": ("widths", "grain", "regions", "members", "learning_rate", "steps"),
    "neighbours": ("backbone", "weights", "gallery"),
}  # those that mean nothing to the other method


class DteConfig(DetectorConfig):
    """How the time is estimated, and from what."""

    method: Literal["unet", "neighbours"] = "unet"
    """unet learns from noise, without pretrained weights; neighbours measures how far features of a pretrained backbone
    are from those of good images."""
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
    """unet: optimiser steps unless the host is asked for others; no more than these however many minutes there are."""
    backbone: Literal["resnet18", "wide_resnet50_2"] = "resnet18"
    """neighbours: the network of torchvision whose second and third layers give the features."""
    weights: Literal["imagenet", "none"] | Path = "none"
    """neighbours: of the backbone. imagenet downloads torchvision's, unless they are there already; a path is a file of
    a state dict with torchvision's names; none leaves them random, which is for trying things out."""
    gallery: int = Field(2000, ge=8, le=16384)
    """neighbours: good feature vectors that are kept, at most. They travel in the graph: about 260 bytes each, and
    4 bytes of memory for each of them and each 8 x 8 pixels of an image."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """With `position` the map depends on the place."""
        return replace(info, positional=self.position)

    @model_validator(mode="after")
    def _every_option_means_something(self) -> Self:
        for method, names in _OPTIONS.items():
            changed = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
            if changed and method != self.method:
                raise ValueError(
                    f"{changed[0]} means nothing to method {self.method}: set method={method}, or leave it out"
                )
        return self
