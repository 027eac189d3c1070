"""WebP: header read here, since Pillow allocates the image to read it."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

from PIL.WebPImagePlugin import WebPImageFile

from anomalib_lite.edge.images.formats import containers
from anomalib_lite.edge.images.formats.stored import (
    OPAQUE,
    Raster,
    Stored,
    array,
    made,
    orient,
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
    for kind, length in containers.webp_chunks(file):
        frames += kind == b"ANMF"
        chunks.setdefault(kind, file.read(length if kind == b"EXIF" else 10))
    if frames > 1:
        raise several_frames(name)
    size, alpha = containers.webp_canvas(chunks)
    orientation = containers.exif_orientation(chunks.get(b"EXIF", b""))

    def pixels(data: bytes) -> Raster:
        if int.from_bytes(data[4:8], "little") + 8 > len(data):
            raise truncated(name)
        return orient(array(WebPImageFile(BytesIO(data)), name), orientation)

    return made("WEBP", size, "RGB", orientation, pixels, OPAQUE if alpha else "")
