"""Chooses the images that a bundle carries for `verify`, and records what this machine says of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.data import Sample
from anomalib_lite.edge import decision
from anomalib_lite.edge.golden.pairing import Goldens
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.images.readers import NO_READERS, Readers, suffix_of
from anomalib_lite.edge.manifest import Expected, ImageSpec, Thresholds
from anomalib_lite.edge.selfcheck import FOLDER
from anomalib_lite.errors import ImageError

Score = Callable[..., float]  # of an image as FileBytes, and of its golden sample where there is one


class Candidate(NamedTuple):
    """An image that may be carried."""

    what: str
    image: FileBytes
    golden: FileBytes | None


def choose(
    kind: str,
    scored: Sequence[tuple[float, Sample]],
    spec: ImageSpec,
    score: Score,
    thresholds: Thresholds,
    readers: Readers = NO_READERS,
    goldens: Goldens | None = None,
) -> tuple[list[Expected], dict[str, bytes]]:
    """Choose self-check images whose verdict is the same on every machine.

    Args:
        kind: "images" (held-out images and planted patches), "rendered" (where images must not travel) or "none".
        scored: Each held-out good image with its score, not empty.
        spec: What the model takes.
        score: Measures an image file, or an image and its golden sample, as the device will.
        thresholds: Images whose score is within the tolerance of one are passed over.
        readers: For file types that the host does not read itself.
        goldens: Where images are aligned with golden ones: those that the model carries. The first one stands in where
            images must not travel, since what is rendered cannot be aligned.

    Returns:
        What is expected, for the manifest, and the files of the bundle.
    """
    if kind == "none":
        return [], {}
    ranked = [sample for _, sample in sorted(scored, key=lambda one: one[0])]
    if kind == "images":
        candidates = _held_out(ranked, spec, readers)
    elif goldens is None:
        candidates = _rendered(spec, compares=ranked[0].reference is not None)
    else:
        candidates = _carried(goldens, spec)
    expected: dict[str, Expected] = {}
    files: dict[str, bytes] = {}
    for what, image, golden in candidates:
        try:
            value = score(image) if golden is None else score(image, golden)
        except ImageError:  # a patch may hide what an alignment needs
            continue
        if what in expected or not decision.is_decisive(value, thresholds):
            continue
        name, reference = f"{FOLDER}/{what.replace(' ', '-')}{_suffix(image, readers)}", None
        files[name] = image.content
        if golden is not None:  # shared by all images that are compared with it
            reference = f"{FOLDER}/reference-{sha256(golden.content).hexdigest()[:8]}{_suffix(golden, readers)}"
            files[reference] = golden.content
        expected[what] = Expected(name, what, value, decision.decide(value, thresholds).value, reference)
    return list(expected.values()), files


def judged_again(expected: Sequence[Expected], thresholds: Thresholds) -> list[Expected]:
    """The same images and scores under new thresholds; those too close to one are left out."""
    return [
        replace(one, verdict=decision.decide(one.score, thresholds).value)
        for one in expected
        if decision.is_decisive(one.score, thresholds)
    ]


def _held_out(ranked: Sequence[Sample], spec: ImageSpec, readers: Readers) -> Iterator[Candidate]:
    """Low, median, highest, and two with a patch planted into the median; each with its neighbours as substitutes."""
    last = len(ranked) - 1
    for what, place in (("low", 0), ("median", len(ranked) // 2), ("highest", last)):
        for index in dict.fromkeys(min(max(place + step, 0), last) for step in (0, 1, -1, 2, -2)):
            yield Candidate(what, _file(ranked[index].path), _golden(ranked[index]))
    median = ranked[len(ranked) // 2]
    yield from _planted(imaging.read(median.path, readers=readers).pixels, spec, _golden(median))


def _carried(goldens: Goldens, spec: ImageSpec) -> Iterator[Candidate]:
    """The first golden image itself, and two with a patch planted into it; none where the model carries none."""
    for view in goldens.views[:1]:
        yield Candidate("golden", FileBytes("golden.png", encode(view.pixels)), None)
        yield from _planted(view.pixels, spec, None)


def _planted(pixels: NDArray[np.generic], spec: ImageSpec, golden: FileBytes | None) -> Iterator[Candidate]:
    for what, dark in (("planted dark patch", True), ("planted bright patch", False)):
        for size in (8, 6, 4, 3):
            patched = encode(planted(pixels, spec.white, dark=dark, share=size))
            yield Candidate(what, FileBytes("planted.png", patched), golden)


def _file(path: Path) -> FileBytes:
    return FileBytes(path.name, path.read_bytes())


def _golden(sample: Sample) -> FileBytes | None:
    return None if sample.reference is None else _file(sample.reference)


def _suffix(image: FileBytes, readers: Readers) -> str:
    return suffix_of(image.name, readers) or Path(image.name).suffix.lower()


def _rendered(spec: ImageSpec, *, compares: bool) -> Iterator[Candidate]:
    first, *others = (FileBytes("rendered.png", encode(rendered(spec, number))) for number in range(6))
    for number, image in enumerate(others, start=1):
        yield Candidate(f"rendered {number}", image, first if compares else None)


def planted(pixels: NDArray[np.generic], white: float, *, dark: bool, share: int) -> NDArray[np.generic]:
    """A copy of an image (H, W, C) with a chequered patch of 1/share of its shorter side, near the middle."""
    height, width = pixels.shape[:2]
    side = max(4, min(height, width) // share)
    top, left = (height - side) // 2, (width - side) // 3
    squares = np.add.outer(np.arange(side) // 4, np.arange(side) // 4) % 2
    low, high = (0.0, 0.35) if dark else (0.65, 1.0)
    copy = pixels.copy()
    copy[top : top + side, left : left + side] = np.where(squares, high * white, low * white)[..., None]
    return copy


def rendered(spec: ImageSpec, number: int) -> NDArray[np.generic]:
    """A stand-in of the model's size where images must not travel: a gradient with blocks of seeded grey."""
    random = np.random.default_rng(number)
    coarse = random.random((-(-spec.height // 16), -(-spec.width // 16), spec.channels))
    blocks = coarse.repeat(16, axis=0).repeat(16, axis=1)[: spec.height, : spec.width]
    gradient = np.linspace(0.2, 0.8, spec.width)[None, :, None]
    return ((0.7 * gradient + 0.3 * blocks) * spec.white).astype(spec.dtype)


def encode(pixels: NDArray[np.generic]) -> bytes:
    """A lossless PNG of an image (H, W, C): uint8 with 1 or 3 channels, or uint16 with 1."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()
