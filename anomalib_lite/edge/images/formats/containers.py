"""The byte structure of image files, where Pillow decodes too early or checks too little."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from anomalib_lite.edge.images.formats.stored import MANY, damaged


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


def webp_chunks(file: BinaryIO, name: str) -> Iterator[tuple[bytes, int]]:
    """(type, length) of each chunk, the file standing at its content."""
    at = 12
    for _ in range(MANY):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length = struct.unpack("<4sI", head)
        yield kind, length
        at += 8 + length + length % 2
    raise damaged(name, f"a WebP of more than {MANY:,} chunks")


def webp_canvas(chunks: dict[bytes, bytes]) -> tuple[tuple[int, int], bool] | None:
    """(width, height), and whether there is an alpha channel: from the extended, the lossless or the lossy header."""
    if len(chunks.get(b"VP8X", chunks.get(b"VP8L", chunks.get(b"VP8 ", b"")))) < 10:
        return None
    if head := chunks.get(b"VP8X"):
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (4, 7))
        return (width, height), bool(head[0] & 0x10)
    if head := chunks.get(b"VP8L"):
        bits = int.from_bytes(head[1:5], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)
    width, height = struct.unpack("<HH", chunks[b"VP8 "][6:10])
    return (width & 0x3FFF, height & 0x3FFF), False


def webp_frame(head: bytes) -> tuple[int, int, int, int]:
    """(left, top, width, height) of a frame of an animation, from its first 12 bytes."""
    left, top, width, height = (int.from_bytes(head[at : at + 3], "little") for at in (0, 3, 6, 9))
    return 2 * left, 2 * top, width + 1, height + 1
