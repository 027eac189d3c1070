"""Images to check a detector on: an aligned plate that differs in noise and light, and defects planted on it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.manifest import ImageSpec

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

NOISE = 0.012  # standard deviation of a pixel, share of white
LIGHT = 0.02  # half the range of an image's brightness, share of white
DEFECT = 0.16  # side of a planted defect, share of the shorter side of the image


def golden(spec: ImageSpec) -> Pixels:
    """The plate without noise (H, W, C): bands that fade into each other, and a fine grid."""
    return _digital(_plate(spec), spec)


def good(spec: ImageSpec, seed: int) -> Pixels:
    """A photograph of a good plate (H, W, C): its own noise, a little lighter or darker."""
    random = np.random.default_rng([1, seed])
    return _digital(_photograph(_plate(spec), random), spec)


def defective(spec: ImageSpec, seed: int) -> Pixels:
    """The same photograph as `good(spec, seed)`, with a coarse dark and bright spot somewhere inside."""
    random = np.random.default_rng([1, seed])
    plate = _photograph(_plate(spec), random)
    side = max(4, round(DEFECT * min(spec.height, spec.width)))
    margin = min(side, (min(spec.height, spec.width) - side) // 2)
    top = int(random.integers(margin, spec.height - side - margin + 1))
    left = int(random.integers(margin, spec.width - side - margin + 1))
    spot = np.where(random.random((-(-side // 3), -(-side // 3), 1)) < 0.5, -0.35, 0.35)
    plate[top : top + side, left : left + side] += spot.repeat(3, 0).repeat(3, 1)[:side, :side]
    return _digital(plate, spec)


def featureless(spec: ImageSpec, seed: int) -> Pixels:
    """Plain grey with the noise of a photograph (H, W, C): every place is like every other."""
    random = np.random.default_rng([2, seed])
    return _digital(0.5 + random.normal(0, NOISE, (spec.height, spec.width, spec.channels)), spec)


def _plate(spec: ImageSpec) -> NDArray[np.float64]:
    y = np.arange(spec.height)[:, None, None] / spec.height
    x = np.arange(spec.width)[None, :, None] / spec.width
    hue = np.linspace(-0.03, 0.03, spec.channels)
    bands = 0.2 * np.sin(2 * np.pi * x) * np.cos(2 * np.pi * y)
    grid = 0.02 * (np.cos(16 * np.pi * x) + np.cos(12 * np.pi * y))
    return np.asarray(0.5 + bands + grid + hue, dtype=np.float64)


def _photograph(plate: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    light = random.uniform(-LIGHT, LIGHT)
    return plate + light + random.normal(0, NOISE, plate.shape)


def _digital(share: NDArray[np.float64], spec: ImageSpec) -> Pixels:
    pixels: Pixels = (share.clip(0, 1) * spec.white).round().astype(spec.dtype)
    return pixels
