"""Thresholds from good images, with a guarantee.

The rule: the scores of n good parts that took no part in fitting, sorted, s_1 <= ... <= s_n. Reject what lies above
s_(n-r). The true false-reject rate is then at most Beta(r + 1, n - r) in distribution, whatever the shape of the
scores (equal to it where they are continuous), so the largest r is taken with P(Beta(r + 1, n - r) <= asked) >=
confidence. Where no r qualifies, r = 0 is taken and the bound it does certify is stated, 1 - (1 - confidence)^(1 / n),
with the number of parts missing for what was asked.

One value per part, because images of one part are not independent: see `units`. The stored threshold is s_(n-r) + tol
(`edge.decision.tolerance`): raising it keeps the guarantee. `reject` bounds how often a good part is NG; `review` how
often it is not OK, so it includes NG; where too few parts are held out for both, it is a row of the menu. The
thresholds of the anomaly map follow the same rule on the largest pixel.

An image that the gate refused has an infinite score: "NG or refused" is what the bound counts. Where so many are
refused that s_(n-r) is infinite, the first row of the menu that is finite is taken, with the bound of that row.

Sources: Bates, Candes, Lei, Romano, Sesia, "Testing for outliers with conformal p-values", Annals of Statistics 2023,
section 2.3 (calibration-conditional guarantee); Wilks, "Determination of sample sizes for setting tolerance limits",
Annals of Mathematical Statistics 1941 (r = 0).
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypedDict, Unpack

from anomalib_lite.calibration import menu
from anomalib_lite.calibration.binomial import bound_of_maximum, largest_allowed, needed
from anomalib_lite.calibration.statement import sentences
from anomalib_lite.calibration.units import ScoredImage, Value, decided_on, joined
from anomalib_lite.config import Rates
from anomalib_lite.data import count
from anomalib_lite.edge.decision import tolerance
from anomalib_lite.edge.manifest import (
    Calibration,
    Certified,
    CertifiedThresholds,
    Exclusion,
    ImagesPerUnit,
    OperatingPoint,
    Per,
    Unmeasured,
)
from anomalib_lite.errors import ConfigError, DataError

NAMED = 3  # images that an error names
FEWEST_REVIEWED = 3  # the lowest row that makes a band of REVIEW: fewer parts above it are not worth a person's look


class Facts(TypedDict, total=False):
    """What a statement says of the training, as in `Calibration`; `history` is `as_history` of the one before."""

    approximate: bool
    simulated: bool
    gated: bool
    unlabelled: int
    holdout: float | None
    history: tuple[Mapping[str, Any], ...]


def calibrate(
    scores: Sequence[ScoredImage],
    rates: Rates,
    *,
    grouped: bool,
    per: Per = "part",
    seed: int = 0,
    row: int | None = None,
    errors: int = 0,
    exclusions: Sequence[Exclusion] = (),
    **facts: Unpack[Facts],
) -> Calibration:
    """Thresholds from good images that took no part in fitting.

    Args:
        scores: the images that could be measured, those to exclude and those that the gate refused among them.
        rates: rates and confidence.
        grouped: whether `group` is the physical part; otherwise each image counts as one, and the statement says so.
        per: what the line decides on.
        seed: draws the photograph of each part, where the line decides on photographs.
        row: the row of the menu to take, chosen by a person; None leaves it to the rule.
        errors: number of further images that could not be measured.
        exclusions: images of `scores` that a person leaves out.
        **facts: what else there is to say of the training, and of the calibration that this one replaces.

    Raises:
        DataError: nothing to calibrate on, parts not known that are to be decided on, no number, the same score for
            all, an image named twice, or excluded and not there; or too many refused for any threshold.
        ConfigError: a row that the menu does not have.
    """
    used = _select(scores, exclusions, errors)
    used = used if grouped else _each_for_itself(used, per)
    counted = _Counted(used, _score, per, seed, rates.confidence)
    peaks = replace(counted, value=_map_peak)
    calibration = Calibration(
        confidence=rates.confidence, unit="group" if grouped else "image",
        images=len(used), images_per_unit=_images_per_unit(used),
        errors=Unmeasured(errors, errors / (errors + len(used))),
        thresholds=CertifiedThresholds(*counted.thresholds(rates, row), *peaks.thresholds(rates, row)),
        scores=tuple(filter(math.isfinite, counted.values)),
        refused=counted.values.count(math.inf),
        menu=tuple(counted.rows()), exclusions=tuple(exclusions), per=per, row=row, **facts,
    )  # fmt: skip
    return replace(calibration, statement=tuple(sentences(calibration)))


def _each_for_itself(used: Sequence[ScoredImage], per: Per) -> list[ScoredImage]:
    """Images whose parts are not known, each taken for one."""
    if per in ("part-median", "part-mean"):
        raise DataError(
            f"Calibration: --per {per} decides once for a part, and nothing says which photographs show one part. Give "
            "--group REGEX or a column 'group', or leave --per out."
        )
    return [replace(image, group=image.image) for image in used]


def _images_per_unit(used: Sequence[ScoredImage]) -> ImagesPerUnit:
    per_part = list(Counter(image.group for image in used).values())
    return ImagesPerUnit(statistics.median(per_part), max(per_part), min(per_part))


def _score(image: ScoredImage) -> float:
    return image.score


def _map_peak(image: ScoredImage) -> float:
    return image.map_peak


def _select(scores: Sequence[ScoredImage], exclusions: Sequence[Exclusion], errors: int) -> list[ScoredImage]:
    """The images to calibrate on, checked."""
    names = [image.image for image in scores]
    known = set(names)
    if len(known) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise DataError(f"Calibration: '{twice}' is given more than once; each image counts once.")
    for image in scores:
        if any(math.isnan(value) or value == -math.inf for value in (image.score, image.map_peak)):
            raise DataError(
                f"Calibration: '{image.image}' has the score {image.score} and the map peak {image.map_peak}, expected "
                "numbers. Count it as an ERROR instead."
            )
    for exclusion in exclusions:
        if exclusion.image not in known:
            raise DataError(
                f"Calibration: '{exclusion.image}' is to be excluded but is not among the {len(names)} measured "
                "calibration images. Give its name relative to the data folder."
            )
    left_out = {exclusion.image for exclusion in exclusions}
    used = [image for image in scores if image.image not in left_out]
    if not used:
        raise DataError(
            f"Calibration: no good image is left to calibrate on ({len(left_out)} excluded, {errors} could not be "
            "measured). Hold out more good images (--holdout), or calibrate on a folder of other good parts."
        )
    if len(used) > 1 and len({image.score for image in used}) == 1 and math.isfinite(used[0].score):
        raise DataError(
            f"Calibration: all {len(used)} images have the score {used[0].score:g}: the model does not tell one from "
            "another, so no threshold means anything. Give different images, check image.white, or train again."
        )
    return used


def certifiable(n: int, asked: float, confidence: float) -> tuple[int, float, int]:
    """What n held-out parts can carry.

    Returns:
        r, the parts that may lie above the threshold; the certified bound; and the parts missing for what is asked.
    """
    allowed = largest_allowed(n, asked, confidence)
    if allowed is None:
        return 0, bound_of_maximum(n, confidence), needed(asked, confidence) - n
    return allowed, asked, 0


def row_missing(row: int, n: int, there: Iterable[int]) -> ConfigError:
    """What is raised where a row is asked for that n parts do not carry."""
    rows = ", ".join(map(str, there)) or "none"
    return ConfigError(
        f"row {row} is not on the menu: {count(n, 'good part')} carry the rows {rows}. Take one of these with --row, "
        "or hold out more parts."
    )


@dataclass(frozen=True)
class _Counted:
    """Parts in the order of one of their values, and the thresholds that they can carry."""

    images: Sequence[ScoredImage]
    value: Value
    per: Per
    seed: int
    confidence: float

    @cached_property
    def parts(self) -> list[list[ScoredImage]]:
        """The images of each part that count."""
        return decided_on(self.images, self.per, self.seed)

    @cached_property
    def values(self) -> list[float]:
        """One value per part, ascending; those that the gate refused are infinite."""
        return sorted(joined(part, self.value, self.per) for part in self.parts)

    def thresholds(self, rates: Rates, row: int | None) -> tuple[Certified, Certified]:
        """Reject and review, by the rule or, where a person chose it, reject by its row of the menu."""
        reject = self._by_rule(rates.max_false_reject) if row is None else self._by_row(row, rates.max_false_reject)
        return reject, self._review(rates, reject)

    def _review(self, rates: Rates, reject: Certified) -> Certified:
        """The threshold of REVIEW: where none below that of NG is certified for its rate, a row of the menu.

        Of the rows from `FEWEST_REVIEWED` on the first below reject; reject itself where there is none, or where as
        much is asked of review as of reject: no band is wanted then.
        """
        asked = rates.review_rate
        review = self._by_rule(asked)
        if review.value < reject.value:
            return review
        below = [point for point in self.rows() if point.rank >= FEWEST_REVIEWED and point.value < reject.value]
        if below and asked > rates.max_false_reject:
            return replace(self._of(below[0], asked), missing=review.missing)
        return review if review.value == reject.value else replace(reject, asked=asked)

    def rows(self) -> Iterator[OperatingPoint]:
        """The menu: every row whose threshold is finite."""
        n = len(self.values)
        for rank, bound in zip(menu.ranks(n), menu.bounds(n, self.confidence), strict=True):
            if math.isfinite(base := self.values[n - 1 - rank]):
                tol = tolerance(base, self.values)
                yield OperatingPoint(rank, base + tol, base, tol, bound, (rank + 1) / (n + 1))

    def _by_rule(self, asked: float) -> Certified:
        """s_(n-r) for what is asked; where the gate refused that part, the first row of the menu that is finite."""
        n = len(self.values)
        allowed, bound, missing = certifiable(n, asked, self.confidence)
        if math.isfinite(self.values[n - 1 - allowed]):
            return self._certified(allowed, asked, bound, missing)
        if point := next(self.rows(), None):
            return self._of(point, asked)
        refused = sorted(image.image for image in self.images if image.is_refused)
        raise DataError(
            f"Calibration: the gate refused {len(refused)} of {len(self.images)} good images, as "
            f"{', '.join(refused[:NAMED])}: more parts than may lie above any threshold, so none can be certified. "
            "Look at them: leave out what is not good (--exclude FILE --because TEXT); where they are good, train with "
            "images like them, or without the gate (--set gate.enabled=false)."
        )

    def _by_row(self, row: int, asked: float) -> Certified:
        points = {point.rank: point for point in self.rows()}
        if row in points:
            return self._of(points[row], asked)
        raise row_missing(row, len(self.values), points)

    def _of(self, point: OperatingPoint, asked: float) -> Certified:
        return replace(self._certified(point.rank, asked, point.bound, 0, row=True), simultaneous=True)

    def _certified(self, allowed: int, asked: float, bound: float, missing: int, *, row: bool = False) -> Certified:
        base = self.values[len(self.values) - 1 - allowed]
        tol = tolerance(base, self.values)
        set_by = {name for part in self.parts for name in self._setting(part, base)}
        rest = replace(self, images=[image for image in self.images if image.image not in set_by])
        return Certified(
            value=base + tol,
            base=base,
            tol=tol,
            asked=asked,
            bound=bound,
            allowed=allowed,
            missing=missing,
            set_by=tuple(sorted(set_by)),
            without=rest._stored_value(allowed if row else None, asked),
        )

    def _stored_value(self, row: int | None, asked: float) -> float | None:
        """What would be stored for a row, or for what is asked; None where no part is left for it."""
        n = len(self.values)
        if row is None and n:
            row = certifiable(n, asked, self.confidence)[0]
        if row is None or row >= n or math.isinf(base := self.values[n - 1 - row]):
            return None
        return base + tolerance(base, self.values)

    def _setting(self, part: Sequence[ScoredImage], base: float) -> list[str]:
        """The images of a part that set a threshold: those of just this value or, where none has it, all of them."""
        if joined(part, self.value, self.per) != base:
            return []
        return [image.image for image in part if self.value(image) == base] or [image.image for image in part]
