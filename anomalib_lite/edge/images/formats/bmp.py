"""BMP."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO

from PIL.BmpImagePlugin import BmpImageFile

from anomalib_lite.edge.images.formats.stored import (
    OPAQUE,
    Raster,
    Stored,
    array,
    made,
    refused,
    truncated,
)


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a BMP file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    head = file.read(34)
    start, bits, compression = struct.unpack("<I14xHI", head[10:34])
    if compression not in (0, 3):
        raise refused(name, "a compressed BMP")
    file.seek(0)
    image = BmpImageFile(file)
    end = start + (bits * image.width + 31) // 32 * 4 * image.height

    def pixels(data: bytes) -> Raster:
        if end > len(data):
            raise truncated(name)
        return array(BmpImageFile(BytesIO(data)), name)

    return made("BMP", image.size, image.mode, 1, pixels, OPAQUE if image.has_transparency_data else "")
