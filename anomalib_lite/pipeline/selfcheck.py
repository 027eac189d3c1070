"""Chooses the images that a bundle carries for `verify`, and records what this machine says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.calibration.scoring import Measured, Scored
from anomalib_lite.edge import decision
from anomalib_lite.edge.golden.goldens import Goldens
from anomalib_lite.edge.images import kept
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.images.kept import Kept
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.intake import Intake, Source
from anomalib_lite.edge.manifest import Expected, ImageSpec, Thresholds
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.selfcheck import FOLDER
from anomalib_lite.errors import ErrorCode, ImageError


class Candidate(NamedTuple):
    """An image that may be carried."""

    what: str
    image: Kept
    golden: Kept | None


class Chosen(NamedTuple):
    """What is expected, for the manifest, and the files of the bundle."""

    expected: list[Expected]
    files: dict[str, bytes]

    def carry(self, stem: str, image: Kept, intake: Intake) -> tuple[str, str | None]:
        """Add an image; its name, and that of the mask of what of it is to be inspected, None where that is all."""
        name, valid = stem + _suffix(image, intake), f"{stem}-valid.png"
        self.files[name] = image.content
        if image.valid is None:
            return name, None
        self.files[valid] = image.valid
        return name, valid


def choose(kind: str, scored: Scored, intake: Intake, runtime: Runtime, thresholds: Thresholds) -> Chosen:
    """Choose self-check images whose verdict is the same on every machine.

    Args:
        kind: "images" (held-out images and planted patches), "rendered" (where images must not travel) or "none".
        scored: The held-out good images, at least one.
        intake: How images become inputs of the graph. Where they are aligned with golden ones, the first golden image
            stands in where images must not travel, since what is rendered cannot be aligned.
        runtime: Measures them, as the device will.
        thresholds: Images whose score is within the tolerance of one are passed over.
    """
    chosen = Chosen([], {})
    done = set[str]()
    for what, image, golden in _candidates(kind, scored, intake):
        if what in done:
            continue
        try:
            value = _score(runtime, intake, image, golden)
        except ImageError:  # a patch may hide what an alignment needs
            continue
        if not decision.is_decisive(value, thresholds):
            continue
        done.add(what)
        name, valid = chosen.carry(f"{FOLDER}/{what.replace(' ', '-')}", image, intake)
        reference, within = None, None
        if golden is not None:  # shared by all images that are compared with it
            digest = sha256(golden.content + (golden.valid or b"")).hexdigest()[:8]
            reference, within = chosen.carry(f"{FOLDER}/reference-{digest}", golden, intake)
        verdict = decision.decide(value, thresholds).value
        chosen.expected.append(Expected(name, what, value, verdict, reference, valid, within))
    return chosen


def _candidates(kind: str, scored: Scored, intake: Intake) -> Iterator[Candidate]:
    if kind == "none":
        return
    spec = intake.framing.spec
    if kind == "images":
        yield from _held_out(scored.ranked, intake)
    elif not intake.framing.align:
        yield from _rendered(spec, compares=scored.images[0].sample.reference is not None)
    else:
        yield from _carried(intake.goldens, spec)


def _score(runtime: Runtime, intake: Intake, image: Kept, golden: Kept | None) -> float:
    """Of an image beside its own golden one, or beside those that the model carries, where it compares.

    Raises:
        ImageError: It cannot be measured, or its score alone does not tell its verdict.
    """
    picture, pose = intake.read(image), intake.framing.pose
    measured = runtime.measure(picture.pixels, intake.candidates(picture, None, golden), picture.valid)
    if measured.rival is not None or (pose is not None and measured.seen is not None and measured.seen < pose.least):
        raise ImageError("the image does not show all that has to be seen, in one pose", ErrorCode.NOT_SEEN)
    return measured.score


def judged_again(expected: Sequence[Expected], thresholds: Thresholds) -> list[Expected]:
    """The same images and scores under new thresholds; those too close to one are left out."""
    return [
        replace(one, verdict=decision.decide(one.score, thresholds).value)
        for one in expected
        if decision.is_decisive(one.score, thresholds)
    ]


def _held_out(ranked: Sequence[Measured], intake: Intake) -> Iterator[Candidate]:
    """Low, median, highest, and two with a patch planted into the median; each with its neighbours as substitutes."""
    last = len(ranked) - 1
    for what, place in (("low", 0), ("median", len(ranked) // 2), ("highest", last)):
        for index in dict.fromkeys(min(max(place + step, 0), last) for step in (0, 1, -1, 2, -2)):
            yield Candidate(what, _kept(ranked[index].source, intake), _golden(ranked[index], intake))
    median = ranked[len(ranked) // 2]
    yield from _planted(intake.read(median.source), intake.framing.spec, _golden(median, intake))


def _carried(goldens: Goldens, spec: ImageSpec) -> Iterator[Candidate]:
    """The first golden image itself, and two with a patch planted into it; none where the model carries none."""
    for view in goldens.views[:1]:
        golden = Picture(view.pixels, valid=view.valid)
        yield Candidate("golden", kept.of(golden, "golden"), None)
        yield from _planted(golden, spec, None)


def _planted(picture: Picture, spec: ImageSpec, golden: Kept | None) -> Iterator[Candidate]:
    for what, dark in (("planted dark patch", True), ("planted bright patch", False)):
        for size in (8, 6, 4, 3):
            patched = planted(picture.pixels, spec.white, spec.black, dark=dark, share=size)
            yield Candidate(what, kept.of(replace(picture, pixels=patched), "planted"), golden)


def _kept(source: Source, intake: Intake) -> Kept:
    """A file as a bundle keeps it: itself, or where it is one image of several or of a series, what was read."""
    if isinstance(source, FileBytes):
        return Kept(Path(source.name).name, source.content)
    path = Path(str(source))
    return intake.opener.kept(path, path.name)


def _suffix(image: Kept, intake: Intake) -> str:
    return intake.opener.suffix(image.name) or Path(image.name).suffix.lower()


def _golden(image: Measured, intake: Intake) -> Kept | None:
    """The golden image of an image's own."""
    path = image.sample.reference
    return None if path is None else _kept(path, intake)


def _rendered(spec: ImageSpec, *, compares: bool) -> Iterator[Candidate]:
    first, *others = (kept.of(Picture(rendered(spec, number)), "rendered") for number in range(6))
    for number, image in enumerate(others, start=1):
        yield Candidate(f"rendered {number}", image, first if compares else None)


def planted(
    pixels: NDArray[np.generic],
    white: float,
    black: float = 0.0,
    *,
    dark: bool,
    share: int,
    middle: tuple[float, float] | None = None,
) -> NDArray[np.generic]:
    """A copy of an image (H, W, C) with a chequered patch of 1/share of its shorter side, near the middle."""
    height, width = pixels.shape[:2]
    side = max(4, min(height, width) // share)
    top, left = (height - side) // 2, (width - side) // 3
    if middle is not None:
        top, left = (
            max(0, min(round(at - side / 2), of - side)) for at, of in zip(middle, (height, width), strict=True)
        )
    squares = np.add.outer(np.arange(side) // 4, np.arange(side) // 4) % 2
    low, high = (0.0, 0.35) if dark else (0.65, 1.0)
    copy = pixels.copy()
    levels = (black + one * (white - black) for one in (high, low))
    copy[top : top + side, left : left + side] = np.where(squares, *levels)[..., None]
    return copy


def rendered(spec: ImageSpec, number: int) -> NDArray[np.generic]:
    """A stand-in of the model's size where images must not travel: a gradient with blocks of seeded grey."""
    random = np.random.default_rng(number)
    coarse = random.random((-(-spec.height // 16), -(-spec.width // 16), spec.channels))
    blocks = coarse.repeat(16, axis=0).repeat(16, axis=1)[: spec.height, : spec.width]
    gradient = np.linspace(0.2, 0.8, spec.width)[None, :, None]
    return (spec.black + (0.7 * gradient + 0.3 * blocks) * (spec.white - spec.black)).astype(spec.dtype)
