"""Which files are images by their suffix: those that the host reads itself, and those that a reader is given for.

A reader is a function from an open file to pixels. It is handed over by the program (`Model(path, readers=...)`); what
a bundle says of readers is never imported. A file may hold several images: `scan.dcm#12` names one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from inspect import signature
from io import BytesIO
from pathlib import Path, PurePath
from types import MappingProxyType, SimpleNamespace
from typing import Any, BinaryIO, TypeAlias

from anomalib_lite.edge.images.formats.identify import reader_of
from anomalib_lite.edge.images.picture import Picture, checked
from anomalib_lite.edge.manifest import ReaderRecord
from anomalib_lite.errors import ConfigError, ErrorCode, ImageError, NotAnImage

Read: TypeAlias = Callable[..., Any]  # (file[, options]) -> Picture, its pixels alone, or an iterator of (key, Picture)
Gather: TypeAlias = Callable[..., Iterable[tuple[str | Path, Sequence[Path]]]]  # of paths[, options]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A reader with all that may belong to it, as a program hands it over; a function alone does where nothing does."""

    read: Read
    options: Mapping[str, Any] | None = None  # what `read` gets behind the file, as a namespace
    gather: Gather | None = None  # where several files are one image or one series: `read` gets a list of files
    sniff: Callable[[bytes], bool] | None = None  # whether the first bytes are of such a file, where its name has none
    guards: tuple[str, ...] = ()  # keys of `Picture.meta` that have to be as in the training: `ReaderInfo`
    content_types: tuple[str, ...] = ()  # by which `serve` knows such files
    preset: bool = False  # whether the options are defaults, which those of a model take the place of

    def __call__(self, files: Sequence[BinaryIO]) -> Any:
        """What is read from a file, or from the files of a series."""
        given: Any = list(files) if self.gather else files[0]
        return self.read(given) if self.options is None else self.read(given, SimpleNamespace(**self.options))


Readers: TypeAlias = Mapping[str, Reader | Read]  # by suffix: {".dcm": read}

END = object()
HEAD = 4096  # bytes that `sniff` gets
KEY = re.compile(r"[A-Za-z0-9_=+-]([A-Za-z0-9._=+-]{0,62}[A-Za-z0-9_=+-])?")  # safe in a name on every file system
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
        ConfigError: A suffix that no reader can have, a reader that is no function, or one of other options.
    """
    for suffix, read in readers.items():
        known_as = read.read if isinstance(read, Reader) else read
        wrong = fault(suffix) or (None if callable(known_as) else f"'{suffix}': {known_as!r} is not a function")
        if wrong:
            raise ConfigError(f"readers: {wrong}.")
    made = {one.suffix: _as_made(readers[one.suffix], one) for one in known if one.suffix in readers}
    return {one.suffix: _missing(one) for one in known} | dict(readers) | made


def _as_made(reader: Reader | Read, known: ReaderRecord) -> Reader | Read:
    """A reader with the options that the model was made with, and its defaults for those that it did not have yet.

    Raises:
        ConfigError: It has others, or takes none.
    """
    own, asked = whole(reader), known.options
    if asked is None and (own.options is None or own.preset):
        return reader
    here = None if own.options is None else dict(own.options)
    fits = here is not None and asked is not None and (set(asked) <= set(here) if own.preset else here == dict(asked))
    if not fits and not (here is None and asked is not None and takes_options(own.read)):
        raise ConfigError(
            f"readers: '{known.suffix}': the model was made with {told(asked)}, this reader has {told(here)}, which "
            f"would be measured otherwise. Leave its options out, so that it gets those of the model as its "
            f"second argument; or install {known.package} {known.version}."
        )
    return replace(own, options={**(here or {}), **(asked or {})} if own.preset else asked)


def takes_options(function: Callable[..., Any]) -> bool:
    """Whether a function of a plugin takes the options of its reader, as a second argument."""
    try:
        signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # one that does not tell
        return True
    return True


def told(options: Mapping[str, Any] | None, beside: Mapping[str, Any] | None = None) -> str:
    """Options of a reader in words: all, or those that are others than the ones beside them."""
    if options is None:
        return "no options"
    other = beside or {}
    return ", ".join(f"{key}={value!r}" for key, value in options.items() if key not in other or other[key] != value)


def whole(reader: Reader | Read) -> Reader:
    """A reader with all that belongs to it."""
    return reader if isinstance(reader, Reader) else Reader(read=reader)


def of_one_type(suffix: str, readers: Readers) -> list[str]:
    """The suffixes of files that may be of one series: all of a reader that knows its files by their first bytes."""
    own = whole(readers[suffix])
    if own.gather is None or own.sniff is None:
        return [suffix]
    others = ((one, whole(reader)) for one, reader in readers.items())
    return [one for one, other in others if (other.gather, other.options) == (own.gather, own.options)]


def divided(name: str, readers: Readers) -> tuple[str, str | None]:
    """The name of a file and the key of one of its images: "scan.dcm", "12" of "scan.dcm#12"; "12#3.dcm" is a file."""
    base, mark, key = name.rpartition("#")
    if not mark or not KEY.fullmatch(key) or is_image(name, readers):
        return name, None
    sniffing = tells_nothing(base) and any(whole(one).sniff for one in readers.values())
    return (base, key) if sniffing or suffix_of(base, readers) else (name, None)


def tells_nothing(name: str) -> bool:
    """Whether the name of a file has no suffix, or one of digits alone: 1.2.840.10008."""
    suffix = PurePath(name).suffix
    return not suffix or suffix[1:].isdigit()


def sniffed(name: str, head: bytes, readers: Readers) -> str | None:
    """The suffix of the reader that knows a file by its first bytes, where its name tells nothing."""
    if not tells_nothing(name) or reader_of(head[:16]) is not None:
        return None
    for suffix, reader in readers.items():
        sniff = whole(reader).sniff
        with suppress(Exception):  # what a stranger's file makes of it is no answer
            if sniff is not None and sniff(head):
                return suffix
    return None


def decode(
    reader: Reader | Read, suffix: str, contents: Sequence[bytes], name: str, names: Sequence[str] = ()
) -> Iterator[tuple[str | None, Picture]]:
    """What a reader finds in a file or a series, each with its key; None where it is one image alone.

    Pixels are arrays of their own in this machine's byte order.

    Args:
        reader: The reader.
        suffix: Of its files.
        contents: Of the file, or of those of the series.
        name: What the image is called in messages.
        names: Of the files, which `read` sees as their `name`.

    Raises:
        ImageError: With the reader's own code where it raises one; `reader_failed` where it raises anything else,
            returns no image, or the same key twice; `not_finite` where a pixel is NaN or infinite.
    """
    who, seen = f"the reader of '{suffix}' files", set[str]()
    with _failing(who, name):
        called = [*(names or [name]), *[""] * len(contents)]
        returned = whole(reader)([_Named(*one) for one in zip(contents, called, strict=False)])
    if not isinstance(returned, Iterator):
        yield None, checked(returned, name, who)
        return
    while True:
        with _failing(who, name):
            item = next(returned, END)
        if item is END:
            break
        key, picture = _pair(item, seen, name, who)
        yield key, checked(picture, f"{name}#{key}", who)
    if not seen:
        said = f"{who} found no image in it; expected one at least, or NotAnImage raised"
        raise ImageError(f"{name}: {said}", ErrorCode.READER_FAILED)


class _Named(BytesIO):
    """The bytes of a file, which is called as it is: what tells one of several apart."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def _pair(item: Any, seen: set[str], name: str, who: str) -> tuple[str, Any]:
    """The key of an image, once, and the image."""
    if not isinstance(item, tuple) or len(item) != 2:
        said = f"yielded an object of type {type(item).__name__}; expected pairs of a key and a Picture"
        raise ImageError(f"{name}: {who} {said}", ErrorCode.READER_FAILED)
    key = str(item[0])
    if not isinstance(item[0], str | int) or not KEY.fullmatch(key):
        said = f"the key {item[0]!r}; expected a number, or up to 64 letters, digits and any of _=+-. within"
        raise ImageError(f"{name}: {who} yielded {said}", ErrorCode.READER_FAILED)
    if key in seen:
        raise ImageError(f"{name}: {who} yielded the key '{key}' twice; expected each once", ErrorCode.READER_FAILED)
    seen.add(key)
    return key, item[1]


@contextmanager
def _failing(who: str, name: str) -> Iterator[None]:
    """Whatever a reader raises becomes an `ImageError` of one line, with the file."""
    try:
        yield
    except NotAnImage as error:
        raise NotAnImage(f"{name}: {error}") from error
    except ImageError as error:
        raise ImageError(f"{name}: {error}", error.code, error.part) from error
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImageError(f"{name}: {who} failed ({reason})", ErrorCode.READER_FAILED) from error


def _missing(known: ReaderRecord) -> Read:
    def read(file: BinaryIO) -> Any:
        raise ImageError(
            f"'{known.suffix}' files need a reader that is not here: install {known.package} (the model was made with "
            f"{known.version}), or give Model(..., readers={{'{known.suffix}': read}})",
            ErrorCode.NO_READER,
        )

    return read
