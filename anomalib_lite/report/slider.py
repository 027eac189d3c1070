"""Where the slider of a report stops: at thresholds that may be taken."""

from __future__ import annotations

from typing import Any

from anomalib_lite.calibration.statement import percent_up
from anomalib_lite.edge.manifest import Calibration


def slider_stops(calibration: Calibration) -> list[dict[str, Any]]:
    """Ascending: the rows of the menu, and the threshold taken; none without a menu."""
    if len(calibration.menu) < 2:
        return []
    found = {  # of rows that tie, the one that allows most
        row.value: f"Row {row.rank}: at most {percent_up(row.bound)}, together with all other rows; "
        f"{percent_up(row.expected)} on average."
        for row in calibration.menu
    }
    taken = calibration.reject
    found[taken.value] = f"{taken.allowed:,} above it allowed: at most {percent_up(taken.bound)}."
    return [{"threshold": value, "said": found[value]} for value in sorted(found)]
