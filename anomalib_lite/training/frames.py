"""The frames that a detector is fitted to: good images, cut as they will be inspected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from anomalib_lite.data import Facts, Sample
from anomalib_lite.edge.intake import Intake
from anomalib_lite.engines import room
from anomalib_lite.errors import DataError, ImageError
from anomalib_lite.training.batches import TrainingFrame

CACHE_BYTES = 2 << 30


class TrainingFrames:
    """The frames of all training images by index; with tiles, an image gives several.

    The first images that fit into `limit` bytes are kept; the others are decoded, and aligned, when they are asked for.
    What is learnt does not depend on it.

    Args:
        samples: Good images, all readable.
        intake: How they become frames, and what they are compared with.
        facts: Of each image: its size tells how many tiles it gives.
        limit: Bytes; by default 2 GiB, or a quarter of the free memory where this is less.

    Raises:
        DataError: None of the images can be compared with a golden one.
    """

    def __init__(
        self, samples: Sequence[Sample], intake: Intake, facts: Mapping[Path, Facts], limit: int | None = None
    ) -> None:
        self._intake = intake
        self._facts = facts
        self._samples = list(samples)
        self._kept: dict[int, list[TrainingFrame]] = {}
        self._counted: dict[int, NDArray[Any]] = {}  # by id: several frames may be parts of one array
        unused = room.free()
        self._free = limit if limit is not None else min(CACHE_BYTES, CACHE_BYTES if unused is None else unused // 4)
        self._latest = lru_cache(maxsize=2)(self._cut)
        self.left_out: list[str] = []  # why images cannot be compared: they teach nothing
        for number, sample in enumerate(self._samples):  # in the order of their files, each of which is then read once
            if self._free and intake.opener.suffix(sample.path.name):
                with suppress(ImageError):
                    self._image(number)
        self._places = list(self._find_places())
        if not self._places and self.left_out:
            raise DataError(
                f"none of {len(samples)} training images can be compared with a golden one: {self.left_out[0]}"
            )

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int, /) -> TrainingFrame:
        number, part = self._places[index]
        return self._image(number)[part]

    def forget(self) -> None:
        """Let go of what is kept, and keep nothing more: a trainer may hold on to the frames in a circle."""
        self._kept.clear()
        self._counted.clear()
        self._latest.cache_clear()
        self._free = 0

    @property
    def images(self) -> list[int]:
        """For each frame the number of the image that it is cut from."""
        return [number for number, _ in self._places]

    @property
    def parts(self) -> list[int]:
        """For each frame a number for the part that it shows."""
        numbers = {group: number for number, group in enumerate(dict.fromkeys(one.group for one in self._samples))}
        return [numbers[self._samples[number].group] for number in self.images]

    def name(self, index: int) -> str:
        """The image that a frame is cut from, for messages."""
        return self._samples[self._places[index][0]].name

    def _find_places(self) -> Iterator[tuple[int, int]]:
        for number in range(len(self._samples)):
            try:
                parts = self._count(number)
            except ImageError as error:
                self.left_out.append(str(error))
            else:
                yield from ((number, part) for part in range(parts))

    def _count(self, number: int) -> int:
        if self._intake.compares:
            return len(self._image(number))  # as many as the golden image that it is compared with has
        facts = self._facts[self._samples[number].path]
        return self._intake.framing.count(facts.height, facts.width)

    def _image(self, number: int) -> list[TrainingFrame]:
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

    def _cut(self, number: int) -> list[TrainingFrame]:
        sample, intake = self._samples[number], self._intake
        picture = intake.read(sample.path)
        return [
            TrainingFrame(
                image=frame.image,
                reference=None if reference is None else reference.image,
                valid=frame.region if intake.framing.masks else None,
            )
            for frame, reference in intake.frames(picture, intake.candidates(picture, sample.name, sample.reference))
        ]


def _base(array: NDArray[Any]) -> NDArray[Any]:
    """What is held in memory as long as the array is."""
    while array.base is not None and hasattr(array.base, "nbytes"):
        array = array.base
    return array
