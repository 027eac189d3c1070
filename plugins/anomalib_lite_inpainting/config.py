"""Options of the detector `inpainting`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from anomalib_lite.config import DetectorConfig

Cell = Annotated[int, Field(ge=2, le=128)]
Width = Annotated[int, Field(ge=8, le=512, multiple_of=8)]


class InpaintingConfig(DetectorConfig):
    """What is hidden, what predicts it, and how a wrong prediction counts."""

    cells: tuple[Cell, ...] = Field((16, 32, 64), min_length=1, max_length=8)
    """Sides of the hidden cells in pixels of the model's input. A defect larger than the largest cell is partly seen
    by the network and may be continued instead of filled in; small cells see fine defects. The time that an image
    takes grows with their number."""
    sets: int = Field(3, ge=2, le=8)
    """Disjoint sets into which the cells are dealt; each is hidden in turn, so 1 / sets of the image at a time."""
    widths: tuple[Width, ...] = Field((16, 32, 48, 64), min_length=2, max_length=7)
    """Channels of the U-Net, from fine to coarse; the first works on blocks of 2 x 2 pixels."""
    map: Literal["likelihood", "gms"] = "likelihood"
    """likelihood: residual in units of its predicted spread, the largest over the cell sizes; gms: multi-scale
    difference of gradient magnitudes, the mean over the cell sizes (the paper's)."""
    window: int = Field(11, ge=1, le=63)
    """Side of the mean filter on the evidence of each cell size, in pixels; odd. The paper uses 21."""
    relative: bool = True
    """Count the evidence of each cell size in multiples of its mean over the image (or tile): a place must stand out
    from the rest of its own part. Switch off where a defect may fill the whole image."""
    l2_weight: float = Field(1.0, ge=0, le=100)
    """Weight of the mean squared error, in units of the image's own variance."""
    gms_weight: float = Field(1.0, ge=0, le=100)
    """Weight of the multi-scale difference of gradient magnitudes."""
    ssim_weight: float = Field(1.0, ge=0, le=100)
    """Weight of 1 - structural similarity."""
    learning_rate: float = Field(3e-3, gt=0, le=0.1)
    """Of AdamW, at its highest; rises shortly and falls to 0 as a cosine."""
    steps: int = Field(2000, ge=1)
    """Optimiser steps when neither steps nor minutes are asked for."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError(f"window {self.window} has no middle pixel: use {self.window + 1}")
        if self.l2_weight + self.gms_weight + self.ssim_weight == 0:
            raise ValueError("l2_weight, gms_weight and ssim_weight are all 0: the prediction would learn nothing")
        return self
