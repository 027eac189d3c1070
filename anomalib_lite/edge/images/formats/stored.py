"""An image that was identified: what its file says of it, and how its pixels are decoded. Shared by all formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.errors import ErrorCode, ImageError

Raster = NDArray[Any]  # as it is stored: (H, W) or (H, W, C), uint8 or uint16

CHANNELS = {"1": 1, "L": 1, "LA": 1, "La": 1, "I;16": 1, "I;16B": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBa": 3}
OPAQUE = "opaque alpha dropped"


@dataclass(frozen=True, slots=True)
class Stored:
    """An image that was identified but not decoded. Its size is the size after orientation."""

    format: str
    height: int
    width: int
    channels: int
    dtype: str
    note: str
    pixels: Callable[[bytes], Raster]  # decodes the bytes of the whole file


def refused(name: str, found: str, remedy: str = "save it as 8-bit grey or RGB, or as 16-bit grey") -> ImageError:
    """What the rules do not cover, and what to do."""
    return ImageError(f"{name}: {found} cannot be inspected; {remedy}", ErrorCode.UNSUPPORTED_MODE)


def truncated(name: str) -> ImageError:
    """An incomplete file."""
    return ImageError(f"{name}: the file ends before the image does; copy or record it again", ErrorCode.TRUNCATED)


def damaged(name: str) -> ImageError:
    """A file whose checksum is wrong."""
    return ImageError(f"{name}: damaged, a checksum is wrong; copy or record it again", ErrorCode.UNREADABLE)


def several_frames(name: str) -> ImageError:
    """A file of several images."""
    return ImageError(
        f"{name}: several frames or pages in one file; save each as an image of its own", ErrorCode.SEVERAL_FRAMES
    )


def array(image: Image.Image, name: str) -> Raster:
    """Raster of a Pillow image of a mode in `CHANNELS`, (H, W) or (H, W, 3), writable."""
    if image.has_transparency_data:
        image = image.convert("LA" if CHANNELS[image.mode] == 1 else "RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise refused(name, "an image with transparent parts", "save it without an alpha channel")
    if image.mode in ("1", "P", "LA", "RGBA"):
        image = image.convert("L" if CHANNELS[image.mode] == 1 else "RGB")
    pixels = np.array(image)
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16)


def orient(pixels: Raster, orientation: int) -> Raster:
    """Turn stored pixels upright: EXIF orientations 1..8."""
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def made(
    kind: str, size: tuple[int, int], mode: str, orientation: int, pixels: Callable[[bytes], Raster], note: str = ""
) -> Stored:
    """`size` is (width, height) before orientation, as in the file."""
    width, height = size if orientation < 5 else size[::-1]
    dtype = "uint16" if mode.startswith("I;16") else "uint8"
    notes = [note] * bool(note) + ["EXIF orientation applied"] * (orientation > 1)
    return Stored(kind, height, width, CHANNELS[mode], dtype, ", ".join(notes), pixels)
