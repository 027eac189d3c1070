"""Where the slider of a report stops: at thresholds that may be taken."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from anomalib_lite.calibration.statement import percent_up
from anomalib_lite.edge.manifest import Calibration

POINTS = 2000  # scores under the slider: of more images the count between two of them is that of the higher one
AROUND = 50  # scores on either side of a threshold that are always among them


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


def thinned(line: dict[str, Any], exact: Sequence[float]) -> dict[str, Any]:
    """A line of the slider's table that fits into a page, of a million images, too.

    Of more than `POINTS` scores so many are kept, evenly over all, and those around thresholds at which the count has
    to be exact; `above` says how many scores are as high as each of them, or higher.

    Args:
        line: With all its `scores`, ascending, and their number as `total`.
        exact: These thresholds.
    """
    scores, n = line["scores"], line["total"]
    if n <= POINTS:
        return line
    places = {round(one * (n - 1) / POINTS) for one in range(POINTS + 1)}
    for place in (bisect_right(scores, threshold) for threshold in exact):
        places |= set(range(max(0, place - AROUND), min(n, place + AROUND)))
    kept = sorted(places)
    return line | {"scores": [scores[one] for one in kept], "above": [n - one for one in kept]}
