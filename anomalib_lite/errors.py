"""Every error that is the user's to read, as a tree.

AnomalibLiteError
 +-- ConfigError          an option, a configuration file, a command line        exit code 2
 |    +-- MissingExtra    a package that this use needs is not installed
 +-- DataError            images, masks, groups, splits                          exit code 3
 |    +-- ImageError      one image that cannot be measured; `code` says why
 |         +-- NotAnImage a file that holds no picture
 +-- ModelError           a bundle that is refused                               exit code 4
 |    +-- ExportError     a graph that cannot be exported
 |         +-- ParityFailed   the exported graph disagrees with torch
 +-- PluginError          a plugin that is missing or broken                     exit code 5

A message is one or two sentences: what happened, where, what was expected, what to do next.
Only `anomalib_lite.cli` turns errors into exit codes; a bug exits with 70.
"""

import re
from enum import StrEnum
from typing import Any

__all__ = [
    "AnomalibLiteError",
    "ConfigError",
    "DataError",
    "ErrorCode",
    "ExportError",
    "ImageError",
    "MissingExtra",
    "ModelError",
    "NotAnImage",
    "ParityFailed",
    "PluginError",
]


class ErrorCode(StrEnum):
    """Why an image has the verdict ERROR: short and stable, for result rows."""

    MISSING = "missing"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MODE = "unsupported_mode"
    SEVERAL_FRAMES = "several_frames"
    WRONG_DTYPE = "wrong_dtype"
    WRONG_CHANNELS = "wrong_channels"
    WRONG_SIZE = "wrong_size"
    WRONG_META = "wrong_meta"
    OTHER_GEOMETRY = "other_geometry"
    ALIGNMENT_FAILED = "alignment_failed"
    NOT_ALIKE = "not_alike"
    NOT_SEEN = "not_seen"
    UNKNOWN_PRODUCT = "unknown_product"
    NO_READER = "no_reader"
    READER_FAILED = "reader_failed"
    NOT_FINITE = "not_finite"
    INCOMPLETE_PART = "incomplete_part"
    INTERNAL = "internal"


class AnomalibLiteError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 70

    def __reduce__(self) -> tuple[Any, ...]:
        """For the way from another process: as it is, whatever the class is made of."""
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        """The message. It may end with that of another error: a sentence has one full stop."""
        return _DOUBLE_STOP.sub(r"\1.", super().__str__())


def _restored(kind: type[AnomalibLiteError], args: tuple[Any, ...], known: dict[str, Any]) -> AnomalibLiteError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(known)
    return error


_DOUBLE_STOP = re.compile(r"(?<=[^\s./\\])\.(\)?)\.(?=[\s)]|$)")  # not that of a path, such as ../parts


class ConfigError(AnomalibLiteError):
    """An option has no meaning, or no legal value."""

    exit_code = 2


class MissingExtra(ConfigError):  # noqa: N818
    """A package is needed that the base installation does not bring."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs '{package}': pip install 'anomalib-lite[{extra}]'")


class DataError(AnomalibLiteError):
    """The images, or what is said of them, cannot be used."""

    exit_code = 3


class ImageError(DataError):
    """One image cannot be measured. Its verdict is ERROR, never OK.

    `code` is one of `ErrorCode`, or a word of a reader's own. `part` is what `Picture.part` would say, where a reader
    knows it although it can read no more: the part is not OK without this image.
    """

    def __init__(self, message: str, code: str, part: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.part = part


class NotAnImage(ImageError):  # noqa: N818
    """A reader raises it for a file that holds no picture: it is passed over where a folder is searched."""

    def __init__(self, message: str = "holds no picture") -> None:
        super().__init__(message, ErrorCode.NOT_AN_IMAGE)


class ModelError(AnomalibLiteError):
    """A bundle is refused: damaged, incomplete, altered or too new."""

    exit_code = 4


class ExportError(ModelError):
    """A detector cannot be turned into a graph of standard operators."""


class ParityFailed(ExportError):  # noqa: N818
    """The exported graph does not compute what torch computes. Nothing was written."""


class PluginError(AnomalibLiteError):
    """A detector was asked for that no working plugin provides."""

    exit_code = 5
