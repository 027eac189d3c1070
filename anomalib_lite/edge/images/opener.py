"""Opens image files: those of the host's formats, and those that readers are given for, within limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from anomalib_lite.edge.images import imaging, readers
from anomalib_lite.edge.images.imaging import LIMITS, File, Header, Limits, Picture
from anomalib_lite.edge.images.readers import NO_READERS, Readers


@dataclass(frozen=True)
class Opener:
    """What can be opened, and how. Safe from several threads."""

    readers: Readers = field(default_factory=lambda: NO_READERS)  # by suffix, for what the host does not read
    limits: Limits = LIMITS

    def read(self, source: File | NDArray[Any]) -> Picture:
        """One image as it is: `imaging.read`.

        Raises:
            ImageError: It cannot be measured.
        """
        return imaging.read(source, self.limits, readers=self.readers)

    def header(self, source: File) -> Header:
        """Size, channels and dtype of an image file: `imaging.read_header`.

        Raises:
            ImageError: It is missing, too large, or no image.
        """
        return imaging.read_header(source, self.limits, readers=self.readers)

    def is_image(self, name: str) -> bool:
        """Whether a file is an image by its suffix."""
        return readers.is_image(name, self.readers)

    def suffix(self, name: str) -> str | None:
        """The suffix by which a file has a reader; None where the host reads it, or nobody does."""
        return readers.suffix_of(name, self.readers)


PLAIN = Opener()
"""Opens the host's own formats."""
