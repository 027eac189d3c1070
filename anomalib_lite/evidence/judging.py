"""What evidence of detection means at the thresholds of a calibration, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from anomalib_lite.calibration import Calibration
from anomalib_lite.edge.decision import Verdict, above, decide
from anomalib_lite.edge.manifest import EvidenceRecord, Known, Planted
from anomalib_lite.evidence.detection import Curve, curve
from anomalib_lite.evidence.planting import WHOLE, contrasts

SEEING = 0.1  # share of the planted defects below which a model is blind
ENOUGH = 10  # planted defects, to say so
GOOD = "good"


@dataclass(frozen=True, slots=True)
class KindFound:
    """One kind of planted defects."""

    kind: str
    counts: bool  # whether it decides whether the model sees anything
    planted: int
    found: int  # at the reject threshold
    at_rows: tuple[int, ...]  # found at each of `thresholds`
    curve: Curve | None  # at the reject threshold


def thresholds(calibration: Calibration) -> list[tuple[str, float]]:
    """What a score may be compared with: a name and the threshold, the one that is taken first."""
    taken, menu = calibration.reject.allowed, calibration.menu
    others = [(f"row {point.rank}", point.value) for point in menu if point.rank != taken]
    return [("taken", calibration.reject.value), *others]


def reference(kind: str) -> float:
    """The contrast at which sizes of a kind are stated: the middle of those planted."""
    return math.sqrt(math.prod(contrasts(kind)))


def kinds_found(record: EvidenceRecord, calibration: Calibration) -> list[KindFound]:
    """Each kind, as it was planted."""
    return [_kind(one, record, calibration) for one in record.planted]


def _kind(planted: Planted, record: EvidenceRecord, calibration: Calibration) -> KindFound:
    rows = [found(planted.scores, value) for _, value in thresholds(calibration)]
    return KindFound(
        kind=planted.kind,
        counts=planted.kind in record.finds if record.finds else planted.kind not in record.trained_on,
        planted=len(planted.scores),
        found=sum(rows[0]),
        at_rows=tuple(map(sum, rows)),
        curve=curve(planted.sizes, planted.contrasts, rows[0], reference(planted.kind)),
    )


def found(scores: Sequence[float], threshold: float) -> tuple[bool, ...]:
    """Whether each score is above a threshold."""
    return tuple(map(bool, above(np.array(scores, np.float64), threshold)))


def judged(record: EvidenceRecord, calibration: Calibration) -> EvidenceRecord:
    """The same evidence with what is said of it at the thresholds of a calibration, and whether the model is blind."""
    kinds = kinds_found(record, calibration)
    return replace(
        record, said=tuple(_said(record, kinds, calibration)), blind=tuple(_blind(record, kinds, calibration))
    )


def known_found(record: EvidenceRecord, calibration: Calibration) -> str:
    """What of the labelled test images is found, on one line; empty where there are none."""
    if not record.known:
        return ""
    told = [_known(one, calibration.reject.value) for one in sorted(record.known, key=lambda one: one.kind != GOOD)]
    return f"Labelled test images at this threshold: {', '.join(told)}."


def _known(one: Known, threshold: float) -> str:
    above_it, failed = sum(found(one.scores, threshold)), f" ({one.unmeasured} ERROR)" if one.unmeasured else ""
    what = "good rejected" if one.kind == GOOD else f"{one.kind} found"
    return f"{what} {above_it:,} of {len(one.scores):,}{failed}"


def _said(record: EvidenceRecord, kinds: Sequence[KindFound], calibration: Calibration) -> Iterator[str]:
    counted = [one for one in kinds if one.planted]
    if not counted:
        yield "No evidence of detection: no defect could be planted into the held-out images so that it is seen."
    else:
        found_, planted = sum(one.found for one in counted), sum(one.planted for one in counted)
        listed = ", ".join(f"{one.kind} {one.found} of {one.planted}" for one in counted)
        images = "good images, each learnt by all siblings but one," if record.learnt else "held-out good images"
        yield (
            f"Evidence of detection, no detection rate: of {planted:,} defects planted into {images} {found_:,} are "
            f"found at this threshold ({listed}). Real defects may be harder to find."
        )
        yield from _sizes(counted)
    if record.trained_on:
        yield f"Not planted, since this detector learns from such: {', '.join(record.trained_on)}."
    if record.invisible:
        listed = ", ".join(f"{kind} {number:,}" for kind, number in record.invisible)
        yield f"Planted so that nobody would see it, and not counted, for lack of texture or size: {listed}."
    if record.refused:
        yield f"{record.refused:,} images with a planted defect could not be measured (ERROR): not OK, and not counted."


def _sizes(kinds: Sequence[KindFound]) -> Iterator[str]:
    """From which size on each kind is found."""
    told = [f"{one.kind} {_size(one.curve)}" for one in kinds if one.curve is not None]
    drawn = [one.kind for one in kinds if one.kind not in WHOLE]
    levels = [f"{100 * reference(drawn[0]):.0f} %"] if drawn else []
    if whole := [one.kind for one in kinds if one.kind in WHOLE]:
        levels.append(f"{100 * reference(whole[0]):.0f} % of the whole change for {', '.join(whole)}")
    yield (
        f"Size of which 90 % are found, at 95 % confidence (a90/95), at a contrast of {' and '.join(levels)}: "
        f"{', '.join(told)}."
    )


def _size(one: Curve) -> str:
    if one.a90_95 is None:
        return f"not reached up to {one.largest:.0f} px"
    return f"{one.a90_95:.{0 if one.a90_95 >= 10 else 1}f} px"


def _blind(record: EvidenceRecord, kinds: Sequence[KindFound], calibration: Calibration) -> Iterator[str]:
    patch_counts = not record.finds or "dark spot" in record.finds
    if patch_counts and record.patch is not None and decide(record.patch, calibration.limits) is Verdict.OK:
        yield "it passes the dark patch that is planted into a good image as OK"
    counted = [one for one in kinds if one.counts]
    found_, planted = sum(one.found for one in counted), sum(one.planted for one in counted)
    if planted >= ENOUGH and found_ < SEEING * planted:
        yield f"it finds {found_:,} of {planted:,} planted defects, fewer than a tenth"
