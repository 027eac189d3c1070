"""The menu as a table: what each row certifies, and which share it finds of planted and of known defects."""

from __future__ import annotations

from collections.abc import Sequence

from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration.statement import percent_up
from anomalib_lite.edge.manifest import EvidenceRecord
from anomalib_lite.evidence.judging import GOOD, found


def table(calibration: Calibration, record: EvidenceRecord | None) -> tuple[list[str], list[list[str]]]:
    """Names of columns, and a line for each row of the menu; the one taken is marked.

    Defects that could not be measured are in no share: they are ERROR. No column stands there without any defect.
    """
    defects = _defects(record)
    lines = [
        [
            f"{point.rank}{' *' if point.rank == calibration.reject.allowed else ''}",
            f"{point.value:.6g}",
            percent_up(point.bound),
            percent_up(point.expected),
            *(_share(scores, point.value) for scores in defects.values()),
        ]
        for point in calibration.menu
    ]
    return ["row", "threshold", "at most", "on average", *defects], lines


def _defects(record: EvidenceRecord | None) -> dict[str, list[float]]:
    """Scores of the images with a defect, by the name of their column."""
    if record is None:
        return {}
    planted = [score for one in record.planted for score in one.scores]
    known = [score for one in record.known if one.kind != GOOD for score in one.scores]
    named = {f"found of {len(planted):,} planted": planted, f"found of {len(known):,} known": known}
    return {name: scores for name, scores in named.items() if scores}


def _share(scores: Sequence[float], threshold: float) -> str:
    return f"{100 * sum(found(scores, threshold)) / len(scores):.3g} %"
