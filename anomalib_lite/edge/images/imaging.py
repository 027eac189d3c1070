"""Images from files, bytes or arrays, at full bit depth; and the one resize of training, calibration and device."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images import readers as reading
from anomalib_lite.edge.images.formats.identify import identify
from anomalib_lite.edge.images.formats.stored import Stored, orient
from anomalib_lite.edge.images.picture import EXPECTED, Header, Picture, fault, finite
from anomalib_lite.edge.images.picture import Pixels as Pixels
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.images.resampling import conform as conform
from anomalib_lite.edge.images.resampling import luma as luma
from anomalib_lite.edge.images.resampling import resize as resize
from anomalib_lite.edge.images.resampling import resize_map as resize_map
from anomalib_lite.edge.images.series import files_of
from anomalib_lite.errors import ErrorCode, ImageError

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
SERIES = 8  # times as many bytes as a file may have, the files of one series may have together


@dataclass(frozen=True, slots=True)
class FileBytes:
    """The bytes of an image file under its name, where the suffix decides on a reader."""

    name: str
    content: bytes = field(repr=False)


File: TypeAlias = str | os.PathLike[str] | bytes | FileBytes


@dataclass(frozen=True, eq=False)
class Opened(Picture):
    """A decoded image, and what it was decoded from."""

    sha256: str = ""  # of the file's bytes; of one among several of 'SHA-256 of the file#key'; empty for arrays
    file: FileBytes | None = None  # None for arrays, and for images of a file or of a series that holds several
    orientation: int = 1  # EXIF, 1..8: how the pixels were turned; 1 is not


def read_header(source: File, limits: Limits = LIMITS, *, readers: Readers = NO_READERS) -> Header:
    """Size, channels and dtype: cheap enough for every file of a large folder, but for those that have a reader.

    Raises:
        ImageError: The file is missing, too large, no image, or of a kind that `formats` refuses; damage is not seen.
    """
    if reading.suffix_of(named(source), readers) is None:
        with opened(source, limits) as (file, name):
            if reading.sniffed(name, file.read(reading.HEAD), readers) is None:
                file.seek(0)
                one = _identify(file, name, limits)
                return Header(one.height, one.width, one.channels, one.dtype, one.format, one.orientation)
    return Header.of(read(source, limits, readers=readers), reading.suffix_of(named(source), readers))


def read(
    source: File | NDArray[Any],
    limits: Limits = LIMITS,
    *,
    readers: Readers = NO_READERS,
    files: Sequence[Path] | None = None,
) -> Opened:
    """Read one image as it is: never scaled by value, never converted to 8 bit or to other channels.

    An array is taken as it is if it is one of `picture.EXPECTED`; three channels are RGB, not BGR. A file whose name
    ends with the suffix of a reader goes to that reader, and `scan.dcm#12` is the image 12 of such a file; for all
    others the rules are those of `formats`. The file is read once: hashed and decoded from the same bytes. Safe from
    several threads.

    Args:
        source: The image.
        limits: What is refused.
        readers: By suffix.
        files: Those of the series that the source names, where they are known.

    Raises:
        ImageError: The image cannot be measured; `code` says why.
    """
    if isinstance(source, np.ndarray):
        return Opened(_checked(source, limits))
    file, key = divided(source, readers)
    found = None
    for found, picture in each(file, limits, readers=readers, files=files):
        if found == key:
            return picture
    if key is None:
        said = f"holds several images: name one, as '{PurePath(named(file)).name}#{found}'; predict judges all of them"
        raise ImageError(f"{named(file)}: {said}", ErrorCode.SEVERAL_FRAMES)
    raise no_such_image(file, key)


def each(
    source: File, limits: Limits = LIMITS, *, readers: Readers = NO_READERS, files: Sequence[Path] | None = None
) -> Iterator[tuple[str | None, Opened]]:
    """All images of a file, each with its key; the key is None where the file holds one image and no series of them.

    Args:
        source: The file.
        limits: What is refused.
        readers: By suffix.
        files: Those of the series that the source names, where they are known.

    Raises:
        ImageError: An image cannot be measured, or two have one key; `code` says why.
    """
    names, contents = zip(*(_content(one, limits) for one in files or files_of(source, readers)), strict=True)
    if sum(map(len, contents)) > SERIES * limits.bytes:
        raise _too_many_bytes(named(source), limits)
    name, data = named(source), contents[0]
    suffix = reading.suffix_of(name, readers) or reading.sniffed(name, data[: reading.HEAD], readers)
    digest, file = hashlib.sha256(data).hexdigest(), FileBytes(name, data)
    if suffix is None:
        pixels, note, orientation = _decoded(data, name, limits)
        yield None, Opened(pixels, sha256=digest, note=note, file=file, orientation=orientation)
        return
    if len(contents) > 1:
        digest = hashlib.sha256("".join(hashlib.sha256(one).hexdigest() for one in contents).encode()).hexdigest()
    for key, found in reading.decode(readers[suffix], suffix, contents, name, names):
        _check_pixels(found.pixels.shape, name, limits)
        own = digest if key is None else hashlib.sha256(f"{digest}#{key}".encode()).hexdigest()
        kept = file if key is None and len(contents) == 1 else None
        yield key, Opened(**vars(found), sha256=own, file=kept)


def no_such_image(file: File, key: str | None) -> ImageError:
    """The error of a key that a file does not have."""
    return ImageError(f"{named(file)}: holds no image '{key}'; check what is behind '#'", ErrorCode.MISSING)


def named(source: File) -> str:
    """What a file is called."""
    if isinstance(source, FileBytes):
        return source.name
    return os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else BYTES_NAME


def divided(source: File, readers: Readers) -> tuple[File, str | None]:
    """A file, and the key of one of its images where the name has one behind '#'."""
    base, key = reading.divided(named(source), readers)
    if key is None or (isinstance(source, str | os.PathLike) and os.path.lexists(source)):
        return source, None
    return (FileBytes(base, source.content) if isinstance(source, FileBytes) else base), key


def _content(source: File, limits: Limits) -> tuple[str, bytes]:
    """Name and bytes of a file."""
    with opened(source, limits) as (file, name):
        data = file.read(limits.bytes + 1)
    if len(data) > limits.bytes:
        raise _too_many_bytes(name, limits)
    return name, data


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
    pixels = np.ascontiguousarray(pixels.reshape(stored.height, stored.width, stored.channels))
    return pixels, stored.note, stored.orientation


def _checked(pixels: NDArray[Any], limits: Limits) -> Pixels:
    if problem := fault(pixels):
        hint = ": a grey image is array[:, :, None]" if pixels.ndim == 2 else ""
        if isinstance(pixels, np.ma.MaskedArray):
            hint = ": give array.filled(value), and mask what is not to be inspected with image.roi"
        raise ImageError(f"{problem[0]} was given; expected {EXPECTED}{hint}", problem[1])
    if not finite(pixels):
        raise ImageError("the array holds NaN or infinite values; give them another value", ErrorCode.NOT_FINITE)
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
