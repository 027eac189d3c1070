"""What is known of files that hold several images, and of series of files that are one: found once, read in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from anomalib_lite.edge.images.imaging import File, FileBytes, Opened, named, no_such_image

Start = Callable[[], Iterator[tuple[str | None, Opened]]]


@dataclass
class Catalogue:
    """Shared by all that open files of one model or data set. Safe from several threads."""

    series: dict[Path, Sequence[Path]] = field(default_factory=dict)  # name of a series -> its files
    parts: dict[Path, str] = field(default_factory=dict)  # image -> the part that its file names
    _lock: Lock = field(default_factory=Lock)
    _of: Any = None  # the file that was read last
    _passed: set[str] = field(default_factory=set)  # keys of its images that were read
    _rest: Iterator[tuple[str | None, Opened]] = field(default_factory=lambda: iter(()))

    def files(self, file: File) -> Sequence[Path] | None:
        """The files of a series of this name; None where it is none that is known."""
        return None if isinstance(file, bytes | FileBytes) else self.series.get(Path(file))

    def take(self, file: File, key: str, start: Start) -> Opened:
        """One of the images of a file. Where they are asked for in order, the file is read once.

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
            if state is None or state != self._of or key in self._passed:
                self._of, self._passed, self._rest = state, set(), start()
            try:
                for found, picture in self._rest:
                    self._passed.add(found or "")
                    if found == key:
                        return picture
            except BaseException:
                self._of = None
                raise
            self._of = None
        raise no_such_image(file, key)


def _state(file: File) -> object:
    """What tells a file from a later one in its place; None where nothing does."""
    if isinstance(file, bytes | FileBytes):
        return file
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return None
    return named(file), status.st_mtime_ns, status.st_size
