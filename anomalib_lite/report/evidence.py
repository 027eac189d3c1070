"""Evidence of detection as the report draws it: a table, a curve for each kind, and pictures of planted defects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from anomalib_lite.data import Sample
from anomalib_lite.edge.images.kept import Kept
from anomalib_lite.edge.manifest import Manifest, Planted
from anomalib_lite.edge.model import Model
from anomalib_lite.evidence.detection import Curve
from anomalib_lite.evidence.judging import KindFound, found, kinds_found, known_found, reference, thresholds
from anomalib_lite.evidence.known import named, passing
from anomalib_lite.report.gallery import Gallery, Thumbnail

WIDTH, HEIGHT = 200.0, 100.0  # of the drawing of a curve


@dataclass(frozen=True, eq=False)
class Shown:
    """An image with a planted defect."""

    said: str
    image: Kept
    of: Sample  # the good image


def pictures(model: Model, gallery: Gallery, shown: Sequence[Callable[[], Shown]]) -> list[Thumbnail]:
    """Planted defects with their heat maps."""
    drawn = []
    for make in shown:
        one = make()
        seen = model.look(one.image, reference=one.of.reference, name=one.of.name)
        if picture := gallery.picture(seen.result, one.said, seen.pixels):
            drawn.append(picture)
    return drawn


def section(manifest: Manifest, thumbnails: Sequence[Thumbnail]) -> dict[str, Any] | None:
    """What the template needs; None where there is no evidence."""
    record, calibration = manifest.evidence, manifest.calibration
    if record is None:
        return None
    passed = passing(manifest)
    planted = {one.kind: one for one in record.planted}
    rows = thresholds(calibration)
    kinds = [one for one in kinds_found(record, calibration) if one.planted]
    return {
        "said": record.said,
        "blind": record.blind,
        "learnt": record.learnt,
        "known": known_found(record, calibration),
        "gated": len(manifest.known),
        "passing": named(passed) if passed else "",
        "choices": manifest.choices,
        "rows": [name for name, _ in rows],
        "kinds": [_line(one) for one in kinds],
        "curves": [_drawn(one.kind, one.curve, planted[one.kind], rows[0][1]) for one in kinds if one.curve],
        "pictures": thumbnails,
    }


def _line(one: KindFound) -> dict[str, Any]:
    reached = [None, None] if one.curve is None else [one.curve.a90, one.curve.a90_95]
    largest = 0.0 if one.curve is None else one.curve.largest
    return {
        "kind": one.kind,
        "planted": one.planted,
        "found": one.at_rows,
        "sizes": [f"> {largest:.0f} px" if size is None else f"{size:.3g} px" for size in reached],
    }


def _drawn(kind: str, curve: Curve, planted: Planted, threshold: float) -> dict[str, Any]:
    """A curve over the logarithm of the size, hits above it and misses below; places in a drawing."""
    low, high = math.log(curve.smallest), max(math.log(curve.largest), math.log(curve.smallest) + 1e-6)

    def across(size: float) -> float:
        return WIDTH * min(1.0, max(0.0, (math.log(size) - low) / (high - low)))

    hits = zip(planted.sizes, found(planted.scores, threshold), strict=True)
    return {
        "kind": kind,
        "contrast": f"{100 * reference(kind):.0f} %",
        "points": " ".join(f"{across(size):.1f},{HEIGHT * (1 - p):.1f}" for size, p in curve.points),
        "hits": [(across(size), -4.0 if hit else HEIGHT + 4.0) for size, hit in hits],
        "at": None if curve.a90_95 is None else across(curve.a90_95),
        "smallest": f"{curve.smallest:.3g}",
        "largest": f"{curve.largest:.3g}",
        "said": f"> {curve.largest:.0f} px" if curve.a90_95 is None else f"{curve.a90_95:.3g} px",
    }
