"""Images from files, bytes or arrays, at full bit depth; and the one resize of training, calibration and device."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge.images import readers as reading
from anomalib_lite.edge.images.formats.identify import identify
from anomalib_lite.edge.images.formats.stored import Stored, orient
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ErrorCode, ImageError

Pixels = NDArray[Any]  # (H, W, C) uint8 or uint16, C in {1, 3}, RGB
BYTES_NAME = "image given as bytes"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before anything is decoded, so that no file can fill the memory.

    To decode takes at most `BYTES_PER_PIXEL` for each pixel, beside the file and its copy.
    """

    bytes: int = 256 * 2**20
    pixels: int = 100_000_000

    @classmethod
    def of(cls, pixels: int | None) -> Self:
        """Those for `image.max_pixels`: files of so many pixels fit in, uncompressed and with alpha."""
        plain = cls()
        return plain if pixels is None else cls(max(plain.bytes, 4 * pixels), pixels)


LIMITS = Limits()
BYTES_PER_PIXEL = 16


@dataclass(frozen=True, slots=True)
class FileBytes:
    """The bytes of an image file under its name, where the suffix decides on a reader."""

    name: str
    content: bytes = field(repr=False)


File: TypeAlias = str | os.PathLike[str] | bytes | FileBytes


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its image. The size is that after EXIF orientation."""

    height: int
    width: int
    channels: int
    dtype: str  # "uint8" | "uint16"
    format: str  # "PNG", "JPEG", "TIFF", "WEBP", "BMP" or "PPM", whatever the file is called; or a reader's suffix
    orientation: int = 1  # EXIF, 1..8: how the pixels are turned where they are read; 1 is not


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded image."""

    pixels: Pixels
    sha256: str  # of the file's bytes; empty for arrays
    note: str  # what was done to it, such as "EXIF orientation applied"; empty if nothing
    file: FileBytes | None = None  # what it was decoded from; None for arrays
    orientation: int = 1  # EXIF, 1..8: how the pixels were turned; 1 is not


def read_header(source: File, limits: Limits = LIMITS, *, readers: Readers = NO_READERS) -> Header:
    """Size, channels and dtype: cheap enough for every file of a large folder, but for those that have a reader.

    Raises:
        ImageError: The file is missing, too large, not an image, or of a kind that `formats` refuses. Damage
            inside is found by `read` alone.
    """
    with opened(source, limits) as (file, name):
        suffix = reading.suffix_of(name, readers)
        if suffix is None:
            stored = _identify(file, name, limits)
            return Header(stored.height, stored.width, stored.channels, stored.dtype, stored.format, stored.orientation)
    pixels = read(source, limits, readers=readers).pixels
    height, width, channels = pixels.shape
    return Header(height, width, channels, str(pixels.dtype), suffix)


def read(source: File | NDArray[Any], limits: Limits = LIMITS, *, readers: Readers = NO_READERS) -> Picture:
    """Read one image as it is: never scaled by value, never converted to 8 bit or to other channels.

    An array is taken as it is if it is (H, W, C) with C in {1, 3} (RGB, not BGR), uint8 or uint16. A file whose name
    ends with the suffix of a reader goes to that reader; for all others the rules are those of `formats`. The file
    is read once: hashed and decoded from the same bytes. Safe from several threads.

    Raises:
        ImageError: The image cannot be measured; `code` says why.
    """
    if isinstance(source, np.ndarray):
        return Picture(_checked(source, limits), "", "")
    with opened(source, limits) as (file, name):
        data = file.read(limits.bytes + 1)
    if len(data) > limits.bytes:
        raise _too_many_bytes(name, limits)
    suffix = reading.suffix_of(name, readers)
    if suffix is None:
        pixels, note, orientation = _decoded(data, name, limits)
    else:
        pixels, note = reading.decode(readers[suffix], suffix, data, name), ""
        orientation = 1
        _check_pixels(pixels.shape, name, limits)
    return Picture(pixels, hashlib.sha256(data).hexdigest(), note, FileBytes(name, data), orientation)


def turned(plane: NDArray[np.bool_], orientation: int) -> NDArray[np.bool_]:
    """A mask (H, W) that was drawn on stored pixels, turned as EXIF turns these."""
    return np.ascontiguousarray(orient(plane, orientation))


def _decoded(data: bytes, name: str, limits: Limits) -> tuple[Pixels, str, int]:
    """Pixels of a file that the host reads itself, what was done to them, and their EXIF orientation."""
    stored = _identify(BytesIO(data), name, limits)
    with _decoding(name):
        pixels = stored.pixels(data)
    if pixels.shape[:2] != (stored.height, stored.width):
        raise ImageError(f"{name}: decodes to another size than its header says; record it again", ErrorCode.UNREADABLE)
    return (
        np.ascontiguousarray(pixels.reshape(stored.height, stored.width, stored.channels)),
        stored.note,
        stored.orientation,
    )


def conform(pixels: Pixels, spec: ImageSpec, *, convert: bool) -> Pixels:
    """Check an image (H, W, C) against what a model takes; its size is not compared.

    Args:
        pixels: As `read` gives them.
        spec: What the model takes.
        convert: Whether grey may become RGB (three copies) and RGB grey (ITU-R BT.601 luma, rounded): where the user
            has set `image.channels`.

    Raises:
        ImageError: `wrong_dtype` or `wrong_channels`.
    """
    if pixels.dtype != np.dtype(spec.dtype):
        raise ImageError(
            f"the image is {pixels.dtype}, the model takes {spec.dtype}; record it with that depth",
            ErrorCode.WRONG_DTYPE,
        )
    channels = pixels.shape[2]
    if channels == spec.channels:
        return pixels
    if not convert:
        found, needed = ("grey" if count == 1 else "colour" for count in (channels, spec.channels))
        raise ImageError(
            f"the image is {found}, the model takes {needed}; set image.channels to allow it", ErrorCode.WRONG_CHANNELS
        )
    return np.repeat(pixels, 3, axis=2) if channels == 1 else luma(pixels)


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize an image (H, W, C) with Pillow's antialiased bilinear filter, each channel by itself.

    uint8 as Pillow rounds it; uint16 in float32, rounded half up. An image of that size already is returned as it is.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        resized = np.array(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)
        return resized.reshape(height, width, pixels.shape[2])
    planes = [resize_map(plane.astype(np.float32), height, width) for plane in np.moveaxis(pixels, 2, 0)]
    rounded = np.floor(np.stack(planes, axis=2) + np.float32(0.5))
    return np.asarray(rounded, np.uint16)


def resize_map(anomaly_map: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize an anomaly map (h, w) with the same filter, in float32."""
    if anomaly_map.shape == (height, width):
        return anomaly_map
    resized = Image.fromarray(anomaly_map).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized, dtype=np.float32)


def luma(pixels: Pixels) -> Pixels:
    """The grey (H, W, 1) of an RGB image: ITU-R BT.601 in 16-bit fixed point, rounded, as in Pillow."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma.astype(pixels.dtype)[..., None]


def _checked(pixels: NDArray[Any], limits: Limits) -> Pixels:
    if isinstance(pixels, np.ma.MaskedArray):  # its mask would be dropped, and what is hidden judged
        raise ImageError(
            "a masked array was given; expected a plain one: give array.filled(value), and mask what is not to be "
            "inspected with image.roi",
            ErrorCode.WRONG_DTYPE,
        )
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise ImageError(f"an array of {pixels.dtype} was given; expected uint8 or uint16", ErrorCode.WRONG_DTYPE)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ImageError(
            f"an array of shape {pixels.shape} was given; expected (height, width, channels), 1 or 3 of them: "
            "a grey image is array[:, :, None]",
            ErrorCode.WRONG_CHANNELS,
        )
    if pixels.size == 0:
        raise ImageError(f"an array of shape {pixels.shape} was given, without any pixel", ErrorCode.EMPTY)
    _check_pixels(pixels.shape, "image given as array", limits)
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


@contextmanager
def opened(source: File, limits: Limits) -> Iterator[tuple[BinaryIO, str]]:
    """The file and its name, once it is known to be a file of a size within the limits."""
    if isinstance(source, bytes):
        source = FileBytes(BYTES_NAME, source)
    if isinstance(source, FileBytes):
        _check_bytes(len(source.content), source.name, limits)
        yield BytesIO(source.content), source.name
        return
    if not isinstance(source, str | os.PathLike):
        kind = type(source).__name__
        raise ImageError(f"an image is a path, bytes or a numpy array (H, W, C); got {kind}", ErrorCode.WRONG_DTYPE)
    path, name = Path(source), os.fspath(source)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
            raise ImageError(f"{name}: {found}, not an image file", ErrorCode.UNREADABLE)
        _check_bytes(status.st_size, name, limits)
        with path.open("rb") as file:
            yield file, name
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"{name}: no such file; check the path", ErrorCode.MISSING) from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be read ({error}); check its permissions", ErrorCode.UNREADABLE) from error


def _check_bytes(size: int, name: str, limits: Limits) -> None:
    if size == 0:
        raise ImageError(f"{name}: the file is empty; copy or record it again", ErrorCode.EMPTY)
    if size > limits.bytes:
        raise _too_many_bytes(name, limits)


def _check_pixels(shape: tuple[int, ...], name: str, limits: Limits) -> None:
    if shape[0] * shape[1] > limits.pixels:
        raise ImageError(
            f"{name}: {shape[1]} x {shape[0]} pixels, the limit is {limits.pixels:,}; where the image is right, train "
            f"with --set image.max_pixels={shape[0] * shape[1]} or more, which the model keeps",
            ErrorCode.TOO_LARGE,
        )


def _identify(file: BinaryIO, name: str, limits: Limits) -> Stored:
    with _decoding(name):
        stored = identify(file, name)
    _check_pixels((stored.height, stored.width), name, limits)
    if stored.height * stored.width == 0:
        raise ImageError(f"{name}: an image without any pixel; record it again", ErrorCode.EMPTY)
    return stored


def _too_many_bytes(name: str, limits: Limits) -> ImageError:
    return ImageError(
        f"{name}: too large a file, the limit is {limits.bytes:,} bytes; compress it, or train with a larger "
        "image.max_pixels, which the model keeps",
        ErrorCode.TOO_LARGE,
    )


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Whatever a decoder raises on a damaged file becomes an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        code = ErrorCode.TRUNCATED if "truncated" in str(error).lower() else ErrorCode.UNREADABLE
        raise ImageError(f"{name}: cannot be decoded ({error}); copy or record it again", code) from error
