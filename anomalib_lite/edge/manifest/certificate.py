"""What a calibration leaves behind: thresholds, the bound they carry, and the data behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

from anomalib_lite.edge.manifest.joining import TOP_SHARE, Cusum, Joining, Per, needs
from anomalib_lite.edge.manifest.parsing import Rule, finite, plain

NEWER = {"absent": True}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Calibrated limits in raw units: two for the image score, two for the pixels of the map, and the tolerance.

    `tol` is the smaller tolerance of the two score thresholds: what a score may move by on another processor.
    """

    reject: float
    review: float
    map_reject: float
    map_review: float
    tol: float

    @property
    def is_sound(self) -> bool:
        """Whether all are finite, and neither reject threshold is below its review threshold."""
        values = (self.reject, self.review, self.map_reject, self.map_review, self.tol)
        ordered = self.reject >= self.review and self.map_reject >= self.map_review
        return all(map(math.isfinite, values)) and self.tol >= 0 and ordered


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An image left out of the calibration by a person, and why."""

    image: str
    because: str


@dataclass(frozen=True, slots=True)
class Certified:
    """One calibrated threshold and what it is worth.

    value: the stored threshold, `base` + `tol`.       base: the order statistic s_(n-r).
    asked, bound: the rate asked for and the one certified, equal unless parts are missing.
    allowed: r, the parts that may lie above.          missing: parts still needed for what was asked, 0 if none.
    set_by: the images whose value is `base`.          without: the value without these images, None if none are left.
    simultaneous: the bound is that of a row of the menu: it holds together with those of all others.
    """

    value: float
    base: float
    tol: float
    asked: float
    bound: float
    allowed: int
    missing: int
    set_by: tuple[str, ...]
    without: float | None
    simultaneous: bool = field(default=False, metadata=NEWER)

    def rules(self) -> Iterator[Rule]:
        """What a threshold rests on."""
        yield Rule("tol", self.tol, self.tol >= 0, "a number from 0 on")
        as_stored = math.isclose(self.value, self.base + self.tol, rel_tol=1e-9)
        yield Rule("value", self.value, as_stored, f"base + tol, {self.base + self.tol:.12g}")
        for name, rate in (("asked", self.asked), ("bound", self.bound)):
            yield Rule(name, rate, 0 < rate < 1, "a share above 0 and below 1")
        for name, number in (("allowed", self.allowed), ("missing", self.missing)):
            yield Rule(name, number, number >= 0, "a whole number from 0 on")


@dataclass(frozen=True, slots=True)
class CertifiedThresholds:
    """Of the image score, and of the pixels of the anomaly map."""

    reject: Certified
    review: Certified
    map_reject: Certified
    map_review: Certified


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A row of the menu: a threshold that may be chosen after looking, since the bounds of all rows hold together.

    rank: r, the parts that may lie above.             value: what would be stored, `base` + `tol`.
    bound: certified, with all other rows.             expected: (r + 1) / (n + 1), the rate on average.
    """

    rank: int
    value: float
    base: float
    tol: float
    bound: float
    expected: float

    def rules(self) -> Iterator[Rule]:
        """What can be chosen."""
        yield Rule("rank", self.rank, self.rank >= 0, "a whole number from 0 on")
        as_stored = math.isclose(self.value, self.base + self.tol, rel_tol=1e-9)
        yield Rule("value", self.value, as_stored, f"base + tol, {self.base + self.tol:.12g}")
        for name, rate in (("bound", self.bound), ("expected", self.expected)):
            yield Rule(name, rate, 0 < rate < 1, "a share above 0 and below 1")


@dataclass(frozen=True, slots=True)
class ImagesPerUnit:
    """How often parts were photographed; `min` is None in calibrations of older versions."""

    median: float
    max: int
    min: int | None = None

    def rules(self) -> Iterator[Rule]:
        """What can be counted."""
        yield Rule("max", self.max, self.max >= 1, "a whole number above 0")
        yield Rule("min", self.min, self.min is None or 1 <= self.min <= self.max, "between 1 and max")
        yield Rule("median", self.median, (self.min or 1) <= self.median <= self.max, "between min and max")


@dataclass(frozen=True, slots=True)
class SessionLeftOut:
    """How the good parts of one session fare by a threshold that those of all others set.

    parts: of it.                   rejected: of these; None where the others do not carry a threshold.
    others: parts of the others.    expected: the share that is rejected on average where sessions are alike.
    chance: the probability of as many or more rejected parts where sessions are alike.
    """

    name: str
    parts: int
    others: int
    rejected: int | None = None
    expected: float = 1.0
    chance: float = 1.0

    def rules(self) -> Iterator[Rule]:
        """What can be counted."""
        yield Rule("parts", self.parts, self.parts >= 1, "a whole number above 0")
        yield Rule("others", self.others, self.others >= 0, "a whole number from 0 on")
        counted = self.rejected is None or 0 <= self.rejected <= self.parts
        yield Rule("rejected", self.rejected, counted, f"none to all of the {self.parts} parts")
        for name, share in (("expected", self.expected), ("chance", self.chance)):
            yield Rule(name, share, 0 <= share <= 1, "a share")


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Calibration images that could not be measured, and their share of all."""

    count: int
    rate: float

    def rules(self) -> Iterator[Rule]:
        """What can be counted."""
        yield Rule("count", self.count, self.count >= 0, "a whole number from 0 on")
        yield Rule("rate", self.rate, 0 <= self.rate <= 1, "a share")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of score and map, the statement they carry, and the data behind them.

    unit: "group" (physical parts are known) or "image" (each image counts as its own part).
    per: what the line decides on, see `joining`; each part has one value: that of one photograph, the largest, ...
    top_share, cusum: what `part-top` and `part-cusum` need.
    scores: one per part, ascending; what p-values are computed from.
    gated: a gate stands before the verdict, and what it refuses counts as rejected.
    refused: parts beside these that no finite score stands for, since the gate refused them; they count as highest.
    menu: operating points whose bounds hold together, the lowest rank first; those that are not finite are left out.
    row: the row that a person chose; None where the rule chose.
    sessions: how each would fare that were left out; empty where sessions are not known.
    images: number of images measured.                 errors: those that could not be measured, counted apart.
    approximate: thresholds come from sibling models (cross-fitting), so no bound holds at the confidence.
    folds: K siblings that are shipped together, so that the bounds hold on average; None of older versions.
    simulated: the good images were simulated from golden ones, so the bound is one on simulations.
    unlabelled: images that the model was fitted on and that nobody called good: it takes a mixed lot.
    retrained: trainings that this one replaced, and that were calibrated on some of the same images.
    holdout: the share of the parts that a training like this one holds out; None where it is not by a share.
    statement: all that has to be said of it, the bound first.
    history: earlier calibrations of the same model as JSON, oldest first.
    """

    DERIVED: ClassVar = ("n",)

    confidence: float
    unit: Literal["group", "image"]
    images: int
    images_per_unit: ImagesPerUnit
    errors: Unmeasured
    thresholds: CertifiedThresholds
    scores: tuple[float, ...] = field(metadata={"expected": "a list of at least one finite number"})
    approximate: bool = False
    simulated: bool = False
    unlabelled: int = 0
    retrained: int = field(default=0, metadata=NEWER)
    holdout: float | None = None
    exclusions: tuple[Exclusion, ...] = ()
    statement: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    per: Per = "part"
    top_share: float | None = field(default=None, metadata=NEWER)
    cusum: Cusum | None = field(default=None, metadata=NEWER)
    gated: bool = field(default=False, metadata=NEWER)
    refused: int = field(default=0, metadata=NEWER)
    menu: tuple[OperatingPoint, ...] = ()
    row: int | None = None
    sessions: tuple[SessionLeftOut, ...] = field(default=(), metadata=NEWER)
    folds: int | None = field(default=None, metadata=NEWER)

    @property
    def n(self) -> int:
        """Number of parts (images where parts are not known) behind the thresholds."""
        return len(self.scores) + self.refused

    @property
    def joining(self) -> Joining:
        """How the scores of the photographs of a part become one."""
        return Joining(self.per, self.top_share or TOP_SHARE, self.cusum.level if self.cusum else 0.0)

    @property
    def reject(self) -> Certified:
        """The threshold above which an image is NG."""
        return self.thresholds.reject

    @property
    def review(self) -> Certified:
        """The threshold above which an image is not OK."""
        return self.thresholds.review

    @property
    def has_review_band(self) -> bool:
        """Whether a score can be above review and not above reject."""
        return self.review.value < self.reject.value

    @property
    def limits(self) -> Thresholds:
        """What a device compares with."""
        certified = self.thresholds
        return Thresholds(
            reject=certified.reject.value,
            review=certified.review.value,
            map_reject=certified.map_reject.value,
            map_review=certified.map_review.value,
            tol=min(certified.reject.tol, certified.review.tol),
        )

    def as_history(self) -> tuple[Mapping[str, Any], ...]:
        """What the next calibration of this model carries along: the earlier ones, and this one."""
        return (*self.history, {key: value for key, value in plain(self).items() if key != "history"})

    def rules(self) -> Iterator[Rule]:
        """What no model can work without."""
        numbers = len(self.scores) > 0 and all(map(finite, self.scores))
        yield Rule("scores", self.scores, numbers, "a list of at least one finite number")
        ascending = all(a <= b for a, b in pairwise(self.scores))
        yield Rule("scores", self.scores, ascending, "a list in ascending order")
        sound = "finite numbers, reject at least review"
        yield Rule("thresholds", self.limits, self.limits.is_sound, sound)
        certified = self.thresholds
        for name in ("reject", "review", "map_reject", "map_review"):
            allowed = getattr(certified, name).allowed
            yield Rule(f"thresholds.{name}.allowed", allowed, allowed < self.n, f"fewer than the {self.n} parts")
        yield Rule("confidence", self.confidence, 0 < self.confidence < 1, "a share above 0 and below 1")
        yield Rule("images", self.images, self.images >= self.n, "at least as many as there are scores")
        held_out = self.holdout is None or 0 < self.holdout < 1
        yield Rule("holdout", self.holdout, held_out, "a share above 0 and below 1")
        yield Rule("retrained", self.retrained, self.retrained >= 0, "a whole number from 0 on")
        yield Rule("refused", self.refused, self.refused >= 0, "a whole number from 0 on")
        yield from needs(self.per, self.top_share, self.cusum)
        ranks = [point.rank for point in self.menu]
        sorted_rows = all(a < b for a, b in pairwise(ranks)) and all(rank < self.n for rank in ranks)
        yield Rule("menu", ranks, sorted_rows, f"rows of ascending rank below the {self.n} parts")
        known = self.row is None or self.row in ranks
        yield Rule("row", self.row, known, "a row of the menu")
        folded = self.folds is None or 2 <= self.folds <= self.n
        yield Rule("folds", self.folds, folded, f"from 2 to the {self.n} parts")
        readable = all(map(_is_earlier, self.history))
        yield Rule("history", len(self.history), readable, "calibrations as they were written")


def _is_earlier(entry: Mapping[str, Any]) -> bool:
    """Whether an earlier calibration, whatever version wrote it, names images where they are looked for."""
    thresholds, exclusions = entry.get("thresholds", {}), entry.get("exclusions", [])
    if not isinstance(thresholds, dict) or not isinstance(exclusions, list):
        return False
    named = [one.get("set_by", []) if isinstance(one, dict) else None for one in thresholds.values()]
    sessions = entry.get("sessions", [])
    lists = [*named, entry.get("statement", []), sessions]
    return all(isinstance(one, list) for one in lists) and all(
        isinstance(one, dict) for one in [*exclusions, *sessions]
    )
