"""Takes evidence of detection: plants defects into good images that were held out, and measures what is shipped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration.scoring import Measured, Scored, score
from anomalib_lite.data import DataSet, Sample, check_masks, evaluation_samples, groups
from anomalib_lite.edge.images import kept
from anomalib_lite.edge.images.imaging import Opened
from anomalib_lite.edge.images.picture import Pixels
from anomalib_lite.edge.intake import Intake
from anomalib_lite.edge.manifest import EvidenceRecord, Known, Planted
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import DataError, ErrorCode, ImageError
from anomalib_lite.evidence.judging import found, judged, thresholds
from anomalib_lite.evidence.planting import Defect, Ground, contrasts, sizes
from anomalib_lite.hookspecs import PLANTED
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.selfcheck import planted as patched
from anomalib_lite.report.evidence import Shown

IMAGES = 240  # with a planted defect, all kinds together
FRAMES = 1920  # inputs of the graph for them, where images are cut into tiles
FEWEST = 8  # of a kind, whatever they cost
SECONDS = 120.0  # after which no further round begins: for graphs that are slow
KNOWN = 400  # labelled test images
PATCH = 8  # of the shorter side, the dark patch: as the self-check has it first


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was found, and the pictures of it: of each kind the smallest defect found and the largest missed."""

    record: EvidenceRecord
    pictures: Sequence[Callable[[], Shown]] = ()


@dataclass(frozen=True, eq=False)
class Taking:
    """What evidence is taken of."""

    intake: Intake
    runtime: Runtime
    calibration: Calibration
    seed: int
    plants: tuple[str, ...] = ()  # kinds that the training makes up
    finds: tuple[str, ...] = ()  # kinds that the detector is for; () for all
    known: Sequence[Sample] = ()  # labelled test images
    track: Track = field(default=untracked)

    @property
    def kinds(self) -> list[str]:
        """What is planted: nothing that the training makes up, unless the detector is for it, or nothing were left."""
        left = [kind for kind in PLANTED if kind not in self.plants or kind in self.finds]
        return left or list(PLANTED)


def take(taking: Taking, scored: Scored) -> Evidence:
    """Plant defects into held-out good images, measure and judge."""
    grounds = _Grounds(taking, scored)
    planting = _Planting(taking, grounds)
    planting.run()
    left_out = [kind for kind in PLANTED if kind not in taking.kinds]
    record = EvidenceRecord(
        planted=tuple(planting.of(kind) for kind in taking.kinds),
        invisible=tuple(planting.invisible.items()),
        refused=planting.refused,
        patch=grounds.patch_score(scored),
        trained_on=tuple(left_out),
        finds=taking.finds,
        known=tuple(_known(taking)),
        said=(),
        blind=(),
        learnt=taking.calibration.approximate,
    )
    return Evidence(judged(record, taking.calibration), list(planting.pictures()))


def known(dataset: DataSet, used: Sequence[Sample]) -> list[Sample]:
    """Labelled test images: none that was fitted on or held out, and no other good photograph of their parts.

    Every k-th of more than `KNOWN`. Empty where the data set has none, or where what it says of defects cannot be used:
    `evaluate` tells why.
    """
    try:
        labelled, _ = check_masks(evaluation_samples(dataset), dataset.opener)
    except DataError:
        return []
    paths, parts = {sample.path for sample in used}, groups(used)
    new = [one for one in labelled if one.path not in paths and not (one.is_good and one.group in parts)]
    if all(one.is_good for one in new):
        return []
    return new[:: -(-len(new) // KNOWN)]


@dataclass(frozen=True, slots=True)
class _Made:
    """A planted defect that was measured."""

    turn: int
    defect: Defect
    score: float


class _Grounds:
    """Good images that defects are planted into, one after the other: of as many parts as there are."""

    def __init__(self, taking: Taking, scored: Scored) -> None:
        self._taking = taking
        lowest = min(value for _, value in thresholds(taking.calibration))
        flagged = found([one.score for one in scored.images], lowest)
        order = np.random.default_rng([taking.seed, len(scored.images)]).permutation(len(scored.images))
        seen, chosen = Counter[str](), list[tuple[int, Measured]]()
        for image in (scored.images[index] for index in order if not flagged[index]):
            chosen.append((seen[image.group], image))
            seen[image.group] += 1
        self.images = [image for _, image in sorted(chosen, key=lambda one: one[0])]
        self._open = lru_cache(maxsize=1)(lambda place: self._read(self.images[place]))

    def of(self, turn: int) -> Measured:
        """The image of a turn."""
        return self.images[turn % len(self.images)]

    def opened(self, turn: int) -> tuple[Opened, Ground]:
        """It, read.

        Raises:
            ImageError: It cannot be read again.
        """
        return self._open(turn % len(self.images))

    def _read(self, image: Measured) -> tuple[Opened, Ground]:
        intake, spec = self._taking.intake, self._taking.intake.framing.spec
        picture = intake.read(image.source)
        height, width = picture.pixels.shape[:2]
        framing = intake.framing.of(picture.valid)
        everywhere = np.ones((height, width), bool)
        allowed: NDArray[np.bool_] = everywhere if framing.align else framing.region(height, width)
        return picture, Ground.of(picture.pixels, spec.black, spec.white, allowed)

    def with_defect(self, turn: int, defect: Defect) -> Opened | None:
        """The image of a turn with a defect; None where it would not be seen."""
        picture, ground = self.opened(turn)
        pixels = ground.with_defect(defect, np.random.default_rng([self._taking.seed, turn, *defect.seeds]))
        return None if pixels is None else replace(picture, pixels=pixels)

    def score(self, picture: Opened, of: Measured) -> float:
        """Of an image, as it is shipped.

        Raises:
            ImageError: It cannot be measured, or the gate refuses it: it is never OK.
        """
        intake = self._taking.intake
        objection = intake.objection(of.sample.path, picture)
        if objection and intake.gate is not None and intake.gate.refuses:
            raise ImageError(objection, ErrorCode.NOT_ALIKE)
        candidates = intake.candidates(picture, of.sample.name, of.sample.reference)
        return self._taking.runtime.measure(picture.pixels, candidates, picture.valid).score

    def patch_score(self, scored: Scored) -> float | None:
        """Of the median image with a dark patch; None where it cannot be measured."""
        if not scored.ranked:
            return None
        median, spec = scored.ranked[len(scored.ranked) // 2], self._taking.intake.framing.spec
        try:
            picture, ground = self._read(median)
            height, width = picture.pixels.shape[:2]
            where = ground.nearest((height / 2, width / 2), min(height, width) / PATCH)
            pixels = patched(picture.pixels, spec.white, spec.black, dark=True, share=PATCH, middle=where)
            return self.score(replace(picture, pixels=pixels), median)
        except ImageError:
            return None


class _Planting:
    """Plants and measures, in turns: each plants one defect of every kind into an image."""

    def __init__(self, taking: Taking, grounds: _Grounds) -> None:
        self._taking, self._grounds = taking, grounds
        self.made: list[_Made] = []
        self.invisible: Counter[str] = Counter()
        self.refused = 0

    def run(self) -> None:
        """All turns, or as many as there is time for."""
        if not self._grounds.images:
            return
        turns, begun = self._turns(), time.monotonic()
        grades = {kind: self._grades(kind, turns) for kind in self._taking.kinds}
        for turn in self._taking.track(range(turns), "planting defects"):
            if turn >= FEWEST and time.monotonic() - begun > SECONDS:
                return
            for kind, graded in grades.items():
                self._one(turn, kind, *graded[turn])

    def _turns(self) -> int:
        """Defects of each kind."""
        try:
            height, width = self._grounds.opened(0)[0].pixels.shape[:2]
        except ImageError:
            return FEWEST
        framing = self._taking.intake.framing
        frames = framing.count(height, width)
        return max(FEWEST, min(IMAGES, FRAMES // frames) // len(self._taking.kinds))

    def _grades(self, kind: str, turns: int) -> list[tuple[float, float]]:
        """Size and contrast of each turn, from 0 the smallest to 1 the largest: evenly spread, in random order."""
        random = np.random.default_rng([self._taking.seed, PLANTED.index(kind)])
        spread = [(random.permutation(turns) + random.random(turns)) / turns for _ in range(2)]
        return list(zip(*(one.tolist() for one in spread), strict=True))

    def _one(self, turn: int, kind: str, size: float, contrast: float) -> None:
        try:
            pixels: Pixels = self._grounds.opened(turn)[0].pixels
            defect = Defect(
                kind, round(_between(*sizes(pixels), size), 2), round(_between(*contrasts(kind), contrast), 4)
            )
            picture = self._grounds.with_defect(turn, defect)
            if picture is None:
                self.invisible[kind] += 1
            else:
                self.made.append(_Made(turn, defect, self._grounds.score(picture, self._grounds.of(turn))))
        except ImageError:
            self.refused += 1

    def of(self, kind: str) -> Planted:
        """What was measured of a kind."""
        mine = [one for one in self.made if one.defect.kind == kind]
        return Planted(
            kind,
            sizes=tuple(one.defect.size for one in mine),
            contrasts=tuple(one.defect.contrast for one in mine),
            scores=tuple(one.score for one in mine),
        )

    def pictures(self) -> Iterator[Callable[[], Shown]]:
        """Of each kind the smallest defect found, and the largest missed: made again when they are called."""
        above = found([one.score for one in self.made], self._taking.calibration.reject.value)
        for kind in self._taking.kinds:
            mine = [(one, hit) for one, hit in zip(self.made, above, strict=True) if one.defect.kind == kind]
            hits = [one for one, hit in mine if hit]
            missed = [one for one, hit in mine if not hit]
            if hits:
                yield partial(self._picture, min(hits, key=lambda one: one.defect.size), True)
            if missed:
                yield partial(self._picture, max(missed, key=lambda one: one.defect.size), False)

    def _picture(self, one: _Made, hit: bool) -> Shown:
        picture, of = self._grounds.with_defect(one.turn, one.defect), self._grounds.of(one.turn)
        assert picture is not None  # it was planted before, from the same seed
        defect = one.defect
        said = f"{'smallest' if hit else 'largest'} {defect.kind} {'found' if hit else 'missed'}: {defect.size:.0f} px"
        return Shown(f"{said}, contrast {100 * defect.contrast:.0f} %", kept.of(picture, "planted"), of.sample)


def _between(low: float, high: float, share: float) -> float:
    """A value between two, evenly in the logarithm."""
    return float(low * (high / low) ** share)


def _known(taking: Taking) -> Iterator[Known]:
    """Scores of the labelled test images, by kind."""
    for kind in sorted({one.label or "" for one in taking.known}):
        mine = [one for one in taking.known if one.label == kind]
        scored = score(taking.runtime, taking.track(mine, f"test images: {kind}"), taking.intake)
        yield Known(kind, tuple(one.score for one in scored.ranked), len(mine) - len(scored.ranked))
