"""Learns the limits of the gate from the images of a fit: as far as these reach, and a margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from anomalib_lite.config import GateConfig
from anomalib_lite.data import Sample, Survey, groups
from anomalib_lite.edge.gate import statistics
from anomalib_lite.edge.images.appearance import SIDE
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import GateRecord, ImageSpec

MARGIN = 0.35  # of the range that the images of the fit span, on either side
FEW = 8  # parts: with as many, margins are twice as wide; with n, 1 + FEW / n times
WIDE = 20  # parts, below which it is said that the limits are wide
COMPARED = ("brightness", "blur", "grain")  # of images that are compared with their own golden one


class Scale(NamedTuple):
    """How a statistic varies, and the least margin on that scale."""

    kind: str  # "ratio": by factors; "light", "step": too, of levels above black and of differences; "share"; "level";
    least: float  # "plain": as it is


SCALES = {
    "width": Scale("ratio", 0.1),
    "height": Scale("ratio", 0.1),
    "brightness": Scale("light", 0.4),
    "dark": Scale("level", 0.1),
    "bright": Scale("level", 0.16),
    "darkest": Scale("share", 0.2),
    "brightest": Scale("share", 0.2),
    "middle": Scale("plain", 0.16),
    "detail": Scale("step", 0.4),
    "blur": Scale("ratio", 0.24),
    "coarseness": Scale("ratio", 0.24),
    "grain": Scale("ratio", 0.2),
    "direction": Scale("ratio", 0.3),
    "quiet": Scale("step", 0.6),
    "upper_lower": Scale("plain", 0.1),
    "left_right": Scale("plain", 0.1),
    "likeness": Scale("plain", 0.3),
    "red": Scale("plain", 0.1),
    "blue": Scale("plain", 0.1),
}


def learnt(
    asked: GateConfig, samples: Sequence[Sample], survey: Survey, framing: Framing, *, compares: bool
) -> GateRecord:
    """The limits for images like these.

    Args:
        asked: Whether there is to be a gate.
        samples: The images of the fit.
        survey: What they look like.
        framing: How they become inputs of the graph.
        compares: Whether each image is compared with its golden one, which knows better what product it is: then light,
            focus and noise alone have limits.
    """
    if not asked.enabled:
        return GateRecord.off()
    seen = [survey.facts[sample.path].appearance for sample in samples]
    total = sum((one.coarse for one in seen), np.zeros((SIDE, SIDE)))
    coarse = () if compares else tuple((total / len(seen)).ravel().tolist())
    parts = len(groups(samples))
    names = [name for name in SCALES if name in COMPARED or not compares]
    if framing.spec.channels != 3:
        names = [name for name in names if name not in ("red", "blue")]
    each = (tuple(map(statistics(one, framing.spec, coarse).__getitem__, names)) for one in seen)
    found = np.fromiter(each, np.dtype((np.float64, len(names))), len(seen))  # numbers alone: there may be millions
    limits = {
        name: _limits(values.tolist(), SCALES[name], framing.spec, parts)
        for name, values in zip(names, found.T, strict=True)
    }
    return GateRecord(True, asked.verdict, len(seen), parts, limits, coarse)


def _limits(values: Sequence[float], scale: Scale, spec: ImageSpec, parts: int) -> tuple[float, float]:
    """Lowest and highest value that is accepted."""
    there = [_scaled(value, scale.kind, spec) for value in values]
    low, high = min(there), max(there)
    margin = max(MARGIN * (high - low), scale.least) * (1 + FEW / parts)
    return _back(low - margin, scale.kind, spec), _back(high + margin, scale.kind, spec)


def _scaled(value: float, kind: str, spec: ImageSpec) -> float:
    if kind in ("ratio", "light", "step"):
        return math.log(value - _origin(kind, spec))
    if kind == "level":
        return value / (spec.white - spec.black)
    return math.sqrt(value) if kind == "share" else value


def _back(value: float, kind: str, spec: ImageSpec) -> float:
    if kind in ("ratio", "light", "step"):
        return math.exp(value) + _origin(kind, spec)
    if kind == "level":
        return value * (spec.white - spec.black)
    return max(value, 0.0) ** 2 if kind == "share" else value


def _origin(kind: str, spec: ImageSpec) -> float:
    """Where the logarithm begins: half a grey level below what is black, or below no difference at all."""
    half = (spec.white - spec.black) / 510
    return {"ratio": 0.0, "step": -half, "light": spec.black - half}[kind]


def told(record: GateRecord) -> list[str]:
    """What the user should know of a gate."""
    if not record.enabled:
        return ["gate off: an image of another product, or without light, is judged like any other"]
    if record.parts >= WIDE:
        return []
    return [
        f"gate: its limits were learnt from {record.images:,} images of {record.parts:,} parts and are wide, since "
        f"these are few; from {WIDE} parts on they narrow to what the images show"
    ]
