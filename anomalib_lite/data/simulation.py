"""Simulated inspections: what a camera might see of a golden part, where no good part was photographed yet.

They vary what a station varies (pose, light, focus, noise) and a little of what parts vary (edges that wander by a
fraction of a pixel). They cannot know how real parts differ: a bound from them says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.data import DataSet, Sample
from anomalib_lite.data.samples import count as counted
from anomalib_lite.edge.images import imaging
from anomalib_lite.errors import DataError

TURN = 1.0  # degrees, either way
SHIFT = 0.01  # of the shorter side, either way
SCALE = 0.01  # either way
WANDER = 1.0  # pixels: standard deviation of where an edge lies
WAVELENGTH = 12  # pixels: over which it wanders
LIGHT = 0.1  # gain, and its change across the image, either way
BLUR = 0.7  # pixels, at most
NOISE = 0.01  # share of the range, at most


def simulate(dataset: DataSet, number: int, seed: int, folder: Path) -> DataSet:
    """Write simulated inspections of golden images as PNG files.

    Args:
        dataset: Its samples are golden images.
        number: How many inspections of each.
        seed: Sets all of them.
        folder: Where they are written.

    Returns:
        One sample per inspection, with its golden image as reference, each a part of its own.

    Raises:
        DataError: A golden image is of a type that PNG does not have.
    """
    samples = []
    for place, golden in enumerate(dataset.samples):
        pixels = dataset.opener.read(golden.path).pixels
        if pixels.dtype.kind != "u" or pixels.shape[2] not in (1, 3):
            raise DataError(
                f"{golden.path}: --simulate takes grey and colour of 8 and 16 bits, this is {pixels.dtype} with "
                f"{counted(pixels.shape[2], 'channel')}. Give photographs of good parts, with --golden."
            )
        for count in range(number):
            name = f"{place:04}_{count:04}.png"
            seen = inspection(pixels, np.random.default_rng([seed, place, count]))
            Image.fromarray(seen[..., 0] if seen.shape[2] == 1 else seen).save(folder / name)
            samples.append(Sample(folder / name, f"simulated/{name}", "good", group=name, reference=golden.path))
    note = f"simulated: {number} inspections of each of {len(dataset.samples)} golden images"
    return DataSet(dataset.root, "golden images", samples, [*dataset.notes, note], opener=dataset.opener)


def inspection(golden: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """One simulated inspection of a golden image (H, W, C), of its size and dtype; its border is replicated."""
    height, width = golden.shape[:2]
    top = float(np.iinfo(golden.dtype).max)
    x, y = _places(height, width, random)
    sigma, gain = random.uniform(0, BLUR), 1 + random.uniform(-LIGHT, LIGHT)
    planes = [_blurred(_sampled(plane, x, y), sigma) for plane in np.moveaxis(golden.astype(np.float32), 2, 0)]
    down, across = random.uniform(-LIGHT, LIGHT, 2)
    slope = down * np.linspace(-0.5, 0.5, height)[:, None] + across * np.linspace(-0.5, 0.5, width)
    seen = np.stack(planes, axis=2) * (gain + slope)[..., None]
    seen += random.normal(0, random.uniform(0, NOISE) * top, seen.shape)
    return np.asarray(np.clip(np.rint(seen), 0, top), golden.dtype)


def _places(height: int, width: int, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where in the golden image each pixel (H, W) is seen: a turn, a shift and a scale, and edges that wander."""
    angle, scale = np.radians(random.uniform(-TURN, TURN)), 1 + random.uniform(-SCALE, SCALE)
    shift = random.uniform(-SHIFT, SHIFT, 2) * min(height, width)
    y, x = np.mgrid[0:height, 0:width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    coarse = (max(2, height // WAVELENGTH), max(2, width // WAVELENGTH))
    wander = [imaging.resize_map(random.normal(0, WANDER, coarse).astype(np.float32), height, width) for _ in range(2)]
    turned_x = scale * (np.cos(angle) * x + np.sin(angle) * y) + shift[0] + (width - 1) / 2 + wander[0]
    turned_y = scale * (np.cos(angle) * y - np.sin(angle) * x) + shift[1] + (height - 1) / 2 + wander[1]
    return turned_x.clip(0, width - 1), turned_y.clip(0, height - 1)


def _sampled(plane: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """A plane (H, W) at places inside of it, linearly interpolated."""
    left = np.minimum(x.astype(np.intp), plane.shape[1] - 2)
    above = np.minimum(y.astype(np.intp), plane.shape[0] - 2)
    right_share, below_share = (x - left).astype(np.float32), (y - above).astype(np.float32)
    upper = plane[above, left] * (1 - right_share) + plane[above, left + 1] * right_share
    lower = plane[above + 1, left] * (1 - right_share) + plane[above + 1, left + 1] * right_share
    return np.asarray(upper * (1 - below_share) + lower * below_share)


def _blurred(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur of a standard deviation in pixels, below 1: five taps are enough."""
    taps = np.exp(-0.5 * (np.arange(-2, 3) / max(sigma, 1e-3)) ** 2).astype(np.float32)
    taps /= taps.sum()
    for axis in (0, 1):
        padded = np.pad(plane, [(2, 2) if one == axis else (0, 0) for one in (0, 1)], mode="edge")
        length = plane.shape[axis]
        plane = sum(tap * padded.take(range(k, k + length), axis) for k, tap in enumerate(taps))
    return plane
