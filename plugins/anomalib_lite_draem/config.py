"""Options of the detector `draem`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from anomalib_lite.config import DetectorConfig


class Mix(DetectorConfig):
    """How often each source of synthetic anomalies is drawn, as weights: 0 for never."""

    texture: float = Field(0.5, ge=0, le=100)
    """Textures that show through clouds of Perlin noise (the paper's)."""
    patch: float = Field(2.0, ge=0, le=100)
    """Places of other good images, blended in."""
    photometric: float = Field(2.0, ge=0, le=100)
    """Parts made darker, brighter, flatter or richer in contrast."""
    filtered: float = Field(1.5, ge=0, le=100)
    """Parts blurred, sharpened, or with noise in the place of their grain."""
    scratch: float = Field(1.5, ge=0, le=100)
    """Thin lines, dark or bright."""
    spot: float = Field(1.0, ge=0, le=100)
    """Small irregular spots, dark or bright."""
    edge: float = Field(1.0, ge=0, le=100)
    """Pieces broken off at the edges of the image, or of the region of interest."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not sum(self.model_dump().values()):
            raise ValueError("all weights of the mix are 0: nothing would be learnt")
        return self


class DraemConfig(DetectorConfig):
    """Which networks, and which anomalies they learn from."""

    size: Literal["tiny", "small", "large"] = "small"
    """small trains on a processor and runs on a device; tiny is for the smallest ones; large is the published pair of
    networks, for a GPU."""
    textures: Path | None = None
    """Folder of texture images for the source `texture`, searched recursively. Default: procedural textures."""
    mix: Mix = Mix()
    """Weights of the sources of anomalies."""
    foreground: bool = False
    """Plant anomalies only where the image differs from its rim, for objects in front of an even background."""
    vary: bool = True
    """Train on images mirrored, enlarged and lit otherwise too, so that a long training does not learn them by heart.
    Switch it off for parts that are good from one side only. Not used by size large."""
    mirror: bool = True
    """Judge each image as it is and mirrored left to right, and take the mean of both maps: steadier, in twice the
    time. Only with `vary`, and not by size large."""
    gamma: float = Field(0.0, ge=0, le=5)
    """Of the focal loss: how much less a pixel counts in training that is right already. 0 is cross-entropy, by which
    the networks go on to tell what is good from what is nearly so. Not used by size large, which has the paper's 2."""
    checkpoint: Path | None = None
    """The authors' checkpoint of the autoencoder, with that of the U-Net (`_seg`) beside it; size large. Nothing is
    trained then."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps when neither steps nor minutes are asked for. Default: 3000; 700 epochs for large."""

    @property
    def varied(self) -> bool:
        """Whether good images are varied in training."""
        return self.vary and self.size != "large"

    @property
    def mirrored(self) -> bool:
        """Whether images are judged mirrored too: what was trained so."""
        return self.mirror and self.varied

    @model_validator(mode="after")
    def _published_networks_are_large(self) -> Self:
        if self.checkpoint is not None and self.size != "large":
            raise ValueError(f"checkpoint holds the published networks: use size large, not {self.size}")
        return self
