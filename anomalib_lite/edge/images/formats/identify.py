"""Which format a file has, whatever it is called."""

from __future__ import annotations

import re
from typing import BinaryIO

from anomalib_lite.edge.images.formats import bmp, jpeg, netpbm, png, tiff, webp
from anomalib_lite.edge.images.formats.stored import Stored
from anomalib_lite.errors import ErrorCode, ImageError


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of an image, whatever its file is called, and refuse what the rules do not cover.

    Raises:
        ImageError: the file is not one of the formats, or holds what the rules above refuse.
    """
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return png.identify(file, name)
    if head.startswith(b"\xff\xd8\xff"):
        return jpeg.identify(file, name)
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return tiff.identify(file, name)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return webp.identify(file, name)
    if head.startswith(b"BM"):
        return bmp.identify(file, name)
    if re.match(rb"P[1-7f]\s", head, re.IGNORECASE):
        return netpbm.identify(file, name)
    raise ImageError(
        f"{name}: not an image that can be read; expected PNG, JPEG, TIFF, BMP, WebP or PGM", ErrorCode.UNREADABLE
    )
