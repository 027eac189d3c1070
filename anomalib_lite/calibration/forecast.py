"""What a calibration will be able to certify, before anything is trained: it follows from the number of parts alone."""

from __future__ import annotations

from anomalib_lite.calibration.rule import certifiable
from anomalib_lite.calibration.statement import above, percent_down, percent_up, ways
from anomalib_lite.config import Rates


def forecast(n: int, unit: str, rates: Rates, holdout: float | None, *, approximate: bool = False) -> str:
    """The bound that n held-out good parts carry, and where it is less than asked for, how many are missing.

    Args:
        n: Number of parts.
        unit: "part", or "image" where parts are not known.
        rates: What is asked.
        holdout: Share of the parts that a training holds out; None where it is not by a share.
        approximate: Whether every part is held out once, by cross-fitting.
    """
    allowed, bound, missing = certifiable(n, rates.max_false_reject, rates.confidence)
    held_out = "cross-fitted" if approximate else "held-out"
    certain = f"at {percent_down(rates.confidence)} confidence"
    parts = f"{n:,} {held_out} {unit}" if n == 1 else f"{n:,} {held_out} {unit}s"
    said = f"{parts} can certify at most {percent_up(bound)} {certain}, {above(allowed)}"
    if not missing:
        return said
    asked = percent_up(rates.max_false_reject)
    return f"{said}; for {asked}, {ways(n, missing, unit, holdout, approximate=approximate)}"
