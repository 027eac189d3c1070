"""What a calibration will be able to certify, before anything is trained: it follows from the number of parts alone."""

from __future__ import annotations

from anomalib_lite.calibration import menu
from anomalib_lite.calibration.statement import above, percent_down, percent_up, ways
from anomalib_lite.calibration.thresholds import certifiable, row_missing
from anomalib_lite.config import Rates


def forecast(
    n: int, unit: str, rates: Rates, holdout: float | None, *, row: int | None = None, approximate: bool = False
) -> str:
    """The bound that n held-out good parts carry, and where it is less than asked for, how many are missing.

    Args:
        n: Number of parts.
        unit: "part", or "image" where parts are not known.
        rates: What is asked.
        holdout: Share of the parts that a training holds out; None where it is not by a share.
        row: The row of the menu that is asked for instead of a rate.
        approximate: Whether every part is held out once, by cross-fitting.

    Raises:
        ConfigError: The menu does not have that row.
    """
    if row is None:
        allowed, bound, missing = certifiable(n, rates.max_false_reject, rates.confidence)
    else:
        rows = dict(zip(menu.ranks(n), menu.bounds(n, rates.confidence), strict=True))
        if row not in rows:
            raise row_missing(row, n, rows)
        allowed, bound, missing = row, rows[row], 0
    held_out = "cross-fitted" if approximate else "held-out"
    certain = f"at {percent_down(rates.confidence)} confidence"
    parts = f"{n:,} {held_out} {unit}" if n == 1 else f"{n:,} {held_out} {unit}s"
    said = f"{parts} can certify at most {percent_up(bound)} {certain}, {above(allowed)}"
    if not missing:
        return said
    asked = percent_up(rates.max_false_reject)
    remedies = ways(n, unit, rates.max_false_reject, rates.confidence, holdout=holdout, approximate=approximate)
    return f"{said}; for {asked}, {remedies}"
