"""How well maps of volumes find lesions: voxel by voxel, lesion by lesion, with intervals over patients.

Maps are those that `predict --write nifti_map` writes; voxels that are NaN there were not measured, and count as below
everything. A lesion is a connected piece of the truth (voxels that touch by a corner touch). A find is a local maximum
of the map: the highest voxel for `APART` millimetres along each axis. It hits a lesion that it lies in, or at most
`REACH` beside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import MissingExtra

try:
    from scipy import ndimage
except ImportError as missing:
    raise MissingExtra("scipy", "medical", "Counting lesions") from missing

APART, REACH = 8.0, 4.0  # millimetres
RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false finds per volume
DRAWS, ENOUGH = 1000, 5  # of the bootstrap; patients, below which there is no interval
TOUCHING = np.ones((3, 3, 3), bool)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Case:
    """A patient's volume: its map, and the truth on the same grid (X, Y, Z)."""

    patient: str
    values: NDArray[np.float32]
    truth: Mask
    spacing: tuple[float, float, float]  # millimetres along the three axes


@dataclass(frozen=True, eq=False)
class Finds:
    """The finds of one volume, and its lesions: the score of each, -inf of a lesion that none hits."""

    false: NDArray[np.float64]
    lesions: NDArray[np.float64]


def average_precision(values: NDArray[Any], truth: Mask) -> float:
    """Area below precision over recall, as a sum of steps: sum of (R_i - R_(i-1)) P_i; NaN without a lesion voxel."""
    _, hits, above = _cumulated(values, truth)
    return float(np.sum(np.diff(hits, prepend=0) / hits[-1] * hits / above)) if hits[-1] else float("nan")


def best_dice(values: NDArray[Any], truth: Mask) -> tuple[float, float]:
    """The largest Dice over all thresholds, and that threshold: chosen with the truth at hand, so an upper limit."""
    levels, hits, above = _cumulated(values, truth)
    found = np.where(np.isfinite(levels), 2 * hits / (above + hits[-1]), 0)
    place = int(np.argmax(found))
    return float(found[place]), float(np.nextafter(levels[place], -np.inf, dtype=levels.dtype))


def _cumulated(values: NDArray[Any], truth: Mask) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """The values there are, from the highest down; of the voxels at least as high, those in lesions, and all.

    What was not measured is lowest of all, at -inf.
    """
    ranked = np.where(np.isfinite(values), values, -np.inf).ravel()
    order = np.argsort(-ranked, kind="stable")
    ranked, hits = ranked[order], np.cumsum(truth.ravel()[order], dtype=np.int64)
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    return ranked[last], hits[last], last.astype(np.int64) + 1


def dice(marked: Mask, truth: Mask) -> float:
    """2 |A and B| / (|A| + |B|); 1 where both are empty."""
    both = int(marked.sum()) + int(truth.sum())
    return 2 * int((marked & truth).sum()) / both if both else 1.0


def hausdorff_95(marked: Mask, truth: Mask, spacing: Sequence[float]) -> float:
    """95th percentile of the distances from either surface to the other, in millimetres; NaN where one is empty."""
    if not marked.any() or not truth.any():
        return float("nan")
    surfaces = [one & ~ndimage.binary_erosion(one) for one in (marked, truth)]
    far = [ndimage.distance_transform_edt(~one, sampling=spacing) for one in surfaces]
    return float(np.percentile(np.concatenate([far[1][surfaces[0]], far[0][surfaces[1]]]), 95))


def finds(case: Case) -> Finds:
    """The local maxima of a volume, by what they hit."""
    values = np.where(np.isfinite(case.values), case.values, -np.inf)
    sides = [2 * int(APART // step) + 1 for step in case.spacing]
    highest = ndimage.maximum_filter(values, sides, mode="constant", cval=-np.inf)
    peaks = _one_of_each(np.isfinite(values) & (values == highest))
    pieces, number = ndimage.label(case.truth, TOUCHING)
    scores = np.full(number, -np.inf)
    if not number:
        return Finds(np.sort(values[peaks])[::-1].astype(np.float64), scores)
    far, nearest = ndimage.distance_transform_edt(~case.truth, sampling=case.spacing, return_indices=True)
    hit = peaks & (far <= REACH)
    of = pieces[tuple(axis[hit] for axis in nearest)] - 1
    np.maximum.at(scores, of, values[hit].astype(np.float64))
    return Finds(np.sort(values[peaks & ~hit])[::-1].astype(np.float64), scores)


def _one_of_each(peaks: Mask) -> Mask:
    """The first voxel of each plateau."""
    plateaus, _ = ndimage.label(peaks, TOUCHING)
    _, first = np.unique(plateaus, return_index=True)
    alone = np.zeros(peaks.size, bool)
    alone[first] = True
    return alone.reshape(peaks.shape) & peaks


def froc(found: Sequence[Finds]) -> list[float]:
    """The share of lesions that is hit at each of `RATES` false finds per volume; NaN without any lesion."""
    lesions, false = np.concatenate([one.lesions for one in found]), np.concatenate([one.false for one in found])
    if not len(lesions):
        return [float("nan")] * len(RATES)
    false = np.sort(false)[::-1]
    shares = []
    for rate in RATES:
        allowed = int(rate * len(found))
        limit = false[allowed] if allowed < len(false) else -np.inf
        shares.append(float((lesions > limit).mean()))
    return shares


def interval(cases: Sequence[Any], measure: Callable[[list[Any]], float], seed: int = 0) -> tuple[float, float] | None:
    """The 95 % interval of a measure over patients, by a percentile bootstrap; None with fewer than `ENOUGH`."""
    if len(cases) < ENOUGH:
        return None
    random = np.random.default_rng(seed)
    drawn = [measure([cases[one] for one in random.integers(0, len(cases), len(cases))]) for _ in range(DRAWS)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def measured(cases: Sequence[Case], threshold: float | None = None) -> dict[str, Any]:
    """All measures of a set of volumes.

    Args:
        cases: One for each patient.
        threshold: Of the map, for Dice and the distance of surfaces; None for the best one, which is told.

    Returns:
        Numbers by name; `intervals` over patients by the same names, None where there are too few.
    """
    values = np.concatenate([case.values.ravel() for case in cases])
    truth = np.concatenate([case.truth.ravel() for case in cases])
    best, at = best_dice(values, truth)
    limit = at if threshold is None else threshold
    each = [_each(case, limit) for case in cases]
    found = [one["finds"] for one in each]
    said: dict[str, Any] = {
        "volumes": len(cases),
        "lesions": int(sum(len(one.lesions) for one in found)),
        "average_precision": average_precision(values, truth),
        "best_dice": best,
        "best_threshold": at,
        "threshold": limit,
        "dice": float(np.mean([one["dice"] for one in each])),
        "hausdorff_95_mm": float(np.nanmean([one["hausdorff_95_mm"] for one in each] or [np.nan])),
        "froc": dict(zip(map(str, RATES), froc(found), strict=True)),
    }
    said["intervals"] = {
        "dice": interval(each, lambda some: float(np.mean([one["dice"] for one in some]))),
        "froc_1": interval(found, lambda some: froc(some)[RATES.index(1.0)]),
    }
    return said


def _each(case: Case, limit: float) -> dict[str, Any]:
    marked = np.nan_to_num(case.values, nan=-np.inf) > limit
    return {
        "dice": dice(marked, case.truth),
        "hausdorff_95_mm": hausdorff_95(marked, case.truth, case.spacing),
        "finds": finds(case),
    }
