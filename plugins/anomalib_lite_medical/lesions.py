"""How well maps of volumes find lesions: voxel by voxel, lesion by lesion, with intervals over patients.

Maps are those that `predict --write nifti_map` writes; voxels that are NaN there were not measured, and count as below
everything. A lesion is a connected piece of the truth (voxels that touch by a corner touch). A find is a local maximum
of the map: the highest voxel for `APART` millimetres along each axis. It hits a lesion that it lies in, or at most
`REACH` beside. Where nothing is marked of a volume with lesions, or anything of one without, the distance of surfaces
is the diagonal of the volume.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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
ROUNDED = 1e-3  # voxels: sizes are stored with seven digits, and 8 mm are ten voxels of 0.8 mm
RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false finds per volume
DRAWS, ENOUGH = 1000, 5  # of the bootstrap; patients, below which there is no interval
LEVELS = 2048  # of a map, by which intervals are found
TOUCHING = np.ones((3, 3, 3), bool)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Case:
    """A volume of a patient: its map, and the truth on the same grid (X, Y, Z)."""

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
    sides = [2 * int(APART / step + ROUNDED) + 1 for step in case.spacing]
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


def measured(cases: Sequence[Case], threshold: float | None = None) -> dict[str, Any]:
    """All measures of a set of volumes.

    Args:
        cases: All volumes.
        threshold: Of the map, for Dice and the distance of surfaces; None for the best one, which is told.

    Returns:
        Numbers by name, None for what there is none of; `intervals` over patients by the same names, each None where
        there are too few.
    """
    values = np.concatenate([case.values.ravel() for case in cases])
    truth = np.concatenate([case.truth.ravel() for case in cases])
    best, at = best_dice(values, truth)
    limit = at if threshold is None else threshold
    levels = _levels(values, truth)
    patients: dict[str, list[_Volume]] = defaultdict(list)
    for case in cases:
        patients[case.patient].append(_Volume.of(case, limit, levels))
    each = [one for some in patients.values() for one in some]
    numbers = _numbers(each) | {"average_precision": average_precision(values, truth), "best_dice": best}
    found = {name: _known(number) for name, number in numbers.items()}
    return {
        "volumes": len(cases),
        "patients": len(patients),
        "lesions": int(sum(len(one.finds.lesions) for one in each)),
        "average_precision": found["average_precision"],
        "best_dice": found["best_dice"],
        "best_threshold": _known(at),
        "threshold": _known(limit),
        "dice": found["dice"],
        "hausdorff_95_mm": found["hausdorff_95_mm"],
        "hausdorff_volumes": sum(one.far is not None for one in each),
        "hausdorff_missed": sum(one.is_missed for one in each),
        "froc": {str(rate): found[f"froc_{rate:g}"] for rate in RATES},
        "intervals": _intervals(list(patients.values())),
    }


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


@dataclass(frozen=True, eq=False)
class _Volume:
    """What is kept of a volume: `far` is the distance of surfaces, its diagonal where one of them alone is empty."""

    dice: float
    far: float | None  # millimetres; None where there is nothing on either side
    is_missed: bool  # nothing is marked where lesions are, or the other way round
    finds: Finds
    counts: NDArray[np.int64]  # (2, n) voxels of lesions, and all, from the highest level down

    @classmethod
    def of(cls, case: Case, limit: float, levels: NDArray[Any]) -> _Volume:
        marked = np.nan_to_num(case.values, nan=-np.inf) > limit
        is_missed = bool(marked.any() != case.truth.any())
        far = hausdorff_95(marked, case.truth, case.spacing)
        if is_missed:
            far = float(np.linalg.norm(np.array(case.truth.shape) * case.spacing))
        values = np.where(np.isfinite(case.values), case.values, -np.inf).ravel()
        places = len(levels) - np.searchsorted(levels, values, side="right")
        counts = [np.bincount(one, minlength=len(levels) + 1) for one in (places[case.truth.ravel()], places)]
        return cls(dice(marked, case.truth), _known(far), is_missed, finds(case), np.stack(counts))


def _numbers(some: Sequence[_Volume]) -> dict[str, float]:
    """The measures of volumes, those of voxels by the levels alone."""
    hits, above = np.cumsum(sum(one.counts for one in some), axis=1)
    far = [one.far for one in some if one.far is not None]
    whole = hits[-1] or np.nan
    return {
        "average_precision": float(np.sum(np.diff(hits, prepend=0) / whole * hits / np.maximum(above, 1))),
        "best_dice": float((2 * hits / (above + hits[-1]).clip(1))[:-1].max()),
        "dice": float(np.mean([one.dice for one in some])),
        "hausdorff_95_mm": float(np.mean(far)) if far else np.nan,
    } | dict(zip((f"froc_{rate:g}" for rate in RATES), froc([one.finds for one in some]), strict=True))


def _levels(values: NDArray[Any], truth: Mask) -> NDArray[Any]:
    """Values of the map, rising from the lowest: all of them where they are few, else some of lesions and of all."""
    finite = np.isfinite(values)
    kinds = [one for one in (values[finite], values[finite & truth]) if one.size] or [np.zeros(1, np.float32)]
    return np.unique([np.quantile(one, np.linspace(0, 1, LEVELS), method="lower") for one in kinds])


def _intervals(patients: Sequence[Sequence[_Volume]]) -> dict[str, tuple[float, float] | None]:
    """The 95 % intervals of all measures over patients, by a percentile bootstrap; None with fewer than `ENOUGH`."""
    random, number = np.random.default_rng(0), len(patients)
    drawn = [
        _numbers([one for place in random.integers(0, number, number) for one in patients[place]])
        for _ in range(DRAWS if number >= ENOUGH else 1)
    ]
    found: dict[str, tuple[float, float] | None] = {}
    for name in drawn[0]:
        values = np.array([one[name] for one in drawn])
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (0, 0)
        found[name] = (float(low), float(high)) if number >= ENOUGH and len(values) else None
    return found
