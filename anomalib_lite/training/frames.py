"""The frames that a detector is fitted to: good images, cut as they will be inspected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from anomalib_lite.data import Sample
from anomalib_lite.edge.golden.pairing import Goldens, Pair, pairs
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.errors import DataError, ImageError
from anomalib_lite.training.batches import Frame

CACHE_BYTES = 2 << 30


class TrainingFrames:
    """The frames of all training images by index; with tiles, an image gives several.

    The first images that fit into `limit` bytes are kept; the others are decoded, and aligned, when they are asked for.

    Args:
        samples: Good images, all readable.
        framing: How they become frames.
        goldens: What they are compared with, where the detector compares.
        readers: For file types that the host does not read itself.
        limit: Bytes.

    Raises:
        DataError: None of the images can be compared with a golden one.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        framing: Framing,
        goldens: Goldens | None,
        readers: Readers = NO_READERS,
        limit: int = CACHE_BYTES,
    ) -> None:
        self._framing = framing
        self._goldens = goldens
        self._readers = readers
        self._samples = list(samples)
        self._kept: dict[int, list[Frame]] = {}
        self._counted: dict[int, NDArray[Any]] = {}  # by id: several frames may be parts of one array
        self._free = limit
        self._latest = lru_cache(maxsize=2)(self._cut)
        self.left_out: list[str] = []  # why images cannot be compared: they teach nothing
        self._places = list(self._find_places())
        if not self._places and self.left_out:
            raise DataError(
                f"none of {len(samples)} training images can be compared with a golden one: {self.left_out[0]}"
            )

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int, /) -> Frame:
        number, part = self._places[index]
        return self._image(number)[part]

    @property
    def images(self) -> list[int]:
        """For each frame the number of the image that it is cut from."""
        return [number for number, _ in self._places]

    def _find_places(self) -> Iterator[tuple[int, int]]:
        for number in range(len(self._samples)):
            try:
                parts = self._count(number)
            except ImageError as error:
                self.left_out.append(str(error))
            else:
                yield from ((number, part) for part in range(parts))

    def _count(self, number: int) -> int:
        if self._goldens is not None:
            return len(self._image(number))  # as many as the golden image that it is compared with has
        if self._framing.mode != "tile":
            return 1
        header = imaging.read_header(self._samples[number].path, readers=self._readers)
        return self._framing.count(header.height, header.width)

    def _image(self, number: int) -> list[Frame]:
        if number in self._kept:
            return self._kept[number]
        frames = self._latest(number)
        held = {id(base): base for frame in frames for part in frame if part is not None for base in [_base(part)]}
        held = {key: base for key, base in held.items() if key not in self._counted}
        size = sum(base.nbytes for base in held.values())
        if size <= self._free:
            self._free -= size
            self._counted |= held
            self._kept[number] = frames
        return frames

    def _cut(self, number: int) -> list[Frame]:
        sample = self._samples[number]
        pixels = imaging.read(sample.path, readers=self._readers).pixels
        if self._goldens is None:
            frames, references = self._framing.frames(pixels), []
        else:
            pair = closest(self._framing, pixels, sample, self._goldens)
            frames, references = pair.frames, pair.references
        return [
            (
                frame.image,
                references[part].image if references else None,
                frame.region if self._framing.masks else None,
            )
            for part, frame in enumerate(frames)
        ]


def closest(framing: Framing, pixels: NDArray[Any], sample: Sample, goldens: Goldens) -> Pair:
    """The image beside that golden one which it differs least from.

    Raises:
        ImageError: It cannot be aligned with any.
    """
    found = pairs(framing, pixels, goldens.candidates(sample.name, sample.reference))
    return min(found, key=lambda pair: pair.difference)


def _base(array: NDArray[Any]) -> NDArray[Any]:
    """What is held in memory as long as the array is."""
    while array.base is not None and hasattr(array.base, "nbytes"):
        array = array.base
    return array
