"""Opens image files: those of the host's formats, and those that readers are given for, within limits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from anomalib_lite.edge.images import imaging, kept, readers
from anomalib_lite.edge.images.formats.identify import reader_of
from anomalib_lite.edge.images.imaging import BYTES_PER_PIXEL, LIMITS, File, FileBytes, Header, Limits, Opened
from anomalib_lite.edge.images.kept import Kept
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.errors import ImageError


@dataclass(frozen=True)
class Opener:
    """What can be opened, and how. Safe from several threads."""

    readers: Readers = field(default_factory=lambda: NO_READERS)  # by suffix, for what the host does not read
    limits: Limits = LIMITS

    def read(self, source: File | NDArray[Any]) -> Opened:
        """One image as it is: `imaging.read`.

        Raises:
            ImageError: It cannot be measured.
        """
        if isinstance(source, Kept):
            return self._kept(source)
        return imaging.read(source, self.limits, readers=self.readers)

    def _kept(self, file: Kept) -> Opened:
        """A file of a bundle, as it was kept: its own .npy files are no matter of readers."""
        own = file.name.endswith(kept.NPY) and file.content.startswith(kept.MAGIC)
        source = kept.decode(file.name, file.content) if own else FileBytes(file.name, file.content)
        found = imaging.read(source, self.limits, readers=self.readers)
        if file.valid is None:
            return found
        return replace(found, valid=imaging.read(file.valid, self.limits).pixels[..., 0] > 0)

    def header(self, source: File) -> Header:
        """Size, channels and dtype of an image file: `imaging.read_header`.

        Raises:
            ImageError: It is missing, too large, or no image.
        """
        return imaging.read_header(source, self.limits, readers=self.readers)

    def memory(self, source: File) -> int:
        """Bytes that decoding a file takes at most, beside the file: by its header, or by the limit with a reader."""
        if isinstance(source, FileBytes) and self.suffix(source.name):
            return BYTES_PER_PIXEL * self.limits.pixels
        try:
            header = self.header(source)
        except ImageError:
            return 0  # nothing is decoded
        return BYTES_PER_PIXEL * header.height * header.width

    def is_image(self, name: str) -> bool:
        """Whether a file is an image by its suffix."""
        return readers.is_image(name, self.readers)

    def finds(self, path: Path) -> bool:
        """Whether a file is an image: by its suffix, or by its first bytes where its name has none."""
        if path.suffix:
            return self.is_image(path.name)
        try:
            with imaging.opened(path, self.limits) as (file, _):
                return reader_of(file.read(16)) is not None
        except ImageError:
            return False

    def suffix(self, name: str) -> str | None:
        """The suffix by which a file has a reader; None where the host reads it, or nobody does."""
        return readers.suffix_of(name, self.readers)


PLAIN = Opener()
"""Opens the host's own formats."""
