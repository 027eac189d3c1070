"""The gate before the verdict: an image that looks like none of the training is not judged.

Cheap statistics of the whole image, as it was recorded, and the distance of its features where a model has the graph
for them, against limits that were learnt from the images of the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from anomalib_lite.edge.images.appearance import Appearance, appearance
from anomalib_lite.edge.images.picture import Pixels
from anomalib_lite.edge.manifest import GateRecord, ImageSpec
from anomalib_lite.edge.runtime import Glance

OFF = "gate off"  # note of a result
REMEDY = "Check light, camera and product; where such images are to be judged, train with them"


class Words(NamedTuple):
    """What is said of a statistic, and of an image in which it is below its limits, and above them."""

    name: str
    below: str  # "... than any of the training"
    above: str


WORDS = {
    "width": Words("width", "narrower", "wider"),
    "height": Words("height", "lower", "higher"),
    "brightness": Words("mean", "darker", "brighter"),
    "dark": Words("level of the darkest 5 %", "darker in its shadows", "brighter in its shadows"),
    "bright": Words("level of the brightest 5 %", "darker in its lights", "brighter in its lights"),
    "darkest": Words("share at the lowest level", "less clipped in the dark", "more clipped in the dark"),
    "brightest": Words("share at the highest level", "less clipped in the light", "more clipped in the light"),
    "middle": Words("place of the median", "darker in most places", "brighter in most places"),
    "detail": Words("step between pixels", "poorer in detail", "richer in detail"),
    "blur": Words("step over 2 pixels by step over 1", "sharper, or noisier,", "less sharp"),
    "coarseness": Words("step over 8 pixels by step over 4", "finer in structure", "coarser in structure"),
    "grain": Words("noise by detail", "less noisy", "noisier"),
    "direction": Words("detail across by detail down", "poorer in upright edges", "richer in upright edges"),
    "quiet": Words("spread of its even parts", "emptier", "busier"),
    "upper_lower": Words("lower half less upper half", "darker below", "darker above"),
    "left_right": Words("right half less left half", "darker on the right", "darker on the left"),
    "likeness": Words("correlation with their mean", "otherwise divided into light and dark", "more like their mean"),
    "red": Words("red less green", "less red", "redder"),
    "blue": Words("blue less green", "less blue", "bluer"),
    "features": Words("distance of features", "nearer to the middle", "stranger in structure"),
}


def statistics(found: Appearance, spec: ImageSpec, coarse: tuple[float, ...]) -> dict[str, float]:
    """All statistics of an image by name; levels in units of its pixels.

    Args:
        found: What it looks like.
        spec: What is black and what is white.
        coarse: (64,) the mean picture that `likeness` is measured against; empty where it is not.
    """
    unit, (one, two, four, eight) = (spec.white - spec.black) / 255, found.steps
    upper, lower = float(found.coarse[:4].sum()), float(found.coarse[4:].sum())
    left, right = float(found.coarse[:, :4].sum()), float(found.coarse[:, 4:].sum())
    span, light = found.bright - found.dark + 2 * unit, max(found.mean - spec.black, 0) + 5 * unit
    return {
        "width": float(found.width),
        "height": float(found.height),
        "brightness": max(found.mean, spec.black),
        "dark": found.dark,
        "bright": found.bright,
        "darkest": found.darkest,
        "brightest": found.brightest,
        "middle": (found.middle - found.dark + unit) / span,
        "detail": one,
        "blur": (two + 0.05 * unit) / (one + 0.05 * unit),
        "coarseness": (eight + 0.05 * unit) / (four + 0.05 * unit),
        "grain": (found.grain + 0.05 * unit) / (one + 0.05 * unit),
        "direction": (found.across + 0.5 * unit) / (four - found.across + 0.5 * unit),
        "quiet": found.quiet,
        "upper_lower": (lower - upper) / 32 / span,
        "left_right": (right - left) / 32 / span,
        "likeness": likeness(found, coarse, unit) if coarse else 0.0,
        "red": found.red / light,
        "blue": found.blue / light,
    }


def likeness(found: Appearance, coarse: tuple[float, ...], unit: float) -> float:
    """Correlation of an image's cells with those of a mean picture, in [-1, 1]; near 0 where one is flat."""
    own = found.coarse.ravel() - found.coarse.mean()
    mean = np.array(coarse) - np.mean(coarse)
    flat = 64 * unit * unit
    return float(own @ mean) / sqrt((float(own @ own) + flat) * (float(mean @ mean) + flat))


@dataclass(frozen=True)
class Gate:
    """The limits of one model."""

    record: GateRecord
    spec: ImageSpec
    glance: Glance | None = None  # exactly where features have a limit

    @property
    def refuses(self) -> bool:
        """Whether what it refuses is not judged at all, instead of shown to a person."""
        return self.record.verdict == "error"

    def objection(self, pixels: Pixels) -> str | None:
        """Why an image (H, W, C) of the model's depth and channels is not like those of the training; None if it is."""
        record = self.record
        if not record.enabled:
            return None
        return self.beyond(appearance(pixels), None if self.glance is None else self.glance.distance(pixels))

    def beyond(self, found: Appearance, distance: float | None) -> str | None:
        """The same of what an image looks like, and how far its features lie from those of the training."""
        values = statistics(found, self.spec, self.record.coarse)
        if distance is not None:
            values["features"] = distance
        return said(values, self.record.limits)


def said(values: Mapping[str, float], limits: Mapping[str, tuple[float, float]]) -> str | None:
    """The first statistic beyond its limits, in words; how many more there are; None where all are within."""
    beyond = [name for name in WORDS if name in limits and not limits[name][0] <= values[name] <= limits[name][1]]
    if not beyond:
        return None
    value, (low, high), words = values[beyond[0]], limits[beyond[0]], WORDS[beyond[0]]
    more = f", and {len(beyond) - 1} more of {len(limits)} statistics are beyond theirs" if beyond[1:] else ""
    how = words.below if value < low else words.above
    limited = f"{words.name} {_shown(value)}, limits {_shown(low)} to {_shown(high)}{more}"
    return f"the image is {how} than any of the training: {limited}. {REMEDY}"


def _shown(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
