"""Sound image files of every format and kind that the host reads: where the mutations start."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]
SIZES = ((16, 16), (37, 53), (70, 24))  # (height, width)


def part(height: int, width: int, channels: int, dtype: Any = np.uint8) -> Pixels:
    """(H, W) or (H, W, C): a gradient with noise, so that no row is like another."""
    random = np.random.default_rng(height * 1000 + width)
    top = np.iinfo(dtype).max
    ramp = np.add.outer(np.linspace(0.2, 0.6, height), np.linspace(0, 0.2, width))[..., None]
    noisy = ramp + random.normal(0, 0.05, (height, width, channels))
    pixels = (noisy.clip(0, 1) * top).astype(dtype)
    return pixels[..., 0] if channels == 1 else pixels


def encoded(pixels: Pixels | Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(pixels: Pixels, bits: int = 8, *, interlaced: bool = False, piece: int = 8192, extra: bytes = b"") -> bytes:
    """A PNG file written here: 1 to 16 bits of grey, or 8 of colour, in several chunks."""
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    rows = b"".join(packed(one, bits) for one in (passes(pixels) if interlaced else [pixels]))
    data = zlib.compress(rows)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
    body = b"".join(chunk(b"IDAT", data[at : at + piece]) for at in range(0, len(data), piece))
    return b"\x89PNG\r\n\x1a\n" + head + extra + body + chunk(b"IEND", b"")


def packed(pixels: Pixels, bits: int) -> bytes:
    """Rows with their filter byte."""
    if bits == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    if bits == 8:
        return b"".join(b"\0" + row.tobytes() for row in pixels)
    shifts = np.arange(bits - 1, -1, -1)
    split = (pixels[..., None] >> shifts & 1).astype(np.uint8).reshape(len(pixels), -1)
    return b"".join(b"\0" + np.packbits(row).tobytes() for row in split)


def passes(pixels: Pixels) -> Iterator[Pixels]:
    """Adam7."""
    for top, left, down, right in (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    ):  # fmt: skip
        one = pixels[top::down, left::right]
        if one.size:
            yield one


def _png() -> Iterator[tuple[str, bytes]]:
    for (height, width), interlaced in product((*SIZES, (1, 9), (9, 1), (1, 1)), (False, True)):
        for bits in (1, 2, 4, 8, 16):
            pixels = part(height, width, 1, np.uint16) >> (16 - bits)
            kind = pixels.astype(np.uint16 if bits == 16 else np.uint8)
            yield f"grey{bits}", png(kind, bits, interlaced=interlaced, piece=100)
        yield "rgb", png(part(height, width, 3), interlaced=interlaced)
    for height, width in SIZES:
        image = Image.fromarray(part(height, width, 3))
        opaque = image.convert("RGBA")
        for mode, one in {"p": image.quantize(16), "rgba": opaque, "la": opaque.convert("LA")}.items():
            yield mode, encoded(one, "PNG")
        yield "clear", encoded(image.quantize(16), "PNG", transparency=255)
        yield "exif", encoded(image, "PNG", exif=turned(6))
        yield "text", png(part(height, width, 1), extra=chunk(b"tEXt", b"Comment\0a part"))


def turned(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def _jpeg() -> Iterator[tuple[str, bytes]]:
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "fine": {"quality": 97, "subsampling": 0},
        "optimised": {"optimize": True, "quality": 60},
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 2},
        "turned": {"exif": turned(6)},
    }
    for (height, width), channels, (name, options) in product(SIZES, (1, 3), ways.items()):
        yield name, encoded(part(height, width, channels), "JPEG", **options)
    primary, preview = (Image.fromarray(part(*size, 3)) for size in ((48, 64), (16, 16)))
    yield "several", encoded(primary, "MPO", save_all=True, append_images=[preview])


def tiff(pixels: Pixels, **options: Any) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def _tiff() -> Iterator[tuple[str, bytes]]:
    for height, width in SIZES:
        grey, deep, rgb = part(height, width, 1), part(height, width, 1, np.uint16), part(height, width, 3)
        for order, big in product("<>", (False, True)):
            layout: dict[str, Any] = {"byteorder": order, "bigtiff": big}
            yield "grey", tiff(grey, rowsperstrip=5, **layout)
            yield "deep", tiff(deep, **layout)
            yield "rgb", tiff(rgb, photometric="rgb", rowsperstrip=7, **layout)
            yield "tiles", tiff(rgb, photometric="rgb", tile=(16, 16), **layout)
            yield "planes", tiff(np.moveaxis(rgb, 2, 0).copy(), photometric="rgb", planarconfig="separate", **layout)
            yield "deflate", tiff(grey, compression="zlib", rowsperstrip=9, **layout)
        for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "lzma"):
            yield compression, encoded(rgb if compression != "jpeg" else grey, "TIFF", compression=compression)
        yield "deeplzw", encoded(deep, "TIFF", compression="tiff_lzw")
        yield "rgbjpeg", encoded(rgb, "TIFF", compression="jpeg")
        yield "palette", encoded(Image.fromarray(rgb).quantize(16), "TIFF")
        yield "bits", encoded(Image.fromarray(grey > 100), "TIFF")
        yield "inverted", tiff(grey, photometric="miniswhite")


def _webp() -> Iterator[tuple[str, bytes]]:
    for height, width in SIZES:
        image = Image.fromarray(part(height, width, 3))
        ways: dict[str, dict[str, Any]] = {
            "lossy": {"quality": 80},
            "lossless": {"lossless": True},
            "turned": {"exif": turned(3)},
            "fine": {"quality": 100, "method": 6},
            "one": {"save_all": True, "lossless": True},
        }
        for name, options in ways.items():
            yield name, encoded(image, "WEBP", **options)


def os2(pixels: Pixels) -> bytes:
    """A BMP of OS/2 1.x: (H, W, 3)."""
    height, width = pixels.shape[:2]
    rows = [row[:, ::-1].tobytes() + bytes(-3 * width % 4) for row in pixels[::-1]]
    body = b"".join(rows)
    return (
        b"BM" + struct.pack("<IHHI", 26 + len(body), 0, 0, 26) + struct.pack("<IHHHH", 12, width, height, 1, 24) + body
    )


def _bmp() -> Iterator[tuple[str, bytes]]:
    for height, width in SIZES:
        image = Image.fromarray(part(height, width, 3))
        for mode in ("1", "L", "P", "RGB"):
            yield mode, encoded(image.convert(mode), "BMP")
        yield "rgba", encoded(image.convert("RGBA"), "BMP")
        yield "os2", os2(part(height, width, 3))
        yield "bare", encoded(image, "DIB")


def _netpbm() -> Iterator[tuple[str, bytes]]:
    for height, width in SIZES:
        yield "grey", encoded(part(height, width, 1), "PPM")
        yield "rgb", encoded(part(height, width, 3), "PPM")
        deep = part(height, width, 1, np.uint16) >> 4
        yield "deep", b"P5 # camera\n%d %d\n4095\n" % (width, height) + deep.astype(">u2").tobytes()


SEEDS: list[tuple[str, str, bytes]] = [
    (kind, f"{kind}-{name}-{number}", data)
    for kind, made in {
        "png": _png, "jpeg": _jpeg, "tiff": _tiff, "webp": _webp, "bmp": _bmp, "netpbm": _netpbm,
    }.items()
    for number, (name, data) in enumerate(made())
]  # fmt: skip
"""(format, name, content) of each."""
