"""The report on parts that a joint model judged: a row for each, and photographs as its members see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.results import Result
from anomalib_lite.report.leaving import WrittenOnLeaving, named
from anomalib_lite.report.metrics_table import NONE
from anomalib_lite.report.templating import template
from anomalib_lite.report.writing import gallery

LISTED = 500  # parts
PICTURES = 24  # under one heading, of all members together
ORDER = (Verdict.NG, Verdict.ERROR, Verdict.REVIEW, Verdict.OK)


class InspectedParts(WrittenOnLeaving):
    """The report on a prediction or an evaluation, written to `out` on leaving; without `out`, nothing is kept."""

    def __init__(self, joint: Joint, out: Path | None) -> None:
        super().__init__(out)
        self._joint = joint
        self._parts: list[tuple[PartResult, str]] = []
        most = max(1, PICTURES // len(joint.members))
        self._galleries = {name: gallery(model, most) for name, model in joint.members.items()}

    def add(self, result: Result, pixels: Pixels | None, label: str | None = None) -> None:
        """A photograph, and the image (H, W, C) that it is; its label where that is known."""
        if self._out is not None and result.member:
            self._galleries[result.member].consider(result, label, pixels)

    def add_part(self, result: PartResult, label: str = "") -> None:
        """A part, and its label where that is known."""
        self._parts.append((replace(result, photographs=()), label))

    def _drawn(self) -> str:
        ordered = sorted(self._parts, key=lambda one: (ORDER.index(one[0].verdict), -(one[0].score or 0.0)))
        names = list(self._joint.members)
        return template("joint.html").render(
            title=f"{', '.join(names)}: one verdict on a part",
            statement=self._joint.bundle.manifest.calibration.statement,
            parts=[_row(part, label, names) for part, label in ordered[:LISTED]],
            of=len(ordered),
            members=names,
            sections=named(self._galleries),
            identity=_identity(self._joint),
        )


def _row(part: PartResult, label: str, names: list[str]) -> dict[str, Any]:
    return {
        "name": part.part,
        "label": label or NONE,
        "verdict": part.verdict.value,
        "score": _number(part.score),
        "members": [_number(part.members.get(name)) for name in names],
        "remark": part.error or part.note,
    }


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"


def _identity(joint: Joint) -> Mapping[str, str]:
    """What identifies a joint model, in words."""
    manifest = joint.bundle.manifest
    told = {"model": joint.model_id, "created": manifest.created, "combined by": manifest.combined}
    for one in manifest.members:
        model = joint.members[one.name]
        weight = "" if one.weight == 1 else f", weight {one.weight:g}"
        told[one.name] = f"{model.bundle.manifest.detector.name}, judges {one.view}{weight} ({model.model_id})"
    return told
