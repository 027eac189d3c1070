"""What parts can carry: one value each, in order, and the thresholds and the menu that follow. The rule: see `rule`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from anomalib_lite.calibration import menu
from anomalib_lite.calibration.binomial import bound_of_maximum, largest_allowed, needed
from anomalib_lite.calibration.units import ScoredImage, Value, decided_on, joined
from anomalib_lite.config import Rates
from anomalib_lite.data import count
from anomalib_lite.edge.decision import tolerance
from anomalib_lite.edge.manifest import Certified, Joining, OperatingPoint
from anomalib_lite.errors import ConfigError, DataError

NAMED = 3  # images that an error names
FEWEST_REVIEWED = 3  # the lowest row that makes a band of REVIEW: fewer parts above it are not worth a person's look


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
class Counted:
    """Parts in the order of one of their values, and the thresholds that they can carry."""

    images: Sequence[ScoredImage]
    value: Value
    how: Joining
    seed: int
    confidence: float

    @cached_property
    def parts(self) -> list[list[ScoredImage]]:
        """The images of each part that count."""
        return decided_on(self.images, self.how.per, self.seed)

    @cached_property
    def values(self) -> list[float]:
        """One value per part, ascending; those that the gate refused are infinite."""
        return sorted(joined(part, self.value, self.how) for part in self.parts)

    def thresholds(self, rates: Rates, row: int | None) -> tuple[Certified, Certified]:
        """Reject and review, by the rule or, where a person chose it, reject by its row of the menu."""
        reject = self.reject(rates, row)
        return reject, self._review(rates, reject)

    def reject(self, rates: Rates, row: int | None) -> Certified:
        """The threshold of NG.

        Raises:
            DataError: The gate refused so many that no threshold is finite.
            ConfigError: The menu does not have that row.
        """
        return self._by_rule(rates.max_false_reject) if row is None else self._by_row(row, rates.max_false_reject)

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
        if joined(part, self.value, self.how) != base:
            return []
        return [image.image for image in part if self.value(image) == base] or [image.image for image in part]
