"""What is known of files that hold several images, and of series of files that are one: found once, read in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from anomalib_lite.edge.images.imaging import File, FileBytes, Opened, named, no_such_image

KEPT = 1 << 28  # bytes of images that are kept
Start = Callable[[], Iterator[tuple[str | None, Opened]]]


@dataclass
class _Reading:
    """A file that holds several images, how far it is read, and those of them that are kept."""

    rest: Iterator[tuple[str | None, Opened]] = field(default_factory=lambda: iter(()))
    passed: dict[str, Opened | None] = field(default_factory=dict)  # by key
    bytes: int = 0  # that the kept ones take

    def take(self, key: str) -> Opened | None:
        """An image that was kept, or is still to come; None where there is none."""
        if (kept := self.passed.get(key)) is not None:
            return kept
        for found, picture in self.rest:
            self.bytes += picture.pixels.nbytes + (0 if picture.valid is None else picture.valid.nbytes)
            self.passed[found or ""] = picture
            if self.bytes > KEPT:
                self.forget()
            if found == key:
                return picture
        return None

    def forget(self) -> None:
        """Keep none of its images: those that were passed have to be read again."""
        self.passed, self.bytes = dict.fromkeys(self.passed), 0


@dataclass
class Catalogue:
    """Shared by all that open files of one model or data set. Safe from several threads.

    A training asks for the images of volumes in any order, many times, and to get at one, those before it are read. So
    those that were read are kept, of the last files that fit into `KEPT` bytes; only the last file stays half read.
    """

    series: dict[Path, Sequence[Path]] = field(default_factory=dict)  # name of a series -> its files
    parts: dict[Path, str] = field(default_factory=dict)  # image -> the part that its file names
    unread: set[Path] = field(default_factory=set)  # files of which nobody knows what they hold: parts of their own
    _lock: Lock = field(default_factory=Lock)
    _readings: dict[object, _Reading] = field(default_factory=dict)  # state of a file -> its images; the last one last

    def files(self, file: File) -> Sequence[Path] | None:
        """The files of a series of this name; None where it is none that is known."""
        return None if isinstance(file, bytes | FileBytes) else self.series.get(Path(file))

    def take(self, file: File, key: str, start: Start) -> Opened:
        """One of the images of a file. Where they are asked for in order, or are kept, the file is read once.

        Args:
            file: The file.
            key: Of the image.
            start: Begins to read its images.

        Raises:
            ImageError: There is no such image, or what comes before it cannot be read.
        """
        files = self.files(file)
        state = _state(file) if files is None else tuple(map(_state, files))  # no file has the name of a series
        with self._lock:
            reading = self._readings.pop(state, None) or _Reading(start())
            found = reading.take(key)
            if found is None:  # it was passed, or came too early for this reading
                reading = _Reading(start())
                found = reading.take(key)
            if found is None:
                raise no_such_image(file, key)
            if state is not None:
                self._remember(state, reading)
            return found

    def _remember(self, state: object, reading: _Reading) -> None:
        """Keep a file as the last one, and of those before it as many as fit."""
        for other in self._readings.values():
            other.rest = iter(())  # what is half read holds the whole file
        self._readings[state] = reading
        while sum(one.bytes for one in self._readings.values()) > KEPT:
            del self._readings[next(iter(self._readings))]


def _state(file: File) -> Any:
    """What tells a file from a later one in its place; None where nothing does."""
    if isinstance(file, bytes | FileBytes):
        return None
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return None
    return named(file), status.st_mtime_ns, status.st_size
