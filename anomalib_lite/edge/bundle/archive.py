"""A bundle as one zip file: packed to the same bytes each time, read within limits, in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from anomalib_lite.edge.bundle import reading
from anomalib_lite.errors import AnomalibLiteError, ModelError

SUFFIX = ".zip"
MAX_FILES, MAX_TOTAL = 1_000, 2**30
MAX_DIRECTORY = 2**20  # bytes of the table of contents
SMALL, RATIO = 64 * 2**20, 32  # unpacked it has at most so many bytes, or is so many times as large
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without an end to how much at once
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can state: it says nothing of its making


def pack(contents: Mapping[str, bytes]) -> bytes:
    """Names and contents as a zip file, stored without compression (weights do not shrink)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # the same bytes on every system
            archive.writestr(entry, data)
    return buffer.getvalue()


class Packed:
    """A zip file of which only the table of contents was read."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        """Check what the table of contents says.

        Raises:
            ModelError: It names a file twice, or more and larger ones than a bundle has.
        """
        self._path, self._archive = path, archive
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise ModelError(f"{path}: holds a file twice. Export the model again.")
        total, limit = sum(entry.file_size for entry in entries), min(MAX_TOTAL, max(SMALL, RATIO * size))
        if len(entries) > MAX_FILES or total > limit:
            raise ModelError(
                f"{path}: {len(entries):,} files of {total:,} bytes; a bundle has at most {MAX_FILES:,} of "
                f"{limit:,} in a zip of this size. Export the model again."
            )

    def read(self, name: str, limit: int) -> bytes | None:
        """The bytes of a file; None where there is none of this name.

        Raises:
            ModelError: It is larger than `limit` or than the table of contents says, or is packed in a strange way.
        """
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry.file_size > limit or entry.compress_type not in METHODS:
            raise ModelError(
                f"{self._path}: {name} has {entry.file_size:,} bytes, packed by method {entry.compress_type}; expected "
                f"are at most {limit:,}, stored or deflated. Export the model again."
            )
        with self._archive.open(entry) as file:
            return file.read(entry.file_size)

    def refuse_others(self, names: Collection[str]) -> None:
        """Raise a ModelError if the zip holds a file of another name."""
        if others := [name for name in self._entries if name not in names]:
            raise ModelError(
                f"{self._path}: holds {others[0]!r}, which its manifest does not list. Export the model again."
            )


@contextmanager
def opened(path: Path) -> Iterator[Packed]:
    """A zip file; nothing of it is written anywhere.

    Raises:
        ModelError: It is no zip, is damaged or encrypted, or is larger than a bundle can be.
    """
    try:
        with reading.opened(path, MAX_TOTAL) as file:
            bounded = _Bounded(file)
            with zipfile.ZipFile(cast("BinaryIO", bounded)) as archive:
                bounded.limit = MAX_TOTAL
                yield Packed(path, archive, file.seek(0, io.SEEK_END))
    except AnomalibLiteError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from error
    except Exception as error:  # each fault of a zip has errors of its own
        raise ModelError(
            f"{path}: is neither a model folder nor a sound zip of one ({error}). Give what `train` or `export` made."
        ) from error


class _Bounded(io.RawIOBase):
    """A file of which at most `limit` bytes are read at once: zipfile reads a table of contents of any size whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.limit = file, MAX_DIRECTORY

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(min(size, self.limit + 1) if size >= 0 else self.limit + 1)
        if len(found) > self.limit:
            raise ValueError(f"its table of contents has more than {self.limit:,} bytes")
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True
