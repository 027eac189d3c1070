"""WebP: header read here, and decoded without Pillow's file class, which holds the image several times over."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import _webp

from anomalib_lite.edge.images.formats import containers
from anomalib_lite.edge.images.formats.stored import (
    BAND,
    OPAQUE,
    Raster,
    Stored,
    damaged,
    made,
    orient,
    refused,
    several_frames,
    truncated,
)


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a WebP file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    chunks: dict[bytes, bytes] = {}
    frames = 0
    for kind, length in containers.webp_chunks(file, name):
        frames += kind == b"ANMF"
        chunks.setdefault(kind, file.read(min(length, 1 << 20) if kind == b"EXIF" else 12))
    if frames > 1:
        raise several_frames(name)
    found = containers.webp_canvas(chunks)
    if found is None:
        raise damaged(name, "a WebP without a picture")
    size, alpha = found
    if frames and containers.webp_frame(chunks[b"ANMF"]) != (0, 0, *size):
        raise refused(name, "a frame smaller than its picture", "save it as an ordinary WebP")
    orientation = containers.exif_orientation(chunks.get(b"EXIF", b""))

    def pixels(data: bytes) -> Raster:
        if int.from_bytes(data[4:8], "little") + 8 > len(data):
            raise truncated(name)
        return orient(_decoded(data, size, name), orientation)

    return made("WEBP", size, "RGB", orientation, pixels, OPAQUE if alpha else "")


def _decoded(data: bytes, size: tuple[int, int], name: str) -> Raster:
    """(H, W, 3), once all of it is there: libwebp gives no part of an incomplete picture."""
    width, height = size
    try:
        decoder = _webp.WebPAnimDecoder(data)
        found = decoder.get_next()
    except OSError as error:
        raise truncated(name, "its picture is broken, or ends early") from error
    del decoder  # it holds the picture twice
    if found is None or len(found[0]) != 4 * width * height:
        raise truncated(name, "its picture is not the one that its header describes")
    rgba = np.frombuffer(found[0], np.uint8).reshape(height, width, 4)
    raster = np.empty((height, width, 3), np.uint8)
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        band = rgba[top : top + rows]
        if (band[..., 3] != 255).any():
            raise refused(name, "an image with transparent parts", "save it without an alpha channel")
        raster[top : top + rows] = band[..., :3]
    return raster
