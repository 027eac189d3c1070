"""Which files are images by their suffix: those that the host reads itself, and those that a reader is given for.

A reader is a function from an open file to pixels. It is handed over by the program (`Model(path, readers=...)`); what
a bundle says of readers is for messages only, and never imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from types import MappingProxyType
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.manifest import ReaderRecord
from anomalib_lite.errors import ConfigError, ErrorCode, ImageError

Read: TypeAlias = Callable[[BinaryIO], NDArray[Any]]  # -> (H, W, C) uint8 or uint16, C in {1, 3}
Readers: TypeAlias = Mapping[str, Read]  # suffix -> reader: {".dcm": read}

NO_READERS: Readers = MappingProxyType({})
IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".pgm", ".ppm",
)  # fmt: skip
OTHER_SUFFIXES = (".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jpx", ".jxl", ".psd")
"""Images, too: read where the content is of another kind than the name says, told of as unreadable otherwise."""
TABLE_SUFFIXES = (".csv", ".tsv")
_SUFFIX = re.compile(r"(\.[a-z0-9_+-]+)+")


def suffix_of(name: str, readers: Iterable[str]) -> str | None:
    """The suffix by which a file has a reader, the longest where several fit; None where it has none."""
    return max((suffix for suffix in readers if name.lower().endswith(suffix)), key=len, default=None)


def is_image(name: str, readers: Iterable[str]) -> bool:
    """Whether a file is an image by its suffix."""
    return name.lower().endswith(IMAGE_SUFFIXES + OTHER_SUFFIXES) or suffix_of(name, readers) is not None


def fault(suffix: object) -> str | None:
    """Why a reader cannot have a suffix, in half a sentence; None where it can."""
    if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
        return f"suffix {suffix!r}: expected a dot and lower-case letters or digits, such as '.dcm'"
    if suffix.endswith((*IMAGE_SUFFIXES, *TABLE_SUFFIXES)):
        return f"suffix '{suffix}': the host reads these files itself; leave it out"
    return None


def complete(readers: Readers, known: Sequence[ReaderRecord]) -> Readers:
    """The readers of a model: those that are given, and for others that it knows a function that says what to install.

    Args:
        readers: Suffixes to readers.
        known: The readers that the model was made with.

    Raises:
        ConfigError: A suffix that no reader can have, or a reader that is no function.
    """
    for suffix, read in readers.items():
        wrong = fault(suffix) or (None if callable(read) else f"'{suffix}': {read!r} is not a function")
        if wrong:
            raise ConfigError(f"readers: {wrong}.")
    return {one.suffix: _missing(one) for one in known} | dict(readers)


def decode(read: Read, suffix: str, data: bytes, name: str) -> NDArray[Any]:
    """The pixels that a reader finds in a file, as an array of their own in this machine's byte order.

    Raises:
        ImageError: With the reader's own code where it raises one; `reader_failed` where it raises anything else or
            returns no image.
    """
    try:
        pixels = read(BytesIO(data))
    except ImageError as error:
        raise ImageError(f"{name}: {error}", error.code) from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ImageError(
            f"{name}: the reader of '{suffix}' files failed ({reason})", ErrorCode.READER_FAILED
        ) from error
    found = _found(pixels)
    if found:
        raise ImageError(
            f"{name}: the reader of '{suffix}' files returned {found}; "
            "expected a numpy array (height, width, channels) of uint8 or uint16, with 1 or 3 channels",
            ErrorCode.READER_FAILED,
        )
    if pixels.dtype.itemsize == 2 and pixels.shape[2] == 3:
        raise ImageError(f"{name}: 16-bit colour cannot be inspected; read one channel", ErrorCode.UNSUPPORTED_MODE)
    return np.array(pixels, dtype=pixels.dtype.newbyteorder("="), order="C", subok=False)


def _found(pixels: object) -> str | None:
    """What was returned instead of an image; None where it is one."""
    if not isinstance(pixels, np.ndarray):
        return f"an object of type {type(pixels).__name__}"
    if isinstance(pixels, np.ma.MaskedArray):
        return "a masked array"
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        return f"an array of {pixels.dtype}"
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        return f"an array of shape {pixels.shape}"
    return None


def _missing(known: ReaderRecord) -> Read:
    def read(file: BinaryIO) -> NDArray[Any]:
        raise ImageError(
            f"'{known.suffix}' files need a reader that is not here: install {known.package} (the model was made with "
            f"{known.version}), or give Model(..., readers={{'{known.suffix}': read}})",
            ErrorCode.NO_READER,
        )

    return read
