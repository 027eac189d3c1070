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

from anomalib_lite.edge.images.picture import Picture, checked
from anomalib_lite.edge.manifest import ReaderRecord
from anomalib_lite.errors import ConfigError, ErrorCode, ImageError

Read: TypeAlias = Callable[[BinaryIO], Any]  # -> Picture, or its pixels alone
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


def decode(read: Read, suffix: str, data: bytes, name: str) -> Picture:
    """What a reader finds in a file, its pixels an array of their own in this machine's byte order.

    Raises:
        ImageError: With the reader's own code where it raises one; `reader_failed` where it raises anything else or
            returns no image; `not_finite` where a pixel is NaN or infinite.
    """
    try:
        returned = read(BytesIO(data))
    except ImageError as error:
        raise ImageError(f"{name}: {error}", error.code) from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ImageError(
            f"{name}: the reader of '{suffix}' files failed ({reason})", ErrorCode.READER_FAILED
        ) from error
    return checked(returned, name, f"the reader of '{suffix}' files")


def _missing(known: ReaderRecord) -> Read:
    def read(file: BinaryIO) -> Any:
        raise ImageError(
            f"'{known.suffix}' files need a reader that is not here: install {known.package} (the model was made with "
            f"{known.version}), or give Model(..., readers={{'{known.suffix}': read}})",
            ErrorCode.NO_READER,
        )

    return read
