"""The menu in words, as screen and report print it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from anomalib_lite.calibration.statement import percent_down, percent_up
from anomalib_lite.edge.manifest import Calibration, HeldOut


def suspects(held_out: Iterable[HeldOut], most: int = 5) -> str:
    """The good images with the highest scores, and what to do with them; empty where nothing is recorded.

    Whether one is left out must not depend on how high it is: all are to be looked at, and only confirmed defects are
    removed. Bashari, Sesia, Romano, arXiv 2502.04807.
    """
    scored = [(math.inf if one.score is None else one.score, one.image) for one in held_out]
    highest = sorted(scored, reverse=True)[:most]
    named = ", ".join(f"{name} ({'refused' if math.isinf(score) else f'{score:.6g}'})" for score, name in highest)
    if not named:
        return ""
    return (
        f"The highest of the good images: {named}. Look at all of them, for a defect among them hides others like it. "
        "Leave out only what is confirmed to be defective (calibrate MODEL DATA --exclude FILE --because TEXT): "
        "without a good one the bound is void."
    )


def advice(calibration: Calibration) -> str:
    """How the menu is to be read, and which row is taken, why."""
    reject, unit = calibration.reject, "part" if calibration.unit == "group" else "image"
    if calibration.row is not None:
        taken = "* chosen with --row"
    elif reject.simultaneous:
        taken = "* taken, as the first with a finite threshold"
    else:
        why = "since too few parts are held out for" if reject.missing else "by the rule for"
        listed = any(point.rank == reject.allowed for point in calibration.menu)
        row = "*" if listed else f"A threshold between these, with {reject.allowed:,} above it,"
        alone = f"for who does not choose, its bound is the {percent_up(reject.bound)} above"
        taken = f"{row} taken {why} {percent_up(reject.asked)}; {alone}"
    return (
        f"Row N lets N of the {calibration.n:,} held-out {unit}s lie above the threshold: a higher row finds more "
        f"defects and rejects more. The bounds hold together (confidence {percent_down(calibration.confidence)}): "
        f"choose after looking, with `anomalib-lite calibrate MODEL --row N`. {taken}."
    )
