"""The photographs of results as a browser shows them: found, compared with the hash of their row, scaled to 8 bits.

The one rule of scaling: 8 bits are shown as they are; of 16 bits, 0 is black, and the largest number of 8, 10, 12, 14
or 16 bits that the image needs is white; of signed and of broken numbers, the smallest is black and the largest white.
Where the model of the results is there, black and white are what it takes for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.data.masks import WHITE, union
from anomalib_lite.data.samples import Sample, normal
from anomalib_lite.edge import drawing
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Pixels
from anomalib_lite.errors import DataError, ImageError
from anomalib_lite.station.kept import Kept
from anomalib_lite.station.results import Entry, Results

THUMB = 240  # pixels, the longer side
LOSSLESS = 2_000_000  # pixels, up to which the whole image is sent as PNG; larger ones as JPEG
QUALITY, THUMB_QUALITY = 95, 78
AT_ONCE = 2  # images that are decoded at the same time
ENCODED = 64 * 2**20  # bytes of pictures that are kept
TINT = (0, 200, 120, 110)  # of ground truth, with its opacity
PNG, JPEG, WEBP = "image/png", "image/jpeg", "image/webp"


class PictureError(DataError):
    """A photograph that cannot be shown, and why in a word that the page has a sentence for."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True)
class Shown:
    """A photograph, and the numbers that were black and white in it."""

    pixels: NDArray[np.uint8]  # (H, W, 3)
    path: Path
    dtype: str
    black: float
    white: float


class Pictures:
    """The photographs of the results of a folder. Safe from several threads."""

    def __init__(
        self,
        results: Results,
        opener: Opener,
        samples: Mapping[str, Sample] | None = None,
        levels: tuple[str, float, float] | None = None,
        root: Path | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            results: Whose photographs.
            opener: Opens files.
            samples: Name of an image -> what the data set that was evaluated says of it.
            levels: (dtype, black, white) of the model.
            root: The data set that was evaluated, where that is a folder.
        """
        self.results, self.opener, self._levels = results, opener, levels
        self._samples, self.root = samples or {}, root
        self._kept, self._turn = Kept(ENCODED), BoundedSemaphore(AT_ONCE)
        self._last: dict[tuple[int, int], Shown] = {}

    def shown(self, entry: Entry) -> Shown:
        """The photograph of a result.

        Raises:
            PictureError: It is gone, is another one by its hash, or cannot be read.
        """
        key = self.results.generation, entry.number
        if (known := self._last.get(key)) is not None:
            return known
        with self._turn:
            found = self._read(entry)
        self._last = {key: found}  # the one that is looked at: it is asked for twice in a row
        return found

    def thumb(self, entry: Entry) -> bytes:
        """A small picture, as WebP.

        Raises:
            PictureError: As `shown`.
        """

        def make() -> bytes:
            with self._turn:
                picture = Image.fromarray(self._read(entry).pixels)
            picture.thumbnail((THUMB, THUMB))
            return encoded(picture, "WEBP", quality=THUMB_QUALITY)

        return self._kept.get((self.results.generation, entry.number, "thumb"), make)

    def whole(self, entry: Entry) -> tuple[bytes, str]:
        """All of it at its own size, and the media type.

        Raises:
            PictureError: As `shown`.
        """
        found = self.shown(entry)
        small = found.pixels.shape[0] * found.pixels.shape[1] <= LOSSLESS
        make = lambda: whole(found.pixels)[0]  # noqa: E731
        return self._kept.get((self.results.generation, entry.number, "whole"), make), PNG if small else JPEG

    def truth(self, entry: Entry) -> bytes | None:
        """What the masks of an image mark, as a transparent PNG; None where there are none.

        Raises:
            PictureError: A mask cannot be read.
        """
        sample = self._samples.get(normal(entry.image))
        if sample is None or not sample.masks:
            return None
        try:
            marked = union(sample.masks, self.opener)
        except (ImageError, DataError) as error:
            raise PictureError("unread", str(error)) from error
        if marked is None:
            return None
        drawn = np.zeros((*marked.shape, 4), np.uint8)
        drawn[marked] = TINT
        return encoded(Image.fromarray(drawn), "PNG", compress_level=1)

    def has_truth(self, entry: Entry) -> bool:
        """Whether there are masks of an image."""
        sample = self._samples.get(normal(entry.image))
        return sample is not None and bool(sample.masks)

    @property
    def samples(self) -> list[Sample]:
        """What the data set that was evaluated holds; empty where none was."""
        return list(self._samples.values())

    def path(self, entry: Entry) -> Path:
        """Where the file of a photograph lies: of several files of its name, the one that was judged.

        Raises:
            PictureError: It is gone.
        """
        there = list(self._there(entry))
        if not there:
            raise self._gone(entry)
        return there[0] if len(there) == 1 else next((one for one in there if self._is(one, entry)), there[0])

    def _is(self, path: Path, entry: Entry) -> bool:
        with suppress(ImageError):
            return self.opener.read(path).sha256 == entry.sha256
        return False

    def _there(self, entry: Entry) -> Iterator[Path]:
        """Files of its name, at all places where it may lie."""
        for path in dict.fromkeys(self._places(entry)):
            name = path.name.partition("#")[0]
            with suppress(OSError):  # a name that no system takes
                if path.exists() or ("#" in path.name and name and path.with_name(name).exists()):
                    yield path

    def _gone(self, entry: Entry) -> PictureError:
        return PictureError(
            "gone", f"{entry.image}: is not where it was. Put it back, or name its data set with --data."
        )

    def _read(self, entry: Entry) -> Shown:
        """The file that was judged, at whichever of its places it lies: another one may have its name."""
        why = None
        for path in self._there(entry):
            try:
                opened = self.opener.read(path)
            except ImageError as error:
                why = why or PictureError("unread", str(error))
                continue
            if opened.sha256 == entry.sha256:
                pixels = opened.pixels
                black, white = self._black_and_white(pixels)
                return Shown(drawing.plain(pixels, white, black), path, str(pixels.dtype), black, white)
            why = why or PictureError("changed", f"{entry.image}: is not the file that was judged: its hash differs.")
        raise why or self._gone(entry)

    def _black_and_white(self, pixels: Pixels) -> tuple[float, float]:
        if self._levels is not None and self._levels[0] == str(pixels.dtype):
            return self._levels[1:]
        return levels(pixels)

    def _places(self, entry: Entry) -> Iterator[Path]:
        """Where a file may lie: where `watch` moved it, in the data set, where its row says, beside the results."""
        folder, name = self.results.folder, Path(entry.image)
        try:
            moved: Any = self.results.row(entry).get("moved_to")
            if isinstance(moved, str) and moved:
                yield folder / moved
            if (sample := self._samples.get(normal(entry.image))) is not None:
                yield sample.path
            if self.root is not None:
                yield self.root / name
            yield from (name,) if name.is_absolute() else (folder / name, name)
        except ValueError:  # a name with a null byte
            return


def levels(pixels: Pixels) -> tuple[float, float]:
    """Numbers that are shown black and white, by the rule of this module."""
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    high = pixels.max()
    if pixels.dtype.kind == "u":
        return 0.0, float(next(white for white in WHITE if high <= white))
    low = float(pixels.min())
    return low, max(float(high), low + 1e-6)


def whole(pixels: NDArray[np.uint8]) -> tuple[bytes, str]:
    """An image (H, W, 3) at its own size, and its media type."""
    picture = Image.fromarray(pixels)
    if pixels.shape[0] * pixels.shape[1] <= LOSSLESS:
        return encoded(picture, "PNG", compress_level=1), PNG
    return encoded(picture, "JPEG", quality=QUALITY, subsampling=0), JPEG


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
