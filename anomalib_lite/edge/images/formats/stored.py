"""An image that was identified: what its file says of it, and how its pixels are decoded. Shared by all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.errors import ErrorCode, ImageError

Raster = NDArray[Any]  # as it is stored: (H, W) or (H, W, C), uint8 or uint16

CHANNELS = {"1": 1, "L": 1, "LA": 1, "La": 1, "I;16": 1, "I;16B": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBa": 3}
OPAQUE = "opaque alpha dropped"
MANY = 100_000  # chunks, segments, tiles: a file of more is refused, since each costs time
BAND = 1 << 20  # pixels that are copied at once: a whole copy more would be held otherwise


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
    orientation: int = 1  # EXIF, 1..8; 1 is upright


def refused(name: str, found: str, remedy: str = "save it as 8-bit grey or RGB, or as 16-bit grey") -> ImageError:
    """What the rules do not cover, and what to do."""
    return ImageError(f"{name}: {found} cannot be inspected; {remedy}", ErrorCode.UNSUPPORTED_MODE)


def truncated(name: str, found: str = "the file ends before the image does") -> ImageError:
    """An incomplete file."""
    return ImageError(f"{name}: {found}; copy or record it again", ErrorCode.TRUNCATED)


def damaged(name: str, found: str) -> ImageError:
    """A file that contradicts itself."""
    return ImageError(f"{name}: damaged, {found}; copy or record it again", ErrorCode.UNREADABLE)


def several_frames(name: str) -> ImageError:
    """A file of several images."""
    return ImageError(
        f"{name}: several frames or pages in one file; save each as an image of its own", ErrorCode.SEVERAL_FRAMES
    )


def decoded(
    name: str, mode: str, size: tuple[int, int], codec: tuple[Any, ...], pieces: Iterable[bytes], fill: Any = 0
) -> Image.Image:
    """Decode the pieces of a stream, and no more of them than the image needs.

    Pillow's decoders are called without its file classes, which tolerate what is missing, warn, and read what nobody
    asked for.

    Args:
        name: Of the file, for messages.
        mode: Pillow's.
        size: (width, height).
        codec: Name of Pillow's decoder, and its arguments.
        pieces: Of the stream, in order.
        fill: Value of what is not decoded.

    Raises:
        ImageError: `truncated` where the image needs more than there is, `unreadable` where the stream is broken.
    """
    image = Image.new(mode, size, fill)
    decoder = Image._getdecoder(mode, codec[0], codec[1:])
    decoder.setimage(image.im, (0, 0, *size))
    rest = b""
    try:
        for piece in pieces:
            rest += piece
            taken, fault = decoder.decode(rest)
            if taken < 0:
                if fault:
                    raise damaged(name, "its compressed data are broken")
                return image
            rest = rest[taken:]
    finally:
        decoder.cleanup()
    raise truncated(name)


def array(image: Image.Image, name: str) -> Raster:
    """Raster of a Pillow image of a mode in `CHANNELS`, (H, W) or (H, W, 3), writable."""
    if image.has_transparency_data:
        if image.mode not in ("LA", "RGBA"):
            image = image.convert("LA" if CHANNELS[image.mode] == 1 else "RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise refused(name, "an image with transparent parts", "save it without an alpha channel")
    if image.mode in ("1", "P"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    shape, dtype = (image.height, image.width), np.uint16 if image.mode.startswith("I;16") else np.uint8
    raster: Raster = np.empty(shape if CHANNELS[image.mode] == 1 else (*shape, 3), dtype)
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        band = np.asarray(image.crop((0, top, image.width, min(image.height, top + rows))))
        if image.mode in ("LA", "RGBA"):
            band = band[..., 0] if image.mode == "LA" else band[..., :3]
        raster[top : top + rows] = band
    return raster


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
    return Stored(kind, height, width, CHANNELS[mode], dtype, ", ".join(notes), pixels, orientation)
