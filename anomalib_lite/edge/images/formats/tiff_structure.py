"""The structure of a TIFF file: its pages with their tags, of either byte order, and BigTIFF. TIFF 6.0; BigTIFF."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images.formats.stored import damaged, truncated

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES, PLANAR, PREDICTOR = 273, 274, 277, 278, 279, 284, 317
COLOURS, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, EXTRA, FORMAT_OF_SAMPLES = 320, 322, 323, 324, 325, 338, 339
JPEG_TABLES, SUBSAMPLING = 347, 530
READ = {
    SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES,
    PLANAR, PREDICTOR, COLOURS, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, EXTRA, FORMAT_OF_SAMPLES, JPEG_TABLES,
    SUBSAMPLING,
}  # fmt: skip
SEVERAL = {BITS, COLOURS, EXTRA, FORMAT_OF_SAMPLES, JPEG_TABLES, SUBSAMPLING}  # tags of more values than one
TYPES = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 13: "u4", 16: "u8", 18: "u8"}  # whole numbers; 7: bytes of any meaning
PAGES = 1000

Values = NDArray[np.int64]
Order = Literal["<", ">"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page: tag -> its values. `order` is that of the file, "<" or ">"."""

    order: Order
    tags: Mapping[int, Values]

    def one(self, tag: int, default: int = 0) -> int:
        """The first value of a tag."""
        values = self.tags.get(tag)
        return default if values is None or not len(values) else int(values[0])

    @property
    def is_reduced(self) -> bool:
        """Whether it is a smaller version of another page."""
        return bool(self.one(SUBFILE) & 1)


def read_pages(file: BinaryIO, name: str) -> list[Page]:
    """All pages of a file, without their pixels.

    Raises:
        ImageError: A part of it is missing or broken.
    """
    return _Reader(file, name).pages()


class _Reader:
    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = self._take(4)
        self._order: Order = "<" if head[:2] == b"II" else ">"
        self._big = 43 in head[2:]
        self._offset = "Q" if self._big else "I"

    def pages(self) -> list[Page]:
        if self._big:
            self._unpack("HH")  # bytes of an offset: 8
        found: list[Page] = []
        seen: set[int] = set()
        (at,) = self._unpack(self._offset)
        while at:
            if at in seen or len(seen) == PAGES:
                raise damaged(self._name, "its pages have no end")
            seen.add(at)
            self._go(at)
            found.append(Page(self._order, self._tags()))
            (at,) = self._unpack(self._offset)
        if not found:
            raise damaged(self._name, "a TIFF without a page")
        return found

    def _tags(self) -> dict[int, Values]:
        """The tags of the page that starts here; the file then stands behind them."""
        (count,) = self._unpack("Q" if self._big else "H")
        width, value = (20, 12) if self._big else (12, 8)
        if count > 65535:
            raise damaged(self._name, "a TIFF of too many tags")
        entries, behind = self._take(count * width), self._file.tell()
        tags = {}
        for start in range(0, len(entries), width):
            tag, kind, number = struct.unpack_from(f"{self._order}HH{self._offset}", entries, start)
            if tag in READ and kind in TYPES and number:
                tags[tag] = self._values(np.dtype(TYPES[kind]), number, entries[start + value : start + width])
        self._file.seek(behind)
        return tags

    def _values(self, dtype: np.dtype[np.uint64], number: int, inline: bytes) -> Values:
        dtype = dtype.newbyteorder(self._order)
        length = number * dtype.itemsize
        if length > len(inline):
            self._go(struct.unpack_from(f"{self._order}{self._offset}", inline)[0])
            inline = self._take(length)
        return np.frombuffer(inline[:length], dtype).astype(np.int64)

    def _unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(self._order + form, self._take(struct.calcsize(self._order + form)))

    def _go(self, at: int) -> None:
        if at > self._size:
            raise truncated(self._name)
        self._file.seek(at)

    def _take(self, length: int) -> bytes:
        if self._file.tell() + length > self._size:
            raise truncated(self._name)
        return self._file.read(length)
