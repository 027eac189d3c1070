"""Which format a file has, whatever it is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

from anomalib_lite.edge.images.formats import bmp, jpeg, netpbm, png, tiff, webp
from anomalib_lite.edge.images.formats.stored import Stored
from anomalib_lite.errors import ErrorCode, ImageError

KNOWN = {  # what is told of files that are images of another kind
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"v/1\x01": "OpenEXR",
    b"\x89HDF": "HDF5",
    b"SIMPLE": "FITS",
}
BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF"}


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of an image, whatever its file is called, and refuse what the rules do not cover.

    Raises:
        ImageError: The file is not one of the formats, or holds what the rules of `formats` refuse.
    """
    head = file.read(16)
    file.seek(0)
    read = reader_of(head)
    if read is None:
        found = _other(head)
        what = f"{found}, which is not read here" if found else "not an image that can be read"
        raise ImageError(
            f"{name}: {what}; expected PNG, JPEG, TIFF, BMP, WebP or PGM: save it as one of them, or install a plugin "
            "that reads such files",
            ErrorCode.UNREADABLE,
        )
    return read(file, name)


def reader_of(head: bytes) -> Callable[[BinaryIO, str], Stored] | None:
    """What reads a file of these first 16 bytes; None where nothing here does."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return png.identify
    if head.startswith(b"\xff\xd8\xff"):
        return jpeg.identify
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return tiff.identify
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return webp.identify
    if head.startswith(b"BM") or bmp.is_bare(head):
        return bmp.identify
    if re.match(rb"P[1-7f]\s", head, re.IGNORECASE):
        return netpbm.identify
    return None


def _other(head: bytes) -> str | None:
    """The name of another kind of image."""
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12])
    return next((kind for start, kind in KNOWN.items() if head.startswith(start)), None)
