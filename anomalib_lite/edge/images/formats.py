"""What an image file says of itself: format, size, depth, orientation; and its pixels, exactly as stored.

The rules, one per trap. What they do not cover is an `ImageError`, never a guess.

| in the file                              | here                                                                      |
|------------------------------------------|---------------------------------------------------------------------------|
| 8-bit grey or RGB                        | as stored                                                                 |
| 9- to 16-bit grey (PNG, TIFF, PGM)       | uint16, as stored: a 12-bit TIFF or PGM stays 0..4095 (set `image.white`) |
| 1-, 2- and 4-bit grey                    | uint8, spread over 0..255                                                 |
| grey stored as "white is zero" (TIFF)    | inverted, as the TIFF standard says                                       |
| palette                                  | RGB                                                                       |
| alpha, transparent colours               | dropped with a note where it is opaque everywhere, `unsupported_mode` else|
| 16-bit colour, CMYK, LAB, YCbCr, float,  | `unsupported_mode`                                                        |
| signed or 32-bit integers, extra samples |                                                                           |
| several frames or pages                  | `several_frames`                                                          |
| JPEG with further pictures (MPO cameras) | its primary picture, with a note                                          |
| EXIF orientation                         | applied, with a note (a damaged EXIF block says nothing)                  |
| colour profile, gamma, resolution        | ignored                                                                   |
| an incomplete file, a wrong checksum     | `truncated`, `unreadable`, whatever Pillow's LOAD_TRUNCATED_IMAGES says   |
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from anomalib_lite.edge.images import containers
from anomalib_lite.errors import ErrorCode, ImageError

Raster = NDArray[Any]  # as it is stored: (H, W) or (H, W, C), uint8 or uint16

CHANNELS = {"1": 1, "L": 1, "LA": 1, "La": 1, "I;16": 1, "I;16B": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBa": 3}
OPAQUE = "opaque alpha dropped"
WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, SAMPLES, FORMAT_OF_SAMPLES = 256, 257, 258, 262, 274, 277, 339
TIFF_PIECES = ((273, 279), (324, 325))  # tags: where strips and tiles start, and their lengths


@dataclass(frozen=True, slots=True)
class Stored:
    """An image that was identified but not decoded. Its size is the size after orientation."""

    format: str
    height: int
    width: int
    channels: int
    dtype: str
    note: str
    pixels: Callable[[bytes], Raster]  # decodes the bytes of the whole file


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of an image, whatever its file is called, and refuse what the rules do not cover.

    Raises:
        ImageError: the file is not one of the formats, or holds what the rules above refuse.
    """
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(file, name)
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg(file, name)
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _tiff(file, name)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(file, name)
    if head.startswith(b"BM"):
        return _bmp(file, name)
    if re.match(rb"P[1-7f]\s", head, re.IGNORECASE):
        return _netpbm(file, name)
    raise ImageError(
        f"{name}: not an image that can be read; expected PNG, JPEG, TIFF, BMP, WebP or PGM", ErrorCode.UNREADABLE
    )


def _refuse(name: str, found: str, remedy: str = "save it as 8-bit grey or RGB, or as 16-bit grey") -> ImageError:
    return ImageError(f"{name}: {found} cannot be inspected; {remedy}", ErrorCode.UNSUPPORTED_MODE)


def _truncated(name: str) -> ImageError:
    return ImageError(f"{name}: the file ends before the image does; copy or record it again", ErrorCode.TRUNCATED)


def _damaged(name: str) -> ImageError:
    return ImageError(f"{name}: damaged, a checksum is wrong; copy or record it again", ErrorCode.UNREADABLE)


def _several(name: str) -> ImageError:
    return ImageError(
        f"{name}: several frames or pages in one file; save each as an image of its own", ErrorCode.SEVERAL_FRAMES
    )


def _array(image: Image.Image, name: str) -> Raster:
    """Raster of a Pillow image of a mode in `CHANNELS`, (H, W) or (H, W, 3), writable."""
    if image.has_transparency_data:
        image = image.convert("LA" if CHANNELS[image.mode] == 1 else "RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise _refuse(name, "an image with transparent parts", "save it without an alpha channel")
    if image.mode in ("1", "P", "LA", "RGBA"):
        image = image.convert("L" if CHANNELS[image.mode] == 1 else "RGB")
    pixels = np.array(image)
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16)


def _orient(pixels: Raster, orientation: int) -> Raster:
    """Turn stored pixels upright: EXIF orientations 1..8."""
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _stored(
    kind: str, size: tuple[int, int], mode: str, orientation: int, pixels: Callable[[bytes], Raster], note: str = ""
) -> Stored:
    """`size` is (width, height) before orientation, as in the file."""
    width, height = size if orientation < 5 else size[::-1]
    dtype = "uint16" if mode.startswith("I;16") else "uint8"
    notes = [note] * bool(note) + ["EXIF orientation applied"] * (orientation > 1)
    return Stored(kind, height, width, CHANNELS[mode], dtype, ", ".join(notes), pixels)


# ---- PNG: header and checksums read here, since Pillow shows 16-bit colour as 8 bit and skips damage


def _png(file: BinaryIO, name: str) -> Stored:
    chunks = {}
    for kind, length in containers.png_chunks(file):
        if kind in (b"IHDR", b"acTL", b"eXIf", b"tRNS") and length <= 1 << 20:
            chunks[kind] = file.read(length)
            file.seek(-len(chunks[kind]), 1)
    width, height, depth, colour = struct.unpack(">IIBB", chunks.get(b"IHDR", b"")[:10])
    if depth == 16 and (colour != 0 or b"tRNS" in chunks):
        raise _refuse(name, "16-bit colour" if colour in (2, 6) else "16-bit grey with transparency")
    if int.from_bytes(chunks.get(b"acTL", b"")[:4], "big") > 1:
        raise _several(name)
    mode = "I;16" if depth == 16 else {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}[colour]
    orientation = containers.exif_orientation(chunks.get(b"eXIf", b""))

    def pixels(data: bytes) -> Raster:
        problem = containers.png_problem(data)
        if problem:
            raise _truncated(name) if problem == "truncated" else _damaged(name)
        return _orient(_array(PngImageFile(BytesIO(data)), name), orientation)

    note = OPAQUE if b"tRNS" in chunks or colour > 3 else ""
    return _stored("PNG", (width, height), mode, orientation, pixels, note)


# ---- JPEG


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """The resolution is not needed, and reading it warns where EXIF is damaged."""


def _jpeg(file: BinaryIO, name: str) -> Stored:
    image = _Jpeg(file)
    if image.mode not in ("L", "RGB"):
        raise _refuse(name, f"a JPEG in {image.mode} colours")
    orientation = containers.exif_orientation(image.info.get("exif", b""))

    def pixels(data: bytes) -> Raster:
        if data.find(b"\xff\xd9", containers.jpeg_scan(data)) < 0:
            raise _truncated(name)
        return _orient(_array(_Jpeg(BytesIO(data)), name), orientation)

    note = "primary picture of several (MPO)" if "mp" in image.info else ""
    return _stored("JPEG", image.size, image.mode, orientation, pixels, note)


# ---- TIFF: Pillow applies its orientation while loading


def _tiff(file: BinaryIO, name: str) -> Stored:
    image = _open_tiff(file, name)
    tags = image.tag_v2
    if tags.next:
        raise _several(name)
    bits, samples = max(tags.get(BITS, (1,))), tags.get(SAMPLES, 1)
    if image.mode not in CHANNELS or set(tags.get(FORMAT_OF_SAMPLES, (1,))) != {1} or PHOTOMETRIC not in tags:
        raise _refuse(name, f"a TIFF of {bits} bits in mode {image.mode}")
    if (bits > 8 and samples > 1) or samples != len(image.getbands()):
        raise _refuse(name, f"a TIFF with {samples} samples of {bits} bits")
    inverted = bits > 8 and tags[PHOTOMETRIC] == 0  # Pillow inverts up to 8 bits alone
    size = (tags[WIDTH], tags[HEIGHT])

    def pixels(data: bytes) -> Raster:
        image = _open_tiff(BytesIO(data), name)
        if _tiff_end(image) > len(data):
            raise _truncated(name)
        image.im = Image.new(image.mode, size).im  # or Pillow applies a size limit of its own, and warns
        return 65535 - _array(image, name) if inverted else _array(image, name)

    orientation = tags.get(ORIENTATION, 1)
    note = OPAQUE if image.has_transparency_data else ""
    return _stored("TIFF", size, image.mode, orientation if orientation in range(1, 9) else 1, pixels, note)


def _tiff_end(image: TiffImageFile) -> int:
    """Where the last piece of the image ends in the file."""
    pieces = [zip(image.tag_v2.get(at, ()), image.tag_v2.get(length, ()), strict=True) for at, length in TIFF_PIECES]
    return max((at + length for piece in pieces for at, length in piece), default=0)


def _open_tiff(file: BinaryIO, name: str) -> TiffImageFile:
    try:
        image = TiffImageFile(file)
    except SyntaxError as error:
        if "unknown pixel mode" in str(error):
            raise _refuse(name, "a TIFF of this kind of samples") from error
        raise
    image.info.pop("xmp", None)  # Pillow would take an orientation from it where the tag is absent
    return image


# ---- WebP: header read here, since Pillow allocates the image to read it


def _webp(file: BinaryIO, name: str) -> Stored:
    chunks: dict[bytes, bytes] = {}
    frames = 0
    for kind, length in containers.webp_chunks(file):
        frames += kind == b"ANMF"
        chunks.setdefault(kind, file.read(length if kind == b"EXIF" else 10))
    if frames > 1:
        raise _several(name)
    size, alpha = containers.webp_canvas(chunks)
    orientation = containers.exif_orientation(chunks.get(b"EXIF", b""))

    def pixels(data: bytes) -> Raster:
        if int.from_bytes(data[4:8], "little") + 8 > len(data):
            raise _truncated(name)
        return _orient(_array(WebPImageFile(BytesIO(data)), name), orientation)

    return _stored("WEBP", size, "RGB", orientation, pixels, OPAQUE if alpha else "")


# ---- BMP


def _bmp(file: BinaryIO, name: str) -> Stored:
    head = file.read(34)
    start, bits, compression = struct.unpack("<I14xHI", head[10:34])
    if compression not in (0, 3):
        raise _refuse(name, "a compressed BMP")
    file.seek(0)
    image = BmpImageFile(file)
    end = start + (bits * image.width + 31) // 32 * 4 * image.height

    def pixels(data: bytes) -> Raster:
        if end > len(data):
            raise _truncated(name)
        return _array(BmpImageFile(BytesIO(data)), name)

    return _stored("BMP", image.size, image.mode, 1, pixels, OPAQUE if image.has_transparency_data else "")


# ---- PGM and PPM: read here, since Pillow scales 10- and 12-bit values to 16 bit, and slowly


def _netpbm(file: BinaryIO, name: str) -> Stored:
    gap = rb"(?:\s|#[^\r\n]*[\r\n])+"
    head = re.match(rb"P([56])" + gap + rb"(\d+)" + gap + rb"(\d+)" + gap + rb"(\d+)\s", file.read(4096))
    if head is None:
        raise _refuse(name, "a PBM, PFM, PAM or text PGM", "save it as binary PGM (P5) or PPM (P6)")
    kind, width, height, largest = (int(field) for field in head.groups())
    channels = 1 if kind == 5 else 3
    if not 0 < largest < 65536 or (largest > 255 and channels == 3):
        raise _refuse(name, f"a netpbm file with {channels} channels and a largest value of {largest}")
    dtype = np.dtype(">u2" if largest > 255 else "u1")
    start, count = head.end(), width * height * channels
    end = start + count * dtype.itemsize

    def pixels(data: bytes) -> Raster:
        if end > len(data):
            raise _truncated(name)
        if re.match(rb"P[1-7]\s", data[end : end + 3]):
            raise _several(name)
        values = np.frombuffer(data, dtype, count, start).astype(dtype.newbyteorder("="))
        return values.reshape((height, width) if channels == 1 else (height, width, 3))

    mode = "RGB" if channels == 3 else "I;16" if largest > 255 else "L"
    return _stored("PPM", (width, height), mode, 1, pixels)
