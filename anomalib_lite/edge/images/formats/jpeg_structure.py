"""The structure of a JPEG file: its frame header, and its scans. ITU-T T.81, annex B."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from anomalib_lite.edge.images.formats.stored import MANY, damaged, truncated

FRAMES = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
PROGRESSIVE, TABLES, END, SCAN, INTERVAL = 0xC2, 0xC4, 0xD9, 0xDA, 0xDD
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
_END_OF_DATA = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that is no restart


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What stands before the first scan."""

    kind: int  # SOF marker
    bits: int
    height: int
    width: int
    components: dict[int, tuple[int, int]]  # identifier -> samples beside and above each other in a block of all
    exif: bytes
    several: bool  # further pictures follow (MPO)

    def blocks(self, components: tuple[int, ...]) -> int:
        """Blocks of a scan of these components, as restart intervals count them."""
        most = [max(sides) for sides in zip(*self.components.values(), strict=True)]
        sizes = []
        for length, whole, own in zip((self.width, self.height), most, self.components[components[0]], strict=True):
            samples = length if len(components) > 1 else -(-length * own // whole)
            sizes.append(-(-samples // (8 * whole if len(components) > 1 else 8)))
        return sizes[0] * sizes[1]


@dataclass(frozen=True, slots=True)
class JpegScan:
    """One scan: which coefficients of which components, and where its data lie in the file."""

    components: tuple[int, ...]
    flat: bool  # whether zeros in its data may be a flat picture: the shortest codes end a block
    interval: int  # blocks of all components between two restart markers; 0 without them
    first: int  # coefficient
    last: int
    shift: int  # bits that later scans have to bring
    start: int
    end: int


def read_header(file: BinaryIO, name: str) -> JpegHeader:
    """Everything before the first scan.

    Raises:
        ImageError: It is cut or broken.
    """
    frame, exif, several = b"", b"", False
    kind = 0
    for marker, length in _segments(file, name):
        if marker in FRAMES:
            kind, frame = marker, _content(file, length, name)
        elif marker == 0xE1 and not exif:
            content = _content(file, length, name)
            exif = content if content.startswith(b"Exif\0\0") else b""
        elif marker == 0xE2:
            several = several or _content(file, min(length, 4), name) == b"MPF\0"
        elif marker in (SCAN, END):
            break
    count = frame[5] if len(frame) > 5 else 0
    if count == 0 or len(frame) < 6 + 3 * count:
        raise damaged(name, "a JPEG without a frame header")
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    components = {frame[at]: divmod(frame[at + 1], 16) for at in range(6, 6 + 3 * count, 3)}
    if len(components) < count or not all(across and down for across, down in components.values()):
        raise damaged(name, "its components contradict each other")
    return JpegHeader(kind, frame[0], height, width, components, exif, several)


def scans(data: bytes, name: str) -> list[JpegScan]:
    """All scans of the first picture, which ends with an end marker.

    Raises:
        ImageError: `truncated` where there is no end marker, `unreadable` where a segment is broken.
    """
    file, interval = BytesIO(data), 0
    found: list[JpegScan] = []
    shortest: dict[int, int] = {}  # table of alternating coefficients -> what its shortest code means
    for marker, length in _segments(file, name):
        if marker == END:
            return found
        if marker == INTERVAL:
            interval = int.from_bytes(_content(file, length, name)[:2], "big")
        if marker == TABLES:
            shortest |= _shortest(_content(file, length, name))
        if marker == SCAN:
            head = _content(file, length, name)
            count = head[0] if head else 0
            if count == 0 or len(head) < 4 + 2 * count:
                raise damaged(name, "a scan header is too short")
            first, last, shifts = head[1 + 2 * count :][:3]
            end = _END_OF_DATA.search(data, start := file.tell())
            if end is None:
                raise truncated(name)
            components = tuple(head[1 + 2 * number] for number in range(count))
            found.append(
                JpegScan(
                    components, set(shortest.values()) == {0}, interval, first, last, shifts & 15, start, end.start()
                )
            )
            file.seek(end.start())
    raise truncated(name)


def _shortest(tables: bytes) -> dict[int, int]:
    """What the shortest code of each Huffman table for alternating coefficients means: 0 ends a block."""
    found, at = {}, 0
    while at + 17 <= len(tables):
        symbols = sum(tables[at + 1 : at + 17])
        if tables[at] >> 4 == 1 and symbols and at + 17 < len(tables):
            found[tables[at]] = tables[at + 17]
        at += 17 + symbols
    return found


def _segments(file: BinaryIO, name: str) -> Iterator[tuple[int, int]]:
    """(marker, length) of each segment, the file standing at its content; it may be left anywhere within, or behind."""
    file.seek(2)
    for _ in range(MANY):
        lead, marker = file.read(1), file.read(1)
        while marker == b"\xff":  # fill bytes
            marker = file.read(1)
        if not marker:
            raise truncated(name)
        if lead != b"\xff" or marker == b"\0":
            raise damaged(name, "a marker of the JPEG is missing")
        if marker[0] in ALONE:
            continue
        if marker[0] == END:
            yield END, 0
            return
        size = file.read(2)
        length = int.from_bytes(size, "big") - 2
        if len(size) < 2:
            raise truncated(name)
        if length < 0:
            raise damaged(name, "a segment of the JPEG has no length")
        behind = file.tell() + length
        yield marker[0], length
        if marker[0] != SCAN:
            file.seek(behind)
    raise damaged(name, f"a JPEG of more than {MANY:,} segments")


def _content(file: BinaryIO, length: int, name: str) -> bytes:
    content = file.read(length)
    if len(content) < length:
        raise truncated(name)
    return content
