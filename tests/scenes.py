"""What a camera must not be believed: made of a good picture (H, W, C), not as it was learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[Any]  # (H, W, C), uint8, C is 1 or 3


def wrong_scenes(pixels: Pixels, random: np.random.Generator, product: Pixels, modality: Pixels) -> dict[str, Pixels]:
    """Twelve of them by name; `product` and `modality` are brought to the size and the channels of `pixels`."""
    height, width, channels = pixels.shape
    half = pixels.copy()
    half[height // 2 :] = 0
    overexposed = 1.3 * 230 / max(float(np.median(pixels)), 1)
    return {
        "no light": lit(pixels, 0.0, random),
        "5 % of the light": lit(pixels, 0.05, random),
        "10 % of the light": lit(pixels, 0.1, random),
        "overexposed": lit(pixels, overexposed, random),
        "noise": random.integers(0, 256, pixels.shape).astype(np.uint8),
        "lower half black": half,
        "inverted": 255 - pixels,
        "strong defocus": blurred(pixels, 0.04 * max(height, width)),
        "another product": fitted(product, height, width, channels),
        "the empty belt": belt(pixels, random),
        "a quarter of the size": fitted(pixels, height // 2, width // 2, channels),
        "another modality": fitted(modality, height, width, channels),
    }


def lit(pixels: Pixels, gain: float, random: np.random.Generator, noise: float = 1.0) -> Pixels:
    """The same under another lamp, with noise of the camera, a standard deviation in grey levels."""
    return np.asarray(np.clip(np.rint(pixels * gain + random.normal(0, noise, pixels.shape)), 0, 255), np.uint8)


def blurred(pixels: Pixels, radius: float) -> Pixels:
    """Out of focus by a Gaussian of that standard deviation in pixels."""
    return _array(_image(pixels).filter(ImageFilter.GaussianBlur(radius)))


def belt(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A plain surface of the colour at the border of the image, unevenly lit."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean(0)
    light = np.linspace(0.9, 1.1, pixels.shape[1])[None, :, None]
    return np.asarray(np.clip(np.rint(edge * light + random.normal(0, 2, pixels.shape)), 0, 255), np.uint8)


def fitted(pixels: Pixels, height: int, width: int, channels: int) -> Pixels:
    """At that size, grey or in colour."""
    image = _image(pixels).resize((max(1, width), max(1, height)), Image.Resampling.BILINEAR)
    return _array(image.convert("RGB" if channels == 3 else "L"))


def slice_of_a_head(random: np.random.Generator, side: int = 256) -> Pixels:
    """As a tomograph sees it: tissue within a bright skull, darker ventricles, nothing around; (side, side, 1)."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    radius = np.hypot(x / random.uniform(0.6, 0.75), y / random.uniform(0.8, 0.9))
    ventricles = np.hypot((np.abs(x) - 0.15) / 0.09, (y + random.uniform(-0.1, 0.1)) / 0.25)
    level = np.where(radius < 1, 220.0, 0.0)
    level = np.where(radius < 0.92, 120 + 20 * np.sin(9 * x + random.uniform(0, 6)) * np.sin(7 * y), level)
    level = np.where(ventricles < 1, 40, level)
    return np.clip(level + random.normal(0, 4, level.shape), 0, 255).astype(np.uint8)[..., None]


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _array(image: Image.Image) -> Pixels:
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
