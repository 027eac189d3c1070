"""The strips or tiles of a TIFF page: whether all are there, and a plain file made of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from anomalib_lite.edge.images.formats import tiff_structure as tag
from anomalib_lite.edge.images.formats.stored import MANY, damaged, truncated
from anomalib_lite.edge.images.formats.tiff_structure import Page, Values

RAW, JPEG = 1, 7  # compressions
TILE_PIXELS = 1 << 24
COPIED = (
    tag.WIDTH, tag.HEIGHT, tag.BITS, tag.COMPRESSION, tag.PHOTOMETRIC, tag.FILL_ORDER, tag.SAMPLES, tag.PLANAR,
    tag.PREDICTOR, tag.COLOURS, tag.TILE_WIDTH, tag.TILE_HEIGHT, tag.EXTRA, tag.FORMAT_OF_SAMPLES, tag.JPEG_TABLES,
    tag.SUBSAMPLING,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of a page are cut into strips or tiles."""

    tiled: bool
    width: int  # of a piece, pixels
    height: int
    across: int  # pieces beside each other
    down: int
    planes: int

    @classmethod
    def of(cls, page: Page, name: str) -> Self:
        """That of a page.

        Raises:
            ImageError: It makes no sense.
        """
        width, height = page.one(tag.WIDTH), page.one(tag.HEIGHT)
        planes = page.one(tag.SAMPLES, 1) if page.one(tag.PLANAR, 1) == 2 else 1
        tiled = tag.TILES in page.tags
        if tiled:
            size = page.one(tag.TILE_WIDTH), page.one(tag.TILE_HEIGHT)
        else:
            size = width, min(page.one(tag.ROWS, height), height)
        if min(width, height) == 0:
            return cls(tiled, 1, 1, 0, 0, planes)  # without any pixel, as is told of all formats
        if min(size) <= 0 or planes not in range(1, 9) or (tiled and size[0] * size[1] > TILE_PIXELS):
            raise damaged(name, "its strips or tiles have no sensible size")
        layout = cls(tiled, *size, -(-width // size[0]), -(-height // size[1]), planes)
        if tiled and layout.count > MANY:
            raise damaged(name, f"more than {MANY:,} tiles")
        return layout

    @property
    def count(self) -> int:
        """Pieces in all planes."""
        return self.across * self.down * self.planes

    def rows_of(self, number: int, page: Page) -> int:
        """Rows of the image that a piece holds."""
        return min(self.height, page.one(tag.HEIGHT) - number // self.across % self.down * self.height)

    def pieces(self, page: Page, data: bytes, name: str) -> list[bytes]:
        """The data of each piece, in order; uncompressed strips as one for each plane.

        Raises:
            ImageError: Some are missing, or lie where they cannot.
        """
        starts = page.tags.get(tag.TILES if self.tiled else tag.STRIPS, np.empty(0, np.int64))[: self.count]
        needed = self._raw_bytes(page) if page.one(tag.COMPRESSION, RAW) == RAW else np.ones(self.count, np.int64)
        lengths = page.tags.get(tag.TILE_BYTES if self.tiled else tag.STRIP_BYTES)
        if lengths is None and page.one(tag.COMPRESSION, RAW) == RAW:
            lengths = needed
        if lengths is None or len(starts) < self.count or len(lengths) < self.count:
            raise truncated(name)
        lengths = lengths[: self.count]
        ends = starts + lengths
        if (starts < 8).any() or (lengths < needed).any() or int(ends.max()) > len(data):
            raise truncated(name)
        if page.one(tag.COMPRESSION, RAW) == RAW:
            lengths = needed
        if int(lengths.sum()) > len(data):
            raise damaged(name, "its strips overlap")
        pieces = [data[start : start + length] for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)]
        if self.tiled or page.one(tag.COMPRESSION, RAW) != RAW:
            return pieces
        return [b"".join(pieces[plane * self.down : (plane + 1) * self.down]) for plane in range(self.planes)]

    def _raw_bytes(self, page: Page) -> Values:
        """How many bytes each piece has without compression."""
        samples = page.one(tag.SAMPLES, 1) if self.planes == 1 else 1
        row = (self.width * samples * page.one(tag.BITS, 1) + 7) // 8
        rows = np.full((self.planes, self.down, self.across), self.height, np.int64)
        if not self.tiled:
            rows[:, -1] = page.one(tag.HEIGHT) - (self.down - 1) * self.height
        return rows.ravel() * row


def plain_file(page: Page, layout: Layout, pieces: Sequence[bytes]) -> bytes:
    """A TIFF file of one page, with these pieces and the tags that say how they are read, and nothing else."""
    values = {number: page.tags[number] for number in COPIED if number in page.tags}
    values |= {number: content[:1] for number, content in values.items() if number not in tag.SEVERAL}
    if not layout.tiled:
        rows = layout.height if len(pieces) == layout.count else page.one(tag.HEIGHT)
        values[tag.ROWS] = np.array([rows])
    starts, lengths = (tag.TILES, tag.TILE_BYTES) if layout.tiled else (tag.STRIPS, tag.STRIP_BYTES)
    values[lengths] = np.array([len(piece) for piece in pieces])
    values[starts] = np.zeros(len(pieces), np.int64)  # as large as they will be
    behind = len(_head(page, values))
    values[starts] = behind + np.cumsum([0, *values[lengths][:-1]])
    return b"".join((_head(page, values), *pieces))


def _head(page: Page, values: dict[int, Values]) -> bytes:
    """Header and directory; numbers that do not fit into an entry stand behind it."""
    order = page.order
    entries, more, at = b"", b"", 8 + 2 + 12 * len(values) + 4
    for number, content in sorted(values.items()):
        kind, dtype = _type(number, content)
        packed = content.astype(np.dtype(dtype).newbyteorder(order)).tobytes()
        if len(packed) > 4:
            entries += struct.pack(f"{order}HHII", number, kind, len(content), at + len(more))
            more += packed + b"\0" * (len(packed) % 2)
        else:
            entries += struct.pack(f"{order}HHI", number, kind, len(content)) + packed.ljust(4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HIH", 42, 8, len(values)) + entries + bytes(4) + more


def _type(number: int, content: Values) -> tuple[int, str]:
    if number == tag.JPEG_TABLES:
        return 7, "u1"
    long = number in (tag.STRIPS, tag.STRIP_BYTES, tag.TILES, tag.TILE_BYTES) or int(content.max(initial=0)) > 65535
    return (4, "u4") if long else (3, "u2")
