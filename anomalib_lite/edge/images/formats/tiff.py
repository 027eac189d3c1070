"""TIFF: what it holds is counted here; Pillow decodes a plain copy, with nothing in it that was not understood."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image, _imaging
from PIL.TiffImagePlugin import TiffImageFile

from anomalib_lite.edge.images.formats import jpeg
from anomalib_lite.edge.images.formats import tiff_structure as tag
from anomalib_lite.edge.images.formats.jpeg_structure import read_header
from anomalib_lite.edge.images.formats.stored import (
    CHANNELS,
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
from anomalib_lite.edge.images.formats.tiff_pieces import JPEG, RAW, Layout, plain_file
from anomalib_lite.edge.images.formats.tiff_structure import Page

COMPRESSIONS = {RAW, 5, JPEG, 8, 32773, 32946, 34925}  # 5: LZW; 8, 32946: deflate; PackBits; LZMA


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a TIFF file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    pages = tag.read_pages(file, name)
    full = [page for page in pages if not page.is_reduced] or pages
    if len(full) > 1:
        raise several_frames(name)
    page = full[0]
    bits, samples = int(max(page.tags.get(tag.BITS, (1,)))), page.one(tag.SAMPLES, 1)
    compression = page.one(tag.COMPRESSION, RAW)
    if compression not in COMPRESSIONS:
        raise refused(name, f"a TIFF of compression {compression}", "save it uncompressed, or with LZW or deflate")
    if samples not in range(1, 5):
        raise refused(name, f"a TIFF with {samples} samples of {bits} bits")
    if set(page.tags.get(tag.FORMAT_OF_SAMPLES, (1,))) != {1} or tag.PHOTOMETRIC not in page.tags:
        raise refused(name, f"a TIFF of {bits} bits that are no plain numbers")
    size = (page.one(tag.WIDTH), page.one(tag.HEIGHT))
    layout = Layout.of(page, name)
    image = _opened(plain_file(page, layout, [b""] * layout.planes), bits, name)
    mode = image.mode
    if mode not in CHANNELS or (bits > 8 and samples > 1) or samples != len(image.getbands()):
        raise refused(name, f"a TIFF with {samples} samples of {bits} bits")
    orientation = page.one(tag.ORIENTATION, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    note = ", ".join([OPAQUE] * (mode in ("LA", "RGBA")) + ["the page beside its smaller versions"] * (len(pages) > 1))

    def pixels(data: bytes) -> Raster:
        pieces = layout.pieces(page, data, name)
        if compression == JPEG:
            _check_jpegs(page, layout, pieces, name)
        image = _opened(plain_file(page, layout, pieces), bits, name)
        image.im = Image.new(image.mode, size).im  # or Pillow applies a size limit of its own, and warns
        try:
            raster = array(image, name)
        except OSError as error:
            raise truncated(name, "its compressed data are broken, or end early") from error
        inverted = bits > 8 and page.one(tag.PHOTOMETRIC) == 0  # Pillow inverts up to 8 bits alone
        return orient(65535 - raster if inverted else raster, orientation)

    return made("TIFF", size, mode, orientation, pixels, note)


def _silence() -> None:
    """Keep libtiff from writing to standard error; the library is Pillow's own, where it is a part of its wheel."""
    with contextlib.suppress(OSError, AttributeError):  # linked otherwise: its words do no harm
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


_silence()


def _opened(plain: bytes, bits: int, name: str) -> TiffImageFile:
    try:
        return TiffImageFile(BytesIO(plain))
    except SyntaxError as error:
        raise refused(name, f"a TIFF of this kind of samples ({bits} bits)") from error


def _check_jpegs(page: Page, layout: Layout, pieces: Sequence[bytes], name: str) -> None:
    """Each piece is a JPEG file without its tables, and may be cut as one."""
    tables = page.tags.get(tag.JPEG_TABLES, np.empty(0, np.int64)).astype(np.uint8).tobytes()
    for number, piece in enumerate(pieces):
        whole = tables[:-2] + piece[2:] if tables else piece
        header = read_header(BytesIO(whole), name)
        if header.height < layout.rows_of(number, page) or header.width < layout.width:
            raise truncated(name)
        if header.height > layout.height or header.width > layout.width:
            raise damaged(name, "a strip or tile larger than it should be")
        jpeg.complete(whole, header, "L" if len(header.components) == 1 else "RGB", name)
