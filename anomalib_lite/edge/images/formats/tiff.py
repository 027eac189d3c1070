"""TIFF: Pillow applies its orientation while loading."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from anomalib_lite.edge.images.formats.stored import (
    CHANNELS,
    OPAQUE,
    Raster,
    Stored,
    array,
    made,
    refused,
    several_frames,
    truncated,
)

WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, SAMPLES, FORMAT_OF_SAMPLES = 256, 257, 258, 262, 274, 277, 339
TIFF_PIECES = ((273, 279), (324, 325))  # tags: where strips and tiles start, and their lengths


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a TIFF file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    image = _open_tiff(file, name)
    tags = image.tag_v2
    if tags.next:
        raise several_frames(name)
    bits, samples = max(tags.get(BITS, (1,))), tags.get(SAMPLES, 1)
    if image.mode not in CHANNELS or set(tags.get(FORMAT_OF_SAMPLES, (1,))) != {1} or PHOTOMETRIC not in tags:
        raise refused(name, f"a TIFF of {bits} bits in mode {image.mode}")
    if (bits > 8 and samples > 1) or samples != len(image.getbands()):
        raise refused(name, f"a TIFF with {samples} samples of {bits} bits")
    inverted = bits > 8 and tags[PHOTOMETRIC] == 0  # Pillow inverts up to 8 bits alone
    size = (tags[WIDTH], tags[HEIGHT])

    def pixels(data: bytes) -> Raster:
        image = _open_tiff(BytesIO(data), name)
        if _tiff_end(image) > len(data):
            raise truncated(name)
        image.im = Image.new(image.mode, size).im  # or Pillow applies a size limit of its own, and warns
        return 65535 - array(image, name) if inverted else array(image, name)

    orientation = tags.get(ORIENTATION, 1)
    note = OPAQUE if image.has_transparency_data else ""
    return made("TIFF", size, image.mode, orientation if orientation in range(1, 9) else 1, pixels, note)


def _tiff_end(image: TiffImageFile) -> int:
    """Where the last piece of the image ends in the file."""
    pieces = [zip(image.tag_v2.get(at, ()), image.tag_v2.get(length, ()), strict=True) for at, length in TIFF_PIECES]
    return max((at + length for piece in pieces for at, length in piece), default=0)


def _open_tiff(file: BinaryIO, name: str) -> TiffImageFile:
    try:
        image = TiffImageFile(file)
    except SyntaxError as error:
        if "unknown pixel mode" in str(error):
            raise refused(name, "a TIFF of this kind of samples") from error
        raise
    image.info.pop("xmp", None)  # Pillow would take an orientation from it where the tag is absent
    return image
