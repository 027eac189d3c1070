"""Reads every image of a data set once: which are usable, and what they are like."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data.copies import copied, near_copies_hint, thumbnail
from anomalib_lite.data.samples import Sample, count, some
from anomalib_lite.edge.images.appearance import Appearance, appearance
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.errors import DataError, ImageError

AT_ONCE = 1000  # files that wait to be read
KINDS = {("uint8", 1): "8-bit grey", ("uint8", 3): "8-bit colour", ("uint16", 1): "16-bit grey"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one decoded image is like."""

    height: int
    width: int
    channels: int
    dtype: str
    maximum: float
    sha256: str
    orientation: int  # EXIF: see `anomalib_lite.data.turning`
    thumbnail: NDArray[np.float16] = field(compare=False, repr=False)  # see `anomalib_lite.data.copies`
    appearance: Appearance = field(compare=False, repr=False)  # what the gate learns from
    masked: bool = False  # whether it says what of it is to be inspected
    note: str = ""  # what a reader says of it
    meta: Mapping[str, Any] = field(default_factory=dict, compare=False)  # what its file says of it

    @property
    def kind(self) -> str:
        """Depth and channels in words."""
        return KINDS.get((self.dtype, self.channels), f"{self.dtype}, {count(self.channels, 'channel')}")


Looked = list[tuple[Sample, list[Facts]]]  # facts of the image and, where there is one, of its reference


@dataclass(frozen=True)
class Survey:
    """What the images of a data set are like. `usable` and `unreadable` together are all that were given."""

    usable: list[Sample]
    unreadable: list[tuple[str, str]]  # name, reason
    dtype: str  # of `edge.manifest.DTYPES`
    channels: int  # as the images are, or as asked
    facts: Mapping[Path, Facts]  # of each usable image
    warnings: list[str]

    def fingerprint(self, samples: Iterable[Sample]) -> dict[str, str]:
        """SHA-256 of each of these image files -> its group: what a model remembers of those it was fitted on."""
        return {self.facts[sample.path].sha256: sample.group for sample in samples}


def survey(
    looked: Looked,
    unreadable: Sequence[tuple[str, str]],
    *,
    channels: int | None = None,
    white: float | None = None,
    copies: bool = True,
) -> Survey:
    """Whether images can be inspected by one model, and what they are like.

    Args:
        looked: What `look` saw.
        unreadable: What it could not read.
        channels: `image.channels` of the configuration; None where images are taken as they are.
        white: `image.white`; None for the largest value of the type.
        copies: Whether near copies are looked for.

    Raises:
        DataError: None is usable, bit depths or channels are mixed, or one is a copy of another under another group.
    """
    if problem := unusable(looked, unreadable, channels, white):
        raise DataError(problem)
    first = looked[0][1][0]
    return Survey(
        usable=[sample for sample, _ in looked],
        unreadable=list(unreadable),
        facts={sample.path: facts[0] for sample, facts in looked},
        dtype=first.dtype,
        channels=channels or first.channels,
        warnings=[*dark(looked, white), *said(looked), *(near(looked) if copies else [])],
    )


def look(samples: Sequence[Sample], opener: Opener = PLAIN) -> tuple[Looked, list[tuple[str, str]]]:
    """Decode all images, and their golden ones, to the last byte: what passes here can be trained on.

    Returns:
        Facts of every readable sample; name and reason of the others.
    """
    paths = list(dict.fromkeys(path for s in samples for path in (s.path, s.reference) if path is not None))
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # decoders release the interpreter's lock
        facts: dict[Path, Facts | str] = {}
        for first in range(0, len(paths), AT_ONCE):  # what waits in a pool is as large as what is known of an image
            some_of = paths[first : first + AT_ONCE]
            facts |= zip(some_of, pool.map(partial(_facts, opener=opener), some_of), strict=True)
    looked: Looked = []
    unreadable = []
    for sample in samples:
        pictures = [facts[path] for path in (sample.path, sample.reference) if path is not None]
        reasons = [fact for fact in pictures if isinstance(fact, str)]
        if reasons:
            unreadable.append((sample.name, reasons[0]))
        else:
            looked.append((sample, [fact for fact in pictures if isinstance(fact, Facts)]))
    return looked, unreadable


def _facts(path: Path, opener: Opener) -> Facts | str:
    """Facts of an image file, or why it cannot be read."""
    try:
        picture = opener.read(path)
    except ImageError as error:
        return str(error)
    height, width, channels = picture.pixels.shape
    dtype, maximum = str(picture.pixels.dtype), picture.pixels.max().item()
    looks = thumbnail(picture.pixels), appearance(picture.pixels)
    seen = dtype, maximum, picture.sha256, picture.orientation, *looks, picture.valid is not None
    note = picture.note if opener.suffix_at(path) else ""  # of the host's own formats every row says it
    return Facts(height, width, channels, *seen, note, picture.meta)


def unusable(
    looked: Looked, unreadable: Sequence[tuple[str, str]], channels: int | None, white: float | None = None
) -> str | None:
    """Why these images cannot be used as they are, and the way out; None where they can."""
    if not looked:
        return nothing_usable(unreadable)
    hashes = [pictures[0].sha256 for _, pictures in looked]
    return mixed(looked, channels) or unlimited(looked, white) or copied([sample for sample, _ in looked], hashes)


def nothing_usable(unreadable: Sequence[tuple[str, str]]) -> str:
    """The message where no image can be used."""
    reasons = some([reason for _, reason in unreadable], 3)
    return f"none of {count(len(unreadable), 'image')} can be used: {reasons}. Copy or record them again."


def mixed(looked: Looked, channels: int | None) -> str | None:
    """What keeps these images from being inspected by one model, and the way out; None where nothing does."""
    examples: dict[tuple[str, int], str] = {}
    files: dict[tuple[str, int], set[Path | None]] = {}
    for sample, pictures in looked:
        for path, fact in zip((sample.path, sample.reference), pictures, strict=False):
            examples.setdefault((fact.dtype, fact.channels), f"{path} is {fact.kind}")
            files.setdefault((fact.dtype, fact.channels), set()).add(path)
    found = "; ".join(f"{example} (as {len(files[kind]):,} are)" for kind, example in examples.items())
    if len({dtype for dtype, _ in examples}) > 1:
        return f"bit depths are mixed: {found}. Record or convert all images with one depth."
    converted = {number for _, number in examples} <= {1, 3}
    if channels is not None and not converted:
        return f"image.channels converts grey and colour alone, and {found}. Leave it out: channels stay as they are."
    if len(examples) > 1 and not converted:
        return f"numbers of channels are mixed: {found}. Give all images the same channels."
    if len(examples) > 1 and channels is None:
        return f"grey and colour are mixed: {found}. Set image.channels to 1 or 3 to convert them."
    return None


def unlimited(looked: Looked, white: float | None) -> str | None:
    """Whether nothing says which value is white, where the type has no largest one that would."""
    kind = looked[0][1][0].kind
    if white is not None or looked[0][1][0].dtype in ("uint8", "uint16"):
        return None
    largest = max(pictures[0].maximum for _, pictures in looked)
    return (
        f"the images are {kind}, of which the largest value seen is {largest:g}, and nothing says which values are "
        "black and white. Set both, such as --set image.black=-160 --set image.white=240 for Hounsfield units."
    )


def dark(looked: Looked, white: float | None) -> list[str]:
    """Whether 16-bit images are far too dark."""
    deep = [fact.maximum for _, pictures in looked for fact in pictures if fact.dtype == "uint16"]
    level = white or 65535.0
    if not deep or max(deep) > level / 8:
        return []
    return [
        f"the largest value of all 16-bit images is {max(deep):,}, not above an eighth of the white level "
        f"{level:,.0f}: the model would see them almost black. Set image.white to the camera's largest value, "
        "1023 or 4095 for 10 or 12 bits."
    ]


def said(looked: Looked) -> list[str]:
    """What readers say of images: of how many, and of some of them what."""
    notes = [f"{sample.name} {pictures[0].note}" for sample, pictures in looked if pictures[0].note]
    return [f"their readers say of {count(len(notes), 'image')}: {some(notes, 3)}"] if notes else []


def near(looked: Looked) -> list[str]:
    """Whether images look like copies of others under another group."""
    hint = near_copies_hint([sample for sample, _ in looked], [pictures[0].thumbnail for _, pictures in looked])
    return [hint] if hint else []
