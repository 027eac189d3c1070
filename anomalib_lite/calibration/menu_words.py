"""The menu in words, as screen and report print it."""

from __future__ import annotations

from anomalib_lite.calibration.statement import percent_down, percent_up
from anomalib_lite.edge.manifest import Calibration


def cells(calibration: Calibration) -> list[tuple[str, str, str, str]]:
    """The menu, a row each: which, its threshold, what it certifies, what is expected; the one taken is marked."""
    return [
        (
            f"{point.rank}{' *' if point.rank == calibration.reject.allowed else ''}",
            f"{point.value:.6g}",
            percent_up(point.bound),
            percent_up(point.expected),
        )
        for point in calibration.menu
    ]


def advice(calibration: Calibration) -> str:
    """How the menu is to be read, and which row is taken, why."""
    reject, unit = calibration.reject, "part" if calibration.unit == "group" else "image"
    if calibration.row is not None:
        taken = "chosen with --row"
    elif reject.simultaneous:
        taken = "taken, as the first with a finite threshold"
    else:
        why = "since too few parts are held out for" if reject.missing else "by the rule for"
        alone = f"for who does not choose, its bound is the {percent_up(reject.bound)} above"
        taken = f"taken {why} {percent_up(reject.asked)}; {alone}"
    return (
        f"Row N lets N of the {calibration.n:,} held-out {unit}s lie above the threshold: a higher row finds more "
        f"defects and rejects more. The bounds hold together (confidence {percent_down(calibration.confidence)}): "
        f"choose after looking, with `anomalib-lite calibrate MODEL --row N`. * {taken}."
    )
