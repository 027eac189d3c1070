"""Options of the detector `dte`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from anomalib_lite.config import DetectorConfig

Width = Annotated[int, Field(ge=8, le=512, multiple_of=8)]


class DteConfig(DetectorConfig):
    """What noise good images are given in training, and what tells its time."""

    widths: tuple[Width, ...] = Field((24, 32, 48, 64, 64), min_length=2, max_length=7)
    """Channels of the U-Net, from fine to coarse; the first works on blocks of 4 x 4 pixels."""
    grain: int = Field(32, ge=1, le=256)
    """Coarsest grain of the noise in pixels of the model's input; every power of two up to it is used. About the size
    of the largest defect inside which nothing else changes."""
    regions: int = Field(3, ge=1, le=16)
    """Sorts of regions with a diffusion time of their own in a training image; the rest of it stays good."""
    position: bool = False
    """Tell the network the place. For parts that always lie alike: what is good in one place may be wrong in another.
    Refused with tiles."""
    learning_rate: float = Field(1e-2, gt=0, le=0.1)
    """Of AdamW, at its highest; rises shortly and falls to 0 as a cosine."""
    steps: int = Field(1500, ge=1)
    """Optimiser steps when neither steps nor minutes are asked for."""

    @property
    def positional(self) -> bool:
        """With `position`."""
        return self.position
