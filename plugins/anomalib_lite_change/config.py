"""Options of `change`."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from anomalib_lite import DetectorInfo
from anomalib_lite.config import DetectorConfig

SMOOTHING = 1.0  # pixels: standard deviation by which the host smooths the map


class ChangeConfig(DetectorConfig):
    """What counts as a change."""

    method: Literal["tolerance", "changechip"] = "tolerance"
    """tolerance: differences beyond what good pairs show; changechip: clusters of differences, as published."""
    pose: Literal["fixed", "small", "any"] | None = None
    """How far an image may be from the golden one. fixed: 2 % of the side, 1.5 degrees, 2 % of scale; small: 5 %, 5
    degrees, 5 %; any: as far as features match. Default: learnt from the good pairs; any where these are simulated."""
    unseen: Literal["error", "review"] = "error"
    """What becomes of an image that is not NG, but does not show 99 % of the golden one within image.roi."""
    bend: bool | None = None
    """Whether parts bend, lift or stretch, as labels, films and boards do that warp. A smooth bend of at most 1.5 % of
    the shorter side, and 24 pixels, is sought after the pose. Default: learnt from the good pairs; not where these are
    simulated."""
    shift: int = Field(2, ge=0, le=4)
    """tolerance: pixels by which an edge may lie elsewhere without being a change."""
    floor: float = Field(0.04, gt=0, le=1)
    """tolerance: contrast that is unremarkable anywhere, share of white."""
    caution: float = Field(3.0, ge=0, le=20)
    """tolerance: how many times the spread of good pairs is added to the floor."""
    looks: int = Field(3, ge=0, le=8)
    """tolerance: looks that a place may have beside that of the golden image, such as a second supplier's component:
    each one that at least three good images of the fit show alike. 0: none."""
    clusters: int = Field(16, ge=2, le=64)
    """changechip: number of clusters of differences."""
    window: int = Field(5, ge=1, le=9)
    """changechip: side of the window that describes a pixel, in pixels; odd."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError(f"window {self.window} has no middle pixel: use {self.window + 1}")
        return self

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """Pose and what was not seen are the host's. The spread per pixel is learnt without tiles only.

        changechip: its clusters are those of the whole image, and no unit of its map says what is unremarkable.
        """
        info = replace(info, pose=self.pose or "learnt", unseen=self.unseen, bend=self.bend)
        if self.method == "tolerance":
            return info
        defaults = {name: value for name, value in info.defaults.items() if name != "score.least"}
        return replace(info, positional=True, defaults=defaults)
