"""What a calibration will be able to certify, before anything is trained: it follows from the number of parts alone."""

from __future__ import annotations

from anomalib_lite.calibration import menu
from anomalib_lite.calibration.average import carried
from anomalib_lite.calibration.statement import above, percent_down, percent_up, ways
from anomalib_lite.calibration.thresholds import certifiable, row_missing
from anomalib_lite.config import Rates
from anomalib_lite.data.samples import count


def forecast(
    n: int, unit: str, rates: Rates, holdout: float | None, *, row: int | None = None, folds: int | None = None
) -> str:
    """The bound that n held-out good parts carry, and where it is less than asked for, how many are missing.

    Args:
        n: Number of parts.
        unit: "part", or "image" where parts are not known.
        rates: What is asked.
        holdout: Share of the parts that a training holds out; None where it is not by a share.
        row: The row of the menu that is asked for instead of a rate.
        folds: Of cross-fitting, where every part is held out once; what is carried is an average then.

    Raises:
        ConfigError: The menu does not have that row.
    """
    if folds is not None:
        return _on_average(n, unit, rates.max_false_reject, folds)
    if row is None:
        allowed, bound, missing = certifiable(n, rates.max_false_reject, rates.confidence)
    else:
        rows = dict(zip(menu.ranks(n), menu.bounds(n, rates.confidence), strict=True))
        if row not in rows:
            raise row_missing(row, n, rows)
        allowed, bound, missing = row, rows[row], 0
    certain = f"at {percent_down(rates.confidence)} confidence"
    said = f"{count(n, f'held-out {unit}')} can certify at most {percent_up(bound)} {certain}, {above(allowed)}"
    if not missing:
        return said
    asked = percent_up(rates.max_false_reject)
    remedies = ways(n, unit, rates.max_false_reject, rates.confidence, holdout=holdout)
    return f"{said}; for {asked}, {remedies}"


def _on_average(n: int, unit: str, asked: float, folds: int) -> str:
    """The same of cross-fitting: no bound at a confidence."""
    allowed, bound, missing = carried(n, folds, asked)
    parts = count(n, f"cross-fitted {unit}")
    said = f"{parts} promise at most {percent_up(bound)} on average, at no confidence, {above(allowed)}"
    return f"{said}; for {percent_up(asked)}, {ways(n, unit, asked, 0.5, folds=folds)}" if missing else said
