"""What cross-fitting promises, in plain words: an average, and no bound at a confidence."""

from __future__ import annotations

from anomalib_lite.calibration.statement import (
    above,
    decided,
    percent_up,
    remedy,
    scope,
    subject,
    unit_of,
    unmeasured,
)
from anomalib_lite.data.samples import count
from anomalib_lite.edge.manifest import Calibration, Certified

AVERAGE = "no bound at a confidence: this training may reject more"


def sentences(calibration: Calibration) -> list[str]:
    """All that has to be said of a cross-fitted calibration, most important first."""
    said = [_average(calibration), _price(calibration), *decided(calibration), scope(calibration)]
    said.append(_review(calibration))
    if calibration.simulated:
        said.insert(0, "Simulated: the good images are golden ones, moved, lit, blurred and with noise added.")
    said.append("What the gate refuses is not in it: the gate learnt from all parts.")
    if calibration.retrained:
        said.append(
            f"Trained {count(calibration.retrained, 'time')} before on some of the same images: the average is over "
            "all trainings, not over the best of them."
        )
    return [*said, *unmeasured(calibration)]


def _average(calibration: Calibration) -> str:
    reject, unit = calibration.reject, unit_of(calibration)
    one_each = ", one photograph of each" if calibration.per == "photograph" and calibration.unit == "group" else ""
    condition = "" if calibration.unit == "group" else " if images are independent"
    text = (
        f"Cross-fitted: on average over trainings like this one, at most {percent_up(reject.bound)} of "
        f"{subject(calibration)} are NG{condition}, from {count(calibration.n, unit)} in {calibration.folds} folds"
        f"{one_each}, {above(reject.allowed)}. That is {AVERAGE}"
    )
    if not reject.missing:
        return f"{text}."
    return f"{text}; asked for {percent_up(reject.asked)}: {remedy(calibration)}."


def _price(calibration: Calibration) -> str:
    expected = (calibration.reject.allowed + 1) / (calibration.n + 1)
    return (
        f"Each part was ranked by the sibling that has not seen it, and the model ranks by all "
        f"{calibration.folds}; where siblings hardly differ, {percent_up(expected)} are NG. For a bound at a "
        "confidence, hold parts out (--holdout), or calibrate on parts that are new."
    )


def _review(calibration: Calibration) -> str:
    review: Certified = calibration.review
    if not calibration.has_review_band:
        return "No review band: the review threshold is the reject threshold."
    return (
        f"On average at most {percent_up(review.bound)} of {subject(calibration)} are not OK, that is REVIEW or NG, "
        f"{above(review.allowed)}."
    )
