"""Opens image files: those of the host's formats, and those that readers are given for, within limits."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images import imaging, kept, readers
from anomalib_lite.edge.images.catalogue import Catalogue
from anomalib_lite.edge.images.formats.identify import reader_of
from anomalib_lite.edge.images.imaging import BYTES_PER_PIXEL, LIMITS, File, FileBytes, Limits, Opened
from anomalib_lite.edge.images.kept import Kept
from anomalib_lite.edge.images.picture import Header
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.images.series import gathered
from anomalib_lite.errors import ImageError, NotAnImage


@dataclass(frozen=True)
class Opener:
    """What can be opened, and how. Safe from several threads."""

    readers: Readers = field(default_factory=lambda: NO_READERS)  # by suffix, for what the host does not read
    limits: Limits = LIMITS
    catalogue: Catalogue = field(default_factory=Catalogue, compare=False, repr=False)

    def read(self, source: File | NDArray[Any]) -> Opened:
        """One image as it is: `imaging.read`.

        Raises:
            ImageError: It cannot be measured.
        """
        if isinstance(source, Kept):
            return self._kept(source)
        if isinstance(source, np.ndarray):
            return imaging.read(source, self.limits)
        file, key = imaging.divided(source, self.readers)
        files = self.catalogue.files(file)
        if key is None:
            return imaging.read(file, self.limits, readers=self.readers, files=files)
        start = lambda: imaging.each(file, self.limits, readers=self.readers, files=files)  # noqa: E731
        return self.catalogue.take(file, key, start)

    def _kept(self, file: Kept) -> Opened:
        """A file of a bundle, as it was kept: its own .npy files are no matter of readers."""
        own = file.name.endswith(kept.NPY) and file.content.startswith(kept.MAGIC)
        source = kept.decode(file.name, file.content) if own else FileBytes(file.name, file.content)
        found = imaging.read(source, self.limits, readers=self.readers)
        valid = found.valid if file.valid is None else imaging.read(file.valid, self.limits).pixels[..., 0] > 0
        return replace(found, valid=valid, corners=found.corners if file.corners is None else file.corners)

    def kept(self, path: Path, name: str) -> Kept:
        """A file as a bundle keeps it: itself, or where it is one image of several or of a series, what was read.

        Raises:
            ImageError: It cannot be read.
        """
        if self.suffix(path.name) and (not path.is_file() or self.catalogue.files(path) is not None):
            return kept.of(self.read(path), name.replace("#", "-"))
        with imaging.opened(path, self.limits) as (file, _):
            return Kept(name, file.read())

    def images(self, paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
        """The images of files, and the files that hold none.

        Files of the host's formats are images. Those with readers are opened: `scan.dcm#12` is one of the images of
        a file that holds several, and a series of files is one under a name of its own. One that cannot be read stays,
        to be told of where it is read.

        Raises:
            PluginError: A reader gathers files into nonsense.
        """
        series = self.series(paths)
        asked = [path for path in series if self.suffix(path.name) or self._sniffs(path)]
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            contents = dict(zip(asked, pool.map(self._contents, asked), strict=True))
        used = {file for name, files in series.items() if contents.get(name) != [] for file in files}
        found = [one for name in series for one in contents.get(name, [name])]
        self._place_unread(found)
        return found, [path for path in paths if path not in used]

    def photographs(self, path: Path) -> list[Path]:
        """What a part is photographed in: all images of a folder, by their names, or of a file, in its order.

        A file that cannot be read stays, to be told of where it is read.
        """
        if not path.is_dir():
            return self.images([path])[0] or [path]
        files = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
        return self.images([one for one in files if self.finds(one)])[0]

    def series(self, paths: Sequence[Path]) -> dict[Path, Sequence[Path]]:
        """Each image file by itself, and each series by a name, with its files; without what belongs to none.

        Raises:
            PluginError: A reader gathers files into nonsense.
        """
        known = self.catalogue.series
        left: dict[Path, Sequence[Path]] = {path: known.get(path, [path]) for path in paths}
        passed = set[str]()
        for suffix, reader in self.readers.items():
            if readers.whole(reader).gather is None or suffix in passed:
                continue
            passed.update(alike := readers.of_one_type(suffix, self.readers))
            suffixes = {path: own for path in left if path not in known and (own := self._own_suffix(path)) in alike}
            if mine := list(suffixes):
                series = gathered(reader, suffix, mine, suffixes)
                known.update({name: files for name, files in series.items() if [name] != files})
                first, others = {files[0]: name for name, files in series.items()}, set(mine)
                left = {
                    first.get(path, path): files for path, files in left.items() if path in first or path not in others
                }
                left.update(series)
        return left

    def _own_suffix(self, path: Path) -> str | None:
        """The suffix by which a file has a reader; None where nobody reads it, and of one of the images of a file."""
        return self.suffix_at(path) if self.file_of(path.name) is None else None

    def _contents(self, path: Path) -> list[Path]:
        """The images of a file that has a reader; the file itself where it cannot be read."""
        found, parts = list[Path](), dict[Path, str]()
        files = self.catalogue.files(path)
        try:
            for key, picture in imaging.each(path, self.limits, readers=self.readers, files=files):
                found.append(path if key is None else path.with_name(f"{path.name}#{key}"))
                if picture.part is not None:
                    parts[found[-1]] = picture.part
        except NotAnImage:
            return []
        except ImageError as error:
            if error.part is None:
                self.catalogue.unread.add(path)
            else:
                self.catalogue.parts[path] = error.part
            return [path]
        self.catalogue.parts.update(parts)
        return found

    def _place_unread(self, found: Sequence[Path]) -> None:
        """Say what cannot be read of the part that its folder shows, where all else in it is of one part."""
        beside = defaultdict[Path, set[str]](set)
        for path in found:
            if part := self.catalogue.parts.get(path):
                beside[path.parent].add(part)
        for path in [one for one in found if one in self.catalogue.unread and len(beside[one.parent]) == 1]:
            self.catalogue.unread.remove(path)
            self.catalogue.parts[path] = next(iter(beside[path.parent]))

    def header(self, source: File) -> Header:
        """Size, channels and dtype of an image file: `imaging.read_header`.

        Raises:
            ImageError: It is missing, too large, or no image.
        """
        file, key = imaging.divided(source, self.readers)
        if key is None and self.catalogue.files(file) is None:
            return imaging.read_header(source, self.limits, readers=self.readers)
        return Header.of(self.read(source), self.suffix(imaging.named(source)))

    def memory(self, source: File) -> int:
        """Bytes that decoding a file takes at most, beside the file: by its header, or by the limit with a reader."""
        if isinstance(source, FileBytes) and self.reads(source):
            return BYTES_PER_PIXEL * self.limits.pixels
        try:
            header = self.header(source)
        except ImageError:
            return 0  # nothing is decoded
        return BYTES_PER_PIXEL * header.height * header.width

    def reads(self, file: FileBytes) -> bool:
        """Whether a reader reads a file."""
        known = self.suffix(file.name) or readers.sniffed(file.name, file.content[: readers.HEAD], self.readers)
        return known is not None

    def named(self, name: str, content_type: str) -> str:
        """The name of a file, with the suffix of the reader for its content type where it has none of a reader's."""
        of_type = (suffix for suffix, one in self.readers.items() if content_type in readers.whole(one).content_types)
        known = next(of_type, None)  # those of the model come first
        if known is None or self.suffix(name) is not None:
            return name
        base, mark, key = name.partition("#")
        return f"{base}{known}{mark}{key}"

    @property
    def content_types(self) -> set[str]:
        """The content types that readers read."""
        return {kind for one in self.readers.values() for kind in readers.whole(one).content_types}

    def is_image(self, name: str) -> bool:
        """Whether a file is an image by its suffix."""
        return readers.is_image(name, self.readers)

    def finds(self, path: Path) -> bool:
        """Whether a file is an image: by its suffix, or by its first bytes where its name has none."""
        if self.is_image(path.name):
            return True
        return readers.tells_nothing(path.name) and self.knows(path.name, self._head(path))

    def knows(self, name: str, head: bytes) -> bool:
        """Whether a file whose name has no suffix is an image by its first bytes, `readers.HEAD` of them."""
        return reader_of(head[:16]) is not None or readers.sniffed(name, head, self.readers) is not None

    def _sniffs(self, path: Path) -> bool:
        """Whether a reader knows a file by its first bytes."""
        if not readers.tells_nothing(path.name) or not self.readers:
            return False
        return readers.sniffed(path.name, self._head(path), self.readers) is not None

    def _head(self, path: Path) -> bytes:
        """The first bytes of a file; none where it cannot be opened."""
        try:
            with imaging.opened(path, self.limits) as (file, _):
                return file.read(readers.HEAD)
        except ImageError:
            return b""

    def suffix_at(self, path: Path) -> str | None:
        """The same for a file, by its first bytes where its name tells nothing."""
        known = self.suffix(path.name)
        if known is not None or not readers.tells_nothing(path.name.partition("#")[0]):
            return known
        file = Path(imaging.named(imaging.divided(path, self.readers)[0]))
        return readers.sniffed(file.name, self._head(file), self.readers)

    def file_of(self, name: str) -> str | None:
        """The file that an image is one of several of, "scan.dcm" of "scan.dcm#12"; None where it is alone in it."""
        file, key = readers.divided(name, self.readers)
        return None if key is None else file

    def suffix(self, name: str) -> str | None:
        """The suffix by which a file has a reader; None where the host reads it, or nobody does."""
        return readers.suffix_of(readers.divided(name, self.readers)[0], self.readers)


PLAIN = Opener()
"""Opens the host's own formats."""
