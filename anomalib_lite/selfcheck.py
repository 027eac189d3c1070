"""Chooses the images that a bundle carries for `verify`, and records what this machine says of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge import decision, imaging
from anomalib_lite.edge.comparison import Goldens
from anomalib_lite.edge.decision import Thresholds
from anomalib_lite.edge.imaging import ImageSpec
from anomalib_lite.edge.selfcheck import FOLDER, Expected
from anomalib_lite.errors import ImageError

Candidate = tuple[str, str, bytes]  # what, suffix, file bytes
Score = Callable[[bytes], float]


def choose(
    kind: str,
    scored: Sequence[tuple[float, Path]],
    spec: ImageSpec,
    score: Score,
    thresholds: Thresholds,
    goldens: Goldens | None = None,
) -> tuple[list[Expected], dict[str, bytes]]:
    """Choose self-check images whose verdict is the same on every machine.

    Args:
        kind: "images" (held-out images and planted patches), "rendered" (where images must not travel) or "none".
        scored: Score and path of each held-out good image, not empty.
        spec: What the model takes.
        score: Measures the bytes of an image file, as the device will.
        thresholds: Images whose score is within the tolerance of one are passed over.
        goldens: What the model compares with; the first one stands in where images must not travel.

    Returns:
        What is expected, for the manifest, and the files of the bundle.
    """
    if kind == "none":
        return [], {}
    if kind == "images":
        candidates = _held_out(sorted(scored, key=lambda one: one[0]), spec)
    else:
        candidates = _rendered(spec) if goldens is None else _golden(goldens.views[0].pixels, spec)
    expected: dict[str, Expected] = {}
    files: dict[str, bytes] = {}
    for what, suffix, content in candidates:
        try:
            value = score(content)
        except ImageError:  # a patch may hide what an alignment needs
            continue
        if what in expected or not decision.is_decisive(value, thresholds):
            continue
        name = f"{FOLDER}/{what.replace(' ', '-')}{suffix}"
        expected[what] = Expected(name, what, value, decision.decide(value, thresholds).value)
        files[name] = content
    return list(expected.values()), files


def judged_again(expected: Sequence[Expected], thresholds: Thresholds) -> list[Expected]:
    """The same images and scores under new thresholds; those too close to one are left out."""
    return [
        replace(one, verdict=decision.decide(one.score, thresholds).value)
        for one in expected
        if decision.is_decisive(one.score, thresholds)
    ]


def _held_out(scored: Sequence[tuple[float, Path]], spec: ImageSpec) -> Iterator[Candidate]:
    """Low, median, highest, and two with a patch planted into the median; each with its neighbours as substitutes."""
    last = len(scored) - 1
    for what, place in (("low", 0), ("median", len(scored) // 2), ("highest", last)):
        for index in dict.fromkeys(min(max(place + step, 0), last) for step in (0, 1, -1, 2, -2)):
            path = scored[index][1]
            yield what, path.suffix.lower(), path.read_bytes()
    yield from _planted(imaging.read(scored[len(scored) // 2][1]).pixels, spec)


def _golden(pixels: NDArray[np.generic], spec: ImageSpec) -> Iterator[Candidate]:
    yield "golden", ".png", encode(pixels)
    yield from _planted(pixels, spec)


def _planted(pixels: NDArray[np.generic], spec: ImageSpec) -> Iterator[Candidate]:
    for what, dark in (("planted dark patch", True), ("planted bright patch", False)):
        for size in (8, 6, 4, 3):
            yield what, ".png", encode(planted(pixels, spec.white, dark=dark, share=size))


def _rendered(spec: ImageSpec) -> Iterator[Candidate]:
    for number in range(1, 6):
        yield f"rendered {number}", ".png", encode(rendered(spec, number))


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
