"""Options of the detector `autopaint`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from anomalib_lite.config import DetectorConfig
from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo

Width = Annotated[int, Field(ge=8, le=512, multiple_of=8)]
Share = Annotated[float, Field(ge=0, le=100)]
Kind = Literal["rectangles", "strokes", "shapes"]


class AutopaintConfig(DetectorConfig):
    """What is hidden, how the network learns to fill it, and how the loop goes on."""

    hole: int = Field(16, ge=4, le=128)
    """Side of the holes that the first map is made with, in pixels of the model's input; at most a quarter of the
    shorter side. Grids of them overlap, so that every pixel is hidden twice. About as large as the largest lesion."""
    rounds: int = Field(1, ge=0, le=16)
    """How often what stands out is hidden and filled again; 0 for the first map alone. Each round makes differences of
    rounding about five times as large: after three or more an export may be refused."""
    suspect: float = Field(0.99, ge=0.5, le=0.9999)
    """What stands out: a residual above this quantile of those of good images."""
    residual: Literal["both", "brighter", "darker"] = "both"
    """Which difference from the filling counts: brighter for lesions that take up a tracer."""
    channel_weights: tuple[Share, ...] = ()
    """Of the residual of each channel, in their order (PET and CT: 1, 0.5); empty for all alike. A residual is in
    units of the one that the network expects at that place."""
    masks: tuple[Kind, ...] = Field(("rectangles", "strokes"), min_length=1, max_length=3)
    """What is hidden in training, each kind as often: squares, brush strokes, or shapes of the image itself (merged
    superpixels)."""
    widths: tuple[Width, ...] = Field((16, 32, 48, 64), min_length=2, max_length=7)
    """Channels of the gated U-Net, from fine to coarse; the first works on blocks of 2 x 2 pixels."""
    hole_weight: float = Field(8.0, gt=0, le=1000)
    """Of the mean absolute error of what was hidden."""
    valid_weight: float = Field(1.0, ge=0, le=1000)
    """Of the mean absolute error of what was visible."""
    perceptual_weight: float = Field(0.0, ge=0, le=1000)
    """Of differences between what a frozen network sees in filled and in original images, channel by channel. The
    paper's is 0.05; above 0, a training takes four times as long."""
    style_weight: float = Field(0.0, ge=0, le=1000)
    """Of differences between correlations of what it sees; in the paper as much."""
    variation_weight: float = Field(0.1, ge=0, le=1000)
    """Of the total variation of what was filled, relative to what is usual."""
    weights: Literal["packaged", "none"] | Path = "packaged"
    """Of that network, EfficientNet-Lite0: packaged, the file of a state dict, or none: random. It serves the training
    alone, and is in no model."""
    learning_rate: float = Field(3e-3, gt=0, le=0.1)
    """Of AdamW, at its highest; rises shortly and falls to 0 as a cosine."""
    steps: int = Field(1000, ge=1)
    """Optimiser steps when neither steps nor minutes are asked for."""

    @property
    def looks(self) -> bool:
        """Whether the frozen network is needed."""
        return self.perceptual_weight + self.style_weight > 0

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """Which pretrained weights it learns with, if any."""
        weights = weights_of(self.weights) if self.looks else None
        return replace(info, weights=None if weights is None else str(weights))

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(set(self.masks)) < len(self.masks):
            raise ValueError("masks names a kind twice: each kind once, they are drawn equally often")
        if self.channel_weights and not sum(self.channel_weights):
            raise ValueError("channel_weights are all 0: no difference would count")
        return self
