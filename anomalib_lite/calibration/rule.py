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

Calibrating again until it passes would break the bound: the k-th repetition of a calibration is held to a confidence
of 1 - delta / 2^k, so that all of them hold together (a union bound over the model's history).

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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from anomalib_lite.calibration.binomial import paid
from anomalib_lite.calibration.sessions import left_out
from anomalib_lite.calibration.statement import sentences
from anomalib_lite.calibration.thresholds import Counted
from anomalib_lite.calibration.units import ScoredImage, refuse_unknown_parts, with_level
from anomalib_lite.config import Rates
from anomalib_lite.edge.manifest import (
    TOP_SHARE,
    Calibration,
    CertifiedThresholds,
    Cusum,
    Exclusion,
    ImagesPerUnit,
    Joining,
    Per,
    Unmeasured,
)
from anomalib_lite.errors import DataError


class Facts(TypedDict, total=False):
    """What a statement says of the training, as in `Calibration`; `history` is `as_history` of the one before.

    `top_share` counts where `per` is part-top, and may be None for the default.
    """

    simulated: bool
    gated: bool
    unlabelled: int
    retrained: int
    holdout: float | None
    top_share: float | None
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
    share = facts["top_share"] = (facts.get("top_share") or TOP_SHARE) if per == "part-top" else None
    how, cusum, used = _joining(used if grouped else _each_for_itself(used, per), per, share, seed)
    counted = Counted(used, _score, how, seed, paid(rates.confidence, len(facts.get("history", ()))))
    peaks = replace(counted, value=_map_peak, how=Joining("part") if cusum else how)  # of pixels no sum is taken
    calibration = Calibration(
        confidence=rates.confidence, unit="group" if grouped else "image",
        images=len(used), images_per_unit=_images_per_unit(used),
        errors=Unmeasured(errors, errors / (errors + len(used))),
        thresholds=CertifiedThresholds(*counted.thresholds(rates, row), *peaks.thresholds(rates, row)),
        scores=tuple(filter(math.isfinite, counted.values)), refused=counted.values.count(math.inf),
        menu=tuple(counted.rows()), exclusions=tuple(exclusions), per=per, cusum=cusum, row=row,
        sessions=left_out(counted, rates, row), **facts,
    )  # fmt: skip
    return replace(calibration, statement=tuple(sentences(calibration)))


def _each_for_itself(used: Sequence[ScoredImage], per: Per) -> list[ScoredImage]:
    """Images whose parts are not known, each taken for one."""
    refuse_unknown_parts(per, grouped=False)
    return [replace(image, group=image.image) for image in used]


def _joining(
    used: list[ScoredImage], per: Per, share: float | None, seed: int
) -> tuple[Joining, Cusum | None, list[ScoredImage]]:
    """How scores of a part are joined; what CUSUM counts from; and the images of the parts that certify."""
    if per != "part-cusum":
        return Joining(per, share or TOP_SHARE), None, used
    cusum, used = with_level(used, seed)
    return Joining(per, level=cusum.level), cusum, used


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
