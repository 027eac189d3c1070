"""PNG: read here, but for the pixels, since Pillow shows 16-bit colour as 8 bit, and passes over what is missing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from anomalib_lite.edge.images.formats import containers
from anomalib_lite.edge.images.formats.stored import (
    MANY,
    OPAQUE,
    Raster,
    Stored,
    array,
    damaged,
    decoded,
    made,
    orient,
    refused,
    several_frames,
    truncated,
)

GREY, COLOUR, PALETTE, ALPHA = 0, 2, 3, 4  # colour types; ALPHA is added to GREY or COLOUR
MODES = {  # (bits, colour type) -> Pillow's mode, and how the bits are unpacked
    (1, GREY): ("1", "1"),
    (2, GREY): ("L", "L;2"),
    (4, GREY): ("L", "L;4"),
    (8, GREY): ("L", "L"),
    (16, GREY): ("I;16", "I;16B"),
    (8, COLOUR): ("RGB", "RGB"),
    (1, PALETTE): ("P", "P;1"),
    (2, PALETTE): ("P", "P;2"),
    (4, PALETTE): ("P", "P;4"),
    (8, PALETTE): ("P", "P"),
    (8, GREY + ALPHA): ("LA", "LA"),
    (8, COLOUR + ALPHA): ("RGBA", "RGBA"),
}
READ = (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"eXIf")
FILLS: dict[str, tuple[Any, Any]] = {  # two values for what is not decoded
    "1": (0, 255),
    "LA": ((3, 5), (5, 3)),
    "RGB": ((3, 5, 7), (7, 5, 3)),
    "RGBA": ((3, 5, 7, 9), (9, 7, 5, 3)),
}


class _Chunk(NamedTuple):
    kind: bytes
    start: int  # of its content in the file
    length: int


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    bits: int
    colour: int
    interlaced: bool
    chunks: dict[bytes, bytes]  # those of `READ`


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a PNG file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    header = _header(file, name)
    if header.bits == 16 and (header.colour != GREY or b"tRNS" in header.chunks):
        found = "16-bit colour" if header.colour & COLOUR else "16-bit grey with transparency"
        raise refused(name, found)
    if int.from_bytes(header.chunks.get(b"acTL", b"")[:4], "big") > 1:
        raise several_frames(name)
    mode, _ = MODES[header.bits, header.colour]
    orientation = containers.exif_orientation(header.chunks.get(b"eXIf", b""))
    note = OPAQUE if b"tRNS" in header.chunks or header.colour & ALPHA else ""
    size = (header.width, header.height)
    return made("PNG", size, mode, orientation, lambda data: orient(_pixels(data, header, name), orientation), note)


def _header(file: BinaryIO, name: str) -> _Header:
    chunks: dict[bytes, bytes] = {}
    for kind, _, length in _chunks(file, name):
        if kind in READ and kind not in chunks and length <= 1 << 20:
            chunks[kind] = file.read(length)
    if len(chunks.get(b"IHDR", b"")) != 13:
        raise damaged(name, "a PNG without a header")
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    known = (bits, colour) in MODES or (bits == 16 and colour in (GREY, COLOUR, GREY + ALPHA, COLOUR + ALPHA))
    if not known or interlaced > 1 or (colour == PALETTE and not chunks.get(b"PLTE")):
        raise damaged(name, "its header contradicts itself")
    return _Header(width, height, bits, colour, bool(interlaced), chunks)


def _chunks(file: BinaryIO, name: str) -> Iterator[_Chunk]:
    """Each chunk, the file standing at its content. Stops behind IEND or at the end of the file."""
    at = 8
    for _ in range(MANY):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield _Chunk(kind, at + 8, length)
        if kind == b"IEND":
            return
        at += length + 12
    raise damaged(name, f"a PNG of more than {MANY:,} chunks")


def _pixels(data: bytes, header: _Header, name: str) -> Raster:
    """Decode it, every row counted."""
    stream = _stream(data, name)
    mode, unpacked = MODES[header.bits, header.colour]
    size = (header.width, header.height)
    for fill in FILLS.get(mode, (3, 7)):
        image = decoded(name, mode, size, ("zip", unpacked, int(header.interlaced)), stream, fill)
        if not _is_filled(image, fill, interlaced=header.interlaced):
            return array(_with_colours(image, header, name), name)
    raise truncated(name)  # whatever the last row is filled with stays: it was never decoded


def _stream(data: bytes, name: str) -> list[bytes]:
    """The compressed pixels, once all chunks are there, and have their checksums."""
    view, stream, last = memoryview(data), [], b""
    for kind, start, length in _chunks(BytesIO(data), name):
        if start + length + 4 > len(data):
            raise truncated(name)
        if zlib.crc32(view[start - 4 : start + length]) != int.from_bytes(view[start + length :][:4], "big"):
            raise damaged(name, "a checksum is wrong")
        if kind == b"IDAT":
            stream.append(data[start : start + length])
        last = kind
    if last != b"IEND":
        raise truncated(name)
    return stream


def _is_filled(image: Image.Image, fill: Any, *, interlaced: bool) -> bool:
    """Whether the pixels that are decoded last still have the value from before."""
    width, height = image.size
    row = (height - 2) | 1 if interlaced and height > 1 else height - 1
    last = np.asarray(image.crop((0, row, width, row + 1)))[0]
    if interlaced and height == 1 and width > 1:
        last = last[1::2]
    return bool((last == np.asarray(fill)).all()) if image.mode != "1" else bool((last == bool(fill)).all())


def _with_colours(image: Image.Image, header: _Header, name: str) -> Image.Image:
    """The image with its palette and its transparent colours."""
    clear = header.chunks.get(b"tRNS")
    if header.colour == PALETTE:
        palette = header.chunks[b"PLTE"]
        if any(image.histogram()[len(palette) // 3 :]):
            raise damaged(name, "a colour that its palette lacks")
        image.putpalette(palette, "RGB")
        if clear is not None:
            image.info["transparency"] = clear
    elif clear is not None:
        if len(clear) != (2 if header.colour == GREY else 6):
            raise damaged(name, "a transparent colour of another kind than its pixels")
        values = tuple(int.from_bytes(clear[at : at + 2], "big") for at in range(0, len(clear), 2))
        spread = 255 // (2**header.bits - 1)
        image.info["transparency"] = values[0] * spread if header.colour == GREY else values
    return image
