"""Thresholds from good images, with a guarantee.

The rule: the scores of n good parts that took no part in fitting, sorted, s_1 <= ... <= s_n. Reject what lies above
s_(n-r). The true false-reject rate is then at most Beta(r + 1, n - r) in distribution, whatever the shape of the
scores (equal to it where they are continuous), so the largest r is taken with P(Beta(r + 1, n - r) <= asked) >=
confidence. Where no r qualifies, r = 0 is taken and the bound it does certify is stated, 1 - (1 - confidence)^(1 / n),
with the number of parts missing for what was asked.

One value per part, its largest, because images of one part are not independent: the statement is per part. The
stored threshold is s_(n-r) + tol (`edge.decision.tolerance`): raising it keeps the guarantee. `reject` bounds how
often a good part is NG; `review` how often it is not OK, so it includes NG. The thresholds of the anomaly map follow
the same rule on the largest pixel of each part.

Sources: Bates, Candes, Lei, Romano, Sesia, "Testing for outliers with conformal p-values", Annals of Statistics 2023,
section 2.3 (calibration-conditional guarantee); Wilks, "Determination of sample sizes for setting tolerance limits",
Annals of Mathematical Statistics 1941 (r = 0).
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

from anomalib_lite.calibration.binomial import bound_of_maximum, largest_allowed, needed
from anomalib_lite.calibration.statement import sentences
from anomalib_lite.config import Rates
from anomalib_lite.edge.decision import tolerance
from anomalib_lite.edge.manifest import (
    Calibration,
    Certified,
    CertifiedThresholds,
    Exclusion,
    ImagesPerUnit,
    Unmeasured,
)
from anomalib_lite.errors import DataError


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """A measured good image: its name, its part, its score, and the largest pixel of its anomaly map (raw units)."""

    image: str
    group: str
    score: float
    map_peak: float


class Facts(TypedDict, total=False):
    """What a statement says of the training, as in `Calibration`."""

    approximate: bool
    simulated: bool
    gated: bool
    unlabelled: int
    holdout: float | None


def calibrate(
    scores: Sequence[ScoredImage],
    rates: Rates,
    *,
    grouped: bool,
    errors: int = 0,
    exclusions: Sequence[Exclusion] = (),
    history: Sequence[Mapping[str, Any]] = (),
    **facts: Unpack[Facts],
) -> Calibration:
    """Thresholds from good images that took no part in fitting.

    Args:
        scores: the images that could be measured, those to exclude among them.
        rates: rates and confidence.
        grouped: whether `group` is the physical part; otherwise each image counts as one, and the statement says so.
        errors: number of further images that could not be measured.
        exclusions: images of `scores` that a person leaves out.
        history: `Calibration.as_history` of the calibration that this one replaces.
        **facts: what else there is to say of the training.

    Raises:
        DataError: nothing to calibrate on, a score that is not finite, the same one for all images, an image named
            twice, or excluded and not there.
    """
    used = _select(scores, exclusions, errors)
    used = used if grouped else [replace(image, group=image.image) for image in used]
    calibration = Calibration(
        confidence=rates.confidence,
        unit="group" if grouped else "image",
        images=len(used),
        images_per_unit=_images_per_unit(used),
        errors=Unmeasured(errors, errors / (errors + len(used))),
        thresholds=_thresholds(used, rates),
        scores=tuple(_part_values(used, _score)),
        exclusions=tuple(exclusions),
        history=tuple(history),
        **facts,
    )
    return replace(calibration, statement=tuple(sentences(calibration)))


def _images_per_unit(used: Sequence[ScoredImage]) -> ImagesPerUnit:
    per_part = [len(images) for images in _by_group(used).values()]
    return ImagesPerUnit(statistics.median(per_part), max(per_part), min(per_part))


def _thresholds(used: Sequence[ScoredImage], rates: Rates) -> CertifiedThresholds:
    asked = (rates.max_false_reject, rates.review_rate)
    reject, review = (_threshold(used, _score, rate, rates.confidence) for rate in asked)
    map_reject, map_review = (_threshold(used, _map_peak, rate, rates.confidence) for rate in asked)
    return CertifiedThresholds(reject, review, map_reject, map_review)


Value = Callable[[ScoredImage], float]


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
        if not (math.isfinite(image.score) and math.isfinite(image.map_peak)):
            raise DataError(
                f"Calibration: '{image.image}' has the score {image.score} and the map peak {image.map_peak}, expected "
                "finite numbers. Count it as an ERROR instead."
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
    if len(used) > 1 and len({image.score for image in used}) == 1:
        raise DataError(
            f"Calibration: all {len(used)} images have the score {used[0].score:g}: the model does not tell one from "
            "another, so no threshold means anything. Give different images, check image.white, or train again."
        )
    return used


def _by_group(images: Sequence[ScoredImage]) -> dict[str, list[ScoredImage]]:
    groups: dict[str, list[ScoredImage]] = {}
    for image in images:
        groups.setdefault(image.group, []).append(image)
    return groups


def _part_values(images: Sequence[ScoredImage], value: Value) -> list[float]:
    """One value per part, the largest of its images; ascending."""
    return sorted(max(map(value, members)) for members in _by_group(images).values())


def certifiable(n: int, asked: float, confidence: float) -> tuple[int, float, int]:
    """What n held-out parts can carry.

    Returns:
        r, the parts that may lie above the threshold; the certified bound; and the parts missing for what is asked.
    """
    allowed = largest_allowed(n, asked, confidence)
    if allowed is None:
        return 0, bound_of_maximum(n, confidence), needed(asked, confidence) - n
    return allowed, asked, 0


def _threshold(images: Sequence[ScoredImage], value: Value, asked: float, confidence: float) -> Certified:
    values = _part_values(images, value)
    allowed, bound, missing = certifiable(len(values), asked, confidence)
    base = values[len(values) - 1 - allowed]
    tol = tolerance(base, values)
    set_by = {
        image.image
        for members in _by_group(images).values()
        for image in members
        if value(image) == base == max(map(value, members))
    }
    rest = _part_values([image for image in images if image.image not in set_by], value)
    return Certified(
        value=base + tol,
        base=base,
        tol=tol,
        asked=asked,
        bound=bound,
        allowed=allowed,
        missing=missing,
        set_by=tuple(sorted(set_by)),
        without=_stored_value(rest, asked, confidence) if rest else None,
    )


def _stored_value(values: Sequence[float], asked: float, confidence: float) -> float:
    """s_(n-r) + tol of sorted values."""
    base = values[len(values) - 1 - certifiable(len(values), asked, confidence)[0]]
    return base + tolerance(base, values)
