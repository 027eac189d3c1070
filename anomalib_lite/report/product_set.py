"""The report on images of several products: verdicts by product, and pictures of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.edge.modelset import ModelSet
from anomalib_lite.edge.results import Result
from anomalib_lite.report.gallery import Gallery
from anomalib_lite.report.leaving import WrittenOnLeaving, named
from anomalib_lite.report.templating import template
from anomalib_lite.report.writing import gallery

PICTURES = 24  # under one heading, of all products together
LISTED = 100  # images that could not be measured
ORDER = (Verdict.OK, Verdict.REVIEW, Verdict.NG, Verdict.ERROR)


class InspectedProducts(WrittenOnLeaving):
    """The report on a prediction, written to `out` on leaving; without `out`, nothing is kept."""

    def __init__(self, models: ModelSet, out: Path | None) -> None:
        super().__init__(out)
        self._models = models
        self._counts: dict[str, Counter[Verdict]] = {}
        self._failed: list[tuple[str, str]] = []
        self._errors = 0
        self._galleries: dict[str, Gallery] = {}

    def add(self, result: Result, pixels: Pixels | None) -> None:
        """One more result, and the image (H, W, C) that it is of."""
        if self._out is None:
            return
        name = result.member if result.member in self._models.products else ""
        self._counts.setdefault(name, Counter())[result.verdict] += 1
        if result.verdict is Verdict.ERROR:
            self._errors += 1
            self._failed += [(result.image, result.error or "")] if len(self._failed) < LISTED else []
        if name:
            if name not in self._galleries:
                most = max(1, PICTURES // len(self._models.products))
                self._galleries[name] = gallery(self._models.product(name), most)
            self._galleries[name].consider(result, None, pixels)

    def _drawn(self) -> str:
        known = [name for name in self._models.products if name in self._counts]
        return template("product_set.html").render(
            title=f"{sum(map(Counter.total, self._counts.values())):,} images of {len(known):,} products",
            verdicts=[one.value for one in ORDER],
            products=[self._row(name) for name in known],
            unknown=self._counts.get("", Counter()).total(),
            failed=self._failed,
            errors=self._errors,
            sections=named({name: self._galleries[name] for name in known}),
            identity={"set": self._models.model_id, "created": self._models.bundle.manifest.created},
        )

    def _row(self, name: str) -> dict[str, Any]:
        model = self._models.product(name)
        calibration = model.bundle.manifest.calibration
        return {
            "name": name,
            "model": model.model_id,
            "counts": [f"{self._counts[name][one]:,}" for one in ORDER],
            "statement": next(iter(calibration.statement), ""),
        }
