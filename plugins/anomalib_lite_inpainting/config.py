"""Options of the detector `inpainting`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from anomalib_lite.config import DetectorConfig
from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo

Cell = Annotated[int, Field(ge=2, le=128)]
Hole = Annotated[int, Field(ge=1, le=64)]
Width = Annotated[int, Field(ge=8, le=512, multiple_of=8)]

_OPTIONS = {
    "pixels": ("cells", "masks", "widths", "map", "window", "relative", "l2_weight", "gms_weight", "ssim_weight"),
    "features": ("backbone", "weights", "layers", "holes"),
}  # those that mean nothing to the other method


class InpaintingConfig(DetectorConfig):
    """What is hidden, what predicts it, and how a wrong prediction counts."""

    method: Literal["pixels", "features"] = "pixels"
    """pixels predicts those and needs no pretrained weights; features predicts what a frozen pretrained network sees
    at each place, for parts that lie alike."""
    cells: tuple[Cell, ...] = Field((16, 32, 64), min_length=1, max_length=8)
    """pixels: sides of the hidden cells in pixels of the model's input. A defect larger than the largest cell is partly
    seen by the network and may be continued instead of filled in; small cells see fine defects. The time that an image
    takes grows with their number."""
    masks: Literal["cells", "shapes"] = "cells"
    """pixels: what is hidden in training: cells, as in the model, or superpixels of about their size, which follow the
    edges of the image."""
    sets: int = Field(3, ge=2, le=8)
    """Disjoint sets into which the cells are dealt; each is hidden in turn, so 1 / sets of the image at a time."""
    widths: tuple[Width, ...] = Field((16, 32, 48, 64), min_length=2, max_length=7)
    """pixels: channels of the U-Net, from fine to coarse; the first works on blocks of 2 x 2 pixels."""
    map: Literal["likelihood", "gms"] = "likelihood"
    """pixels: likelihood is the residual in units of its predicted spread, the largest over the cell sizes; gms the
    multi-scale difference of gradient magnitudes, the mean over the cell sizes (the paper's)."""
    window: int = Field(11, ge=1, le=63)
    """pixels: side of the mean filter on the evidence of each cell size, in pixels; odd. The paper uses 21."""
    relative: bool = True
    """pixels: count the evidence of each cell size in multiples of its mean over the image (or tile): a place must
    stand out from the rest of its own part. Switch off where a defect may fill the whole image."""
    l2_weight: float = Field(1.0, ge=0, le=100)
    """pixels: weight of the mean squared error, in units of the image's own variance."""
    gms_weight: float = Field(1.0, ge=0, le=100)
    """pixels: weight of the multi-scale difference of gradient magnitudes."""
    ssim_weight: float = Field(1.0, ge=0, le=100)
    """pixels: weight of 1 - structural similarity."""
    learning_rate: float = Field(3e-3, gt=0, le=0.1)
    """Of AdamW, at its highest; rises shortly and falls to 0 as a cosine."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps when neither steps nor minutes are asked for. Default: 2000; 500 for features, which makes no
    more however many minutes there are."""
    backbone: str = "tf_efficientnet_lite0"
    """features: architecture of timm, frozen."""
    weights: Literal["packaged", "none"] | Path | str = "packaged"
    """features: of the backbone: packaged, the file of a state dict, timm's name of pretrained weights, or none:
    random."""
    layers: tuple[str, ...] = Field(("blocks.2", "blocks.4"), min_length=1, max_length=4)
    """features: layers of the backbone whose maps describe a place, from fine to coarse; the first sets the grid."""
    holes: tuple[Hole, ...] = Field((16,), min_length=1, max_length=4)
    """features: sides of what is hidden at once, in cells of that grid; at most half of the grid's smaller side."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """With features the map depends on the place, and has a score and weights of its own."""
        if self.method == "pixels":
            return info
        weights = weights_of(self.weights)
        defaults = {**info.defaults, "score.sigma": 0.0, "score.reduction": "top", "score.top_share": 0.01}
        defaults["training.batch_size"] = 8
        return replace(info, positional=True, weights=None if weights is None else str(weights), defaults=defaults)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for method, names in _OPTIONS.items():
            changed = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
            if changed and method != self.method:
                raise ValueError(
                    f"{changed[0]} means nothing to method {self.method}: set method={method}, or leave it out"
                )
        if self.window % 2 == 0:
            raise ValueError(f"window {self.window} has no middle pixel: use {self.window + 1}")
        if self.l2_weight + self.gms_weight + self.ssim_weight == 0:
            raise ValueError("l2_weight, gms_weight and ssim_weight are all 0: the prediction would learn nothing")
        return self
