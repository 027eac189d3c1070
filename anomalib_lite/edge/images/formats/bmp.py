"""BMP, of Windows and of OS/2; and the same without its file header, as in .dib files."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO

from PIL.BmpImagePlugin import BmpImageFile, DibImageFile

from anomalib_lite.edge.images.formats.stored import (
    OPAQUE,
    Raster,
    Stored,
    array,
    damaged,
    made,
    refused,
    truncated,
)

FILE_HEADER = 14  # bytes
CORE, OS2_2 = 12, 64  # bytes of the headers of OS/2, versions 1 and 2
HEADERS = (CORE, 40, 52, 56, OS2_2, 108, 124)
RAW, BITFIELDS = 0, 3


def is_bare(head: bytes) -> bool:
    """Whether a file of these first bytes is a BMP without its file header."""
    size = int.from_bytes(head[:4], "little")
    at = 8 if size == CORE else 12
    return size in HEADERS and head[at : at + 2] == b"\1\0"  # one plane


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a BMP file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    bare = file.read(2) != b"BM"
    at = 0 if bare else FILE_HEADER
    file.seek(at)
    head = file.read(20)
    if len(head) < 20:
        raise truncated(name)
    size = int.from_bytes(head[:4], "little")
    if size not in HEADERS:
        raise refused(name, f"a BMP with a header of {size} bytes")
    bits, compression = (
        (struct.unpack_from("<H", head, 10)[0], RAW) if size == CORE else struct.unpack("<HI", head[14:])
    )
    if compression not in ((RAW,) if size == OS2_2 else (RAW, BITFIELDS)):
        raise refused(name, "a compressed BMP")
    kind = DibImageFile if bare else BmpImageFile
    file.seek(0)
    try:
        image = kind(file)
    except (OSError, SyntaxError) as error:
        raise damaged(name, "a BMP whose header makes no sense") from error
    start = image.tile[0][2]
    if start < at + size:
        raise damaged(name, "its pixels begin within its header")
    end = start + (bits * image.width + 31) // 32 * 4 * image.height

    def pixels(data: bytes) -> Raster:
        if end > len(data):
            raise truncated(name)
        return array(kind(BytesIO(data)), name)

    return made("BMP", image.size, image.mode, 1, pixels, OPAQUE if image.has_transparency_data else "")
