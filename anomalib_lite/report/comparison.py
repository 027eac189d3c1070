"""The report of a comparison: one table, and escapes over false rejects of each detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite.edge import disk
from anomalib_lite.metrics.ranking import Rank
from anomalib_lite.report.templating import template

COLUMNS = ("detector", "image AUROC", "95 % interval", "behind the best", "pixel AP", "AUPRO", "escaped images",
           "false rejects", "training", "per image")  # fmt: skip
SIDE = 400.0  # of the drawing


@dataclass(frozen=True)
class Line:
    """What is said of one detector."""

    rank: Rank
    metrics: Mapping[str, Any]
    seconds: float  # of the training

    def cells(self) -> tuple[str, ...]:
        """In words, for each of `COLUMNS`."""
        metrics, interval, behind = self.metrics, self.metrics["image_auroc_interval"], self.rank.interval
        return (
            self.rank.name,
            f"{self.rank.auroc:.3f}",
            "-" if interval is None else f"{interval['low']:.3f} to {interval['high']:.3f}",
            "-" if behind is None else f"{self.rank.behind:.3f} ({behind.low:.3f} to {behind.high:.3f})",
            _number(metrics["pixel_ap"]),
            _number(metrics["aupro"]),
            _share(self.escaped),
            _share(self.rejected),
            f"{self.seconds:,.0f} s",
            "-" if metrics["latency_ms_p50"] is None else f"{metrics['latency_ms_p50']:.0f} ms",
        )

    @property
    def escaped(self) -> float | None:
        """Share of the defective images that are not NG at the certified threshold."""
        return _rate(self.metrics["escape_rate"]["images"])

    @property
    def rejected(self) -> float | None:
        """Share of the good parts that are NG there."""
        return _rate(self.metrics["false_reject_rate"])

    def to_json(self) -> dict[str, Any]:
        """As a JSON object: the rank, and the metrics of the evaluation."""
        interval = None if self.rank.interval is None else self.rank.interval.to_json()
        behind = {"behind": self.rank.behind, "interval": interval, "may_be_best": self.rank.may_be_best}
        named = {"detector": self.rank.name, "image_auroc": self.rank.auroc, **behind}
        return named | {"training_seconds": self.seconds, "metrics": dict(self.metrics)}


def write(path: Path, data: str, lines: Sequence[Line], failed: Mapping[str, str], advice: str) -> None:
    """Write the page, whole or not at all: nothing in it comes from outside.

    Raises:
        OSError: The disk does not take it.
    """
    page = template("comparison.html").render(
        data=data,
        columns=COLUMNS,
        lines=[one.cells() for one in lines],
        curves=[_drawn(one, number) for number, one in enumerate(lines)],
        side=SIDE,
        failed=failed,
        advice=advice,
    )
    disk.write(path, page.encode())


def _drawn(line: Line, number: int) -> dict[str, Any]:
    """The curve of a detector as points of a drawing, and where its certified threshold lies on it."""
    points = " ".join(f"{SIDE * x:.1f},{SIDE * (1 - y):.1f}" for x, y in line.rank.curve)
    known = line.escaped is not None and line.rejected is not None
    at = (SIDE * (line.rejected or 0.0), SIDE * (1 - (line.escaped or 0.0))) if known else None
    return {"name": line.rank.name, "points": points, "at": at, "tone": number % 6}


def _rate(measured: Any) -> float | None:
    rate = None if measured is None else measured["value"]
    return None if rate is None else float(rate)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
