"""The summary of `train-many`: what each product's model promises and finds, and which to look at first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite.calibration.statement import percent_up
from anomalib_lite.edge import disk
from anomalib_lite.edge.manifest import Manifest
from anomalib_lite.edge.results import csv_line
from anomalib_lite.evidence.judging import kinds_found
from anomalib_lite.report.templating import template
from anomalib_lite.version import __version__

TABLE, DOCUMENT, PAGE = "products.csv", "products.json", "report.html"
COLUMNS = ("name", "detector", "state", "look_at", "bound", "confidence", "parts", "missing_parts", "planted", "found",
           "warnings", "seconds", "model_id")  # fmt: skip
HEADINGS = ("product", "detector", "look at", "at most rejected", "parts", "planted defects found", "training")
FAILED, BLIND, UNCERTIFIED, WARNED, FINE = range(5)  # what to look at first


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is said of one product."""

    name: str
    detector: str
    error: str  # why there is no model; empty where there is one
    model_id: str
    manifest: Manifest | None
    seconds: float | None  # of the training
    warnings: Sequence[str]

    @property
    def urgency(self) -> tuple[int, float]:
        """What sorts it: the smaller, the earlier it has to be looked at."""
        level = next((number for number, _ in self._reasons()), FINE)
        return level, self.found / max(1, self.planted)

    @property
    def look_at(self) -> str:
        """Why it has to be looked at, the gravest first; empty where nothing speaks against it."""
        return "; ".join(text for _, text in self._reasons())

    @property
    def planted(self) -> int:
        """Defects planted for the evidence."""
        return sum(one.planted for one in self._kinds())

    @property
    def found(self) -> int:
        """Of these, at the certified threshold."""
        return sum(one.found for one in self._kinds())

    def to_json(self) -> dict[str, Any]:
        """The values of `COLUMNS`, and the sentences of the model."""
        calibration = self.manifest and self.manifest.calibration
        evidence = self.manifest and self.manifest.evidence
        values = (
            self.name, self.detector, "failed" if self.error else "trained", self.look_at,
            calibration and calibration.reject.bound, calibration and calibration.confidence,
            calibration and calibration.n, calibration and calibration.reject.missing,
            self.planted if evidence else None, self.found if evidence else None, list(self.warnings), self.seconds,
            self.model_id,
        )  # fmt: skip
        said = {"statement": list(calibration.statement) if calibration else []}
        return dict(zip(COLUMNS, values, strict=True)) | said | {"evidence": list(evidence.said) if evidence else []}

    def cells(self) -> tuple[str, ...]:
        """In words, for each of `HEADINGS`."""
        if self.manifest is None:
            return (self.name, self.detector, self.look_at, "-", "-", "-", "-")
        calibration = self.manifest.calibration
        return (
            self.name,
            self.detector,
            self.look_at or "-",
            percent_up(calibration.reject.bound),
            f"{calibration.n:,}",
            f"{self.found:,} of {self.planted:,}" if self.planted else "-",
            "-" if self.seconds is None else f"{self.seconds:,.0f} s",
        )

    def _kinds(self) -> Sequence[Any]:
        manifest = self.manifest
        return kinds_found(manifest.evidence, manifest.calibration) if manifest and manifest.evidence else ()

    def _reasons(self) -> Iterator[tuple[int, str]]:
        if self.manifest is None:
            yield FAILED, self.error
            return
        calibration, evidence = self.manifest.calibration, self.manifest.evidence
        for reason in evidence.blind if evidence else ():
            yield BLIND, f"blind: {reason}"
        if missing := calibration.reject.missing:
            asked = percent_up(calibration.reject.asked)
            yield UNCERTIFIED, f"{missing:,} more parts are needed for the {asked} asked for"
        for warning in self.warnings:
            yield WARNED, warning


def in_order(lines: Sequence[Line]) -> list[Line]:
    """What is to be looked at first comes first; of those alike, that which finds least."""
    return sorted(lines, key=lambda line: line.urgency)


def write(out: Path, plan: str, lines: Sequence[Line]) -> None:
    """Write the table, the document and the page, each whole or not at all.

    Args:
        out: The folder.
        plan: Name of the plan.
        lines: Of all products, as `in_order` has them.

    Raises:
        OSError: The disk does not take it.
    """
    rows = [line.to_json() for line in lines]
    table = csv_line(COLUMNS) + "".join(csv_line([_joined(row[column]) for column in COLUMNS]) for row in rows)
    document = {"plan": plan, "version": __version__, "products": rows}
    page = template("products.html").render(
        plan=plan, headings=HEADINGS, lines=[(line.name, line.cells()) for line in lines if not line.error],
        failed=[(line.name, line.error) for line in lines if line.error],
        urgent=[(line.name, line.look_at) for line in lines if line.urgency[0] < FINE and not line.error],
        models={line.name: _model(line) for line in lines if not line.error},
    )  # fmt: skip
    disk.write(out / TABLE, table.encode())
    disk.write(out / DOCUMENT, json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")
    disk.write(out / PAGE, page.encode())


def _joined(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, list) else value


def _model(line: Line) -> Mapping[str, Any]:
    """What the page says of a model beyond its row."""
    assert line.manifest is not None
    evidence = line.manifest.evidence
    return {"statement": line.manifest.calibration.statement, "evidence": evidence.said if evidence else ()}
