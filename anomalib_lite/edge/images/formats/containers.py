"""The byte structure of image files, where Pillow decodes too early or checks too little."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO


def exif_orientation(exif: bytes) -> int:
    """Tag 0x0112 of the first directory of an EXIF block, 1..8; 1 where it is absent or damaged."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * entry)
            if tag == 0x0112:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(type, length) of each chunk, the file standing at its content. Stops after IEND or at the end of the file."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        content = file.tell()
        yield kind, length
        if kind == b"IEND":
            return
        file.seek(content + length + 4)


def png_problem(data: bytes) -> str:
    """`truncated` if a PNG file does not reach its end, `damaged` if a checksum is wrong; otherwise empty."""
    view, file = memoryview(data), BytesIO(data)
    last = b""
    for kind, length in png_chunks(file):
        at, last = file.tell(), kind
        if at + length + 4 > len(data):
            return "truncated"
        if zlib.crc32(view[at - 4 : at + length]) != int.from_bytes(view[at + length : at + length + 4], "big"):
            return "damaged"
    return "" if last == b"IEND" else "truncated"


def jpeg_scan(data: bytes) -> int:
    """Where the first scan starts: before it, an embedded preview may have an end marker of its own."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1] != 0xDA:
        stuffing = data[at + 1] == 0xFF
        at += 1 if stuffing else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(type, length) of each chunk, the file standing at its content."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        kind, length = struct.unpack("<4sI", head)
        content = file.tell()
        yield kind, length
        file.seek(content + length + length % 2)


def webp_canvas(chunks: dict[bytes, bytes]) -> tuple[tuple[int, int], bool]:
    """(width, height), and whether there is an alpha channel: from the extended, the lossless or the lossy header."""
    if head := chunks.get(b"VP8X"):
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (4, 7))
        return (width, height), bool(head[0] & 0x10)
    if head := chunks.get(b"VP8L"):
        bits = int.from_bytes(head[1:5], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)
    width, height = struct.unpack("<HH", chunks[b"VP8 "][6:10])
    return (width & 0x3FFF, height & 0x3FFF), False
