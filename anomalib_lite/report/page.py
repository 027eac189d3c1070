"""One self-contained HTML file on a training, an evaluation or a prediction: nothing in it comes from outside."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from anomalib_lite.calibration import menu_words
from anomalib_lite.calibration.statement import percent_down, percent_up, remedy, subject
from anomalib_lite.edge import disk
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.manifest import Calibration, EvidenceRecord
from anomalib_lite.errors import DataError
from anomalib_lite.evidence import menu
from anomalib_lite.report import charts
from anomalib_lite.report.gallery import Gallery
from anomalib_lite.report.metrics_table import NONE, metrics_table, share
from anomalib_lite.report.slider import slider_stops, thinned
from anomalib_lite.report.templating import template

__all__ = ["Gallery", "Report", "ScoredRow", "render", "write"]

LISTED = 10  # good images with the highest scores
MISSED_LISTED = 100
ERRORS_LISTED = 1000
PURPOSES = {
    "train": "Training report: the calibration on good images that were held out from fitting",
    "evaluate": "Evaluation report: a finished model on labelled images; nothing was tuned on them",
    "predict": "Prediction report: verdicts on images whose truth is not known",
}


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One image of the run. `score` is None exactly where the verdict is ERROR.

    Raises:
        ValueError: The score is NaN or infinite.
    """

    image: str
    label: str | None  # "good", a defect kind, or None where the truth is not known
    group: str
    verdict: str
    score: float | None
    error: str | None = None

    def __post_init__(self) -> None:
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"{self.image}: the score is {self.score}; an image without a measurement has None")


@dataclass
class Report:
    """All that a report says; `curve` is (step, loss)."""

    title: str
    purpose: Literal["train", "evaluate", "predict"]
    model: Mapping[str, str]
    data: Mapping[str, str]
    calibration: Calibration
    rows: list[ScoredRow]
    gallery: Gallery | None = None
    metrics: Mapping[str, Any] | None = None
    curve: Sequence[tuple[int, float]] = ()
    notes: list[str] = field(default_factory=list)
    found: EvidenceRecord | None = None  # what the rows of the menu find
    evidence: Mapping[str, Any] | None = None  # of detection, as `report.evidence` draws it
    recordings: Mapping[str, Any] | None = None  # as `report.timeline` draws them


def write(path: Path, report: Report) -> None:
    """Write the report, whole or not at all.

    Raises:
        DataError: The disk does not take it.
    """
    try:
        disk.write(path, render(report))
    except OSError as error:
        raise DataError(
            f"{path}: the report cannot be written ({error.strerror}). Make room or choose another folder."
        ) from error


def render(report: Report) -> bytes:
    """The HTML file, in UTF-8. Names of files and kinds stand in it as text, whatever they contain."""
    filters: dict[str, Callable[..., Any]] = {
        "percent": lambda value: f"{100 * value:.1f} %",
        "digits": lambda value: NONE if value is None else f"{value:.5g}",
        "at": lambda value: f"{value:.3f}",
        "share": share,
        "percent_up": percent_up,
        "percent_down": percent_down,
    }
    html = template("report.html", filters).render(_context(report))
    return html.encode("utf-8", "backslashreplace")  # file names need not be valid Unicode


def _context(report: Report) -> dict[str, Any]:
    errors = [row for row in report.rows if row.score is None]
    context: dict[str, Any] = {
        "report": report,
        "purpose": PURPOSES[report.purpose],
        "unit": _unit(report.calibration),
        "flags": _flags(report.calibration),
        "menu": menu.table(report.calibration, report.found),
        "menu_advice": menu_words.advice(report.calibration),
        "tiles": _tiles(report),
        "plot": _plot(report),
        "verdict_names": list(Verdict),
        "verdicts": _verdicts(report.rows),
        "metrics": metrics_table(report.metrics) if report.metrics is not None else None,
        "lists": _lists(report.rows),
        "sections": report.gallery.sections() if report.gallery else [],
        "errors": errors[:ERRORS_LISTED],
        "error_count": len(errors),
        "curve": charts.curve(report.curve),
    }
    wanted = {
        "certified": ("What is certified", True),
        "evidence": ("Evidence of detection", report.evidence),
        "scores": ("Scores and thresholds", context["plot"]),
        "verdicts": ("Verdicts", True),
        "metrics": ("Metrics", context["metrics"]),
        "images": ("Images to look at", context["lists"] or context["sections"]),
        "recordings": ("Recordings", report.recordings),
        "errors": ("Could not be measured", errors),
        "training": ("Training", context["curve"]),
        "identity": ("Model and data", True),
    }
    context["contents"] = [(anchor, name) for anchor, (name, there) in wanted.items() if there]
    return context


def _tiles(report: Report) -> list[tuple[str, str]]:
    """The figures at the top: value and what it is."""
    calibration, counts = report.calibration, Counter(row.verdict for row in report.rows)
    unit = _unit(calibration)
    bound = percent_up(calibration.reject.bound)
    word = "on simulations, at" if calibration.simulated else "certified at"
    certain = f"{word} {percent_down(calibration.confidence)} confidence"
    certain = "on average over trainings, at no confidence" if calibration.approximate else certain
    counted = f"of {subject(calibration)} rejected, {certain}"
    tiles = [(f"≤ {bound}", counted)]
    if report.purpose == "predict":
        return tiles + [(str(counts[verdict]), f"{verdict}, of {len(report.rows)} images") for verdict in Verdict]
    good = [row for row in report.rows if row.label == "good" and row.score is not None]
    bad = [row for row in report.rows if row.label not in (None, "good") and row.score is not None]
    tiles.append((f"{_rejected(good)} of {len(good)}", "good images rejected (NG)"))
    if report.purpose == "evaluate":
        tiles.append((f"{len(bad) - _rejected(bad)} of {len(bad)}", "defective images not rejected (escapes)"))
        if report.metrics is not None and report.metrics["image_auroc"] is not None:
            tiles.append((f"{report.metrics['image_auroc']:.4f}", "image AUROC"))
    else:
        tiles.append((str(calibration.n), f"held-out good {unit} calibrated on"))
    tiles.append((str(counts[Verdict.ERROR]), "images could not be measured (ERROR)"))
    return tiles


def _flags(calibration: Calibration) -> list[str]:
    """What limits the statement, in a few words each."""
    flags = []
    if calibration.approximate:
        flags.append("No bound at a confidence: cross-fitted")
    if calibration.simulated:
        flags.append("Simulated bound: not about photographs of parts")
    if calibration.reject.missing:
        flags.append(
            f"Fewer {_unit(calibration)} than {percent_up(calibration.reject.asked)} takes: {remedy(calibration)}"
        )
    if not calibration.has_review_band:
        flags.append("No review band")
    if calibration.unit == "image":
        flags.append("Parts not known: assumes independent images")
    if len(calibration.sessions) == 1:
        flags.append("All of one session: others may reject many times more")
    if calibration.exclusions:
        flags.append(f"Excluded by hand: {len(calibration.exclusions)}")
    if calibration.history:
        flags.append(f"Calibrated before: {len(calibration.history)} x")
    return flags


def _plot(report: Report) -> dict[str, Any] | None:
    """Histogram, lines, and what the slider counts; None where nothing was measured."""
    measured = [row for row in report.rows if row.score is not None]
    if not measured:
        return None
    reject, review = report.calibration.reject.value, report.calibration.review.value
    stops = slider_stops(report.calibration)
    shown = [*(row.score for row in measured), reject, review, *(stop["threshold"] for stop in stops)]
    axis = charts.Axis.over(np.array(shown, np.float64))
    panels = []
    for name, tone, chosen in (
        ("Good images", "good", [row.score for row in measured if row.label == "good"]),
        ("Defective images", "defect", [row.score for row in measured if row.label not in (None, "good")]),
        ("Images", "plain", [row.score for row in measured if row.label is None]),
    ):
        if chosen:
            panels.append({"name": name, "tone": tone, **charts.histogram(np.array(chosen, np.float64), axis)})
    return {
        "panels": panels,
        "ticks": axis.ticks(),
        "reject": axis.percent(reject),
        "review": axis.percent(review),
        "reject_value": reject,
        "review_value": review,
        "data": {"low": axis.low, "high": axis.high, "log": axis.log, "certified": reject}
        | {"counts": [thinned(line, [reject, *(one["threshold"] for one in stops)]) for line in _counts(measured)]}
        | {"stops": stops},
    }


def _counts(measured: Iterable[ScoredRow]) -> list[dict[str, Any]]:
    """The rows of the slider's table: name, whether escapes are counted, ascending scores, count by the verdicts."""
    measured = list(measured)
    good = [row for row in measured if row.label == "good"]
    bad = [row for row in measured if row.label not in (None, "good")]
    unknown = [row for row in measured if row.label is None]
    lines = [_line("Images rejected", unknown), _line("Parts with a rejected image", _worst_of_groups(unknown))]
    lines += [_line("False rejects: good images", good)]
    defective = {row.group for row in bad}
    lines += [
        _line("False rejects: good parts (groups)", _worst_of_groups([r for r in good if r.group not in defective]))
    ]
    lines += [_line("Escapes: defective images", bad, escapes=True)]
    for kind in sorted({str(row.label) for row in bad}):
        lines.append(_line(f"Escapes: {kind}", [row for row in bad if row.label == kind], escapes=True))
    return [line for line in lines if line["scores"]]


def _line(name: str, rows: Sequence[ScoredRow], *, escapes: bool = False) -> dict[str, Any]:
    certified = len(rows) - _rejected(rows) if escapes else _rejected(rows)
    scores = sorted(row.score for row in rows if row.score is not None)
    return {"name": name, "escapes": escapes, "scores": scores, "certified": certified, "total": len(scores)}


def _worst_of_groups(rows: Sequence[ScoredRow]) -> list[ScoredRow]:
    """The row with the highest score of each group; nothing where every image is its own group."""
    worst = {row.group: row for row in sorted(rows, key=_score)}
    return list(worst.values()) if len(worst) < len(rows) else []


def _lists(rows: Iterable[ScoredRow]) -> list[tuple[str, list[ScoredRow], int]]:
    """Tables of images: title, the first rows, and how many there are."""
    measured = sorted((row for row in rows if row.score is not None), key=_score)
    good = [row for row in reversed(measured) if row.label == "good"]
    missed = [row for row in measured if row.label not in (None, "good") and row.verdict != Verdict.NG]
    unknown = [row for row in reversed(measured) if row.label is None and row.verdict != Verdict.OK]
    titled = (
        ("Good images with the highest scores", good, LISTED),
        ("Missed defects, lowest scores first (scored at or below the reject threshold)", missed, MISSED_LISTED),
        ("Not OK, highest scores first", unknown, MISSED_LISTED),
    )
    return [(title, found[:most], len(found)) for title, found, most in titled if found]


def _verdicts(rows: Sequence[ScoredRow]) -> list[tuple[str, list[int]]]:
    """Per label, the number of images of each verdict; their sum below. Every image counts once."""
    counted = Counter((row.label, row.verdict) for row in rows)
    labels = sorted({row.label for row in rows}, key=lambda label: (label != "good", label is None, label or ""))
    lines = [(label or "not known", [counted[label, verdict] for verdict in Verdict]) for label in labels]
    total = Counter(row.verdict for row in rows)
    return [*lines, ("all", [total[verdict] for verdict in Verdict])]


def _unit(calibration: Calibration) -> str:
    return "parts" if calibration.unit == "group" else "images"


def _rejected(rows: Iterable[ScoredRow]) -> int:
    return sum(row.verdict == Verdict.NG for row in rows)


def _score(row: ScoredRow) -> float:
    assert row.score is not None  # callers have left ERROR out
    return row.score
