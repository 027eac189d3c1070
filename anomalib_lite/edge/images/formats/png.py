"""PNG: header and checksums read here, since Pillow shows 16-bit colour as 8 bit and skips damage."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO

from PIL.PngImagePlugin import PngImageFile

from anomalib_lite.edge.images.formats import containers
from anomalib_lite.edge.images.formats.stored import (
    OPAQUE,
    Raster,
    Stored,
    array,
    damaged,
    made,
    orient,
    refused,
    several_frames,
    truncated,
)


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a PNG file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    chunks = {}
    for kind, length in containers.png_chunks(file):
        if kind in (b"IHDR", b"acTL", b"eXIf", b"tRNS") and length <= 1 << 20:
            chunks[kind] = file.read(length)
            file.seek(-len(chunks[kind]), 1)
    width, height, depth, colour = struct.unpack(">IIBB", chunks.get(b"IHDR", b"")[:10])
    if depth == 16 and (colour != 0 or b"tRNS" in chunks):
        raise refused(name, "16-bit colour" if colour in (2, 6) else "16-bit grey with transparency")
    if int.from_bytes(chunks.get(b"acTL", b"")[:4], "big") > 1:
        raise several_frames(name)
    mode = "I;16" if depth == 16 else {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}[colour]
    orientation = containers.exif_orientation(chunks.get(b"eXIf", b""))

    def pixels(data: bytes) -> Raster:
        problem = containers.png_problem(data)
        if problem:
            raise truncated(name) if problem == "truncated" else damaged(name)
        return orient(array(PngImageFile(BytesIO(data)), name), orientation)

    note = OPAQUE if b"tRNS" in chunks or colour > 3 else ""
    return made("PNG", (width, height), mode, orientation, pixels, note)
