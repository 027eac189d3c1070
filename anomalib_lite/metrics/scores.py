"""AUROC, average precision, AUPRO, and rates with exact intervals; numpy alone, pixels in constant memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from anomalib_lite.calibration.binomial import exact_interval
from anomalib_lite.edge.regions import label
from anomalib_lite.errors import DataError
from anomalib_lite.metrics.distribution import Distribution

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def auroc(good: npt.ArrayLike, defective: npt.ArrayLike) -> float | None:
    """Area under the ROC curve in [0, 1]: how often a defective image scores above a good one, ties counted half.

    None where one of the two is empty.
    """
    return _area(*_cumulated(_weighed(good), _weighed(defective)), limit=1.0)


def average_precision(good: npt.ArrayLike, defective: npt.ArrayLike) -> float | None:
    """Average precision in [0, 1], the sum over thresholds of the step in recall times the precision there.

    Equal scores share one threshold. None where one of the two is empty.
    """
    return _precision(*_cumulated(_weighed(good), _weighed(defective)))


class PixelMetrics:
    """Pixel AUROC, pixel AP and AUPRO over any number of images of any size, in constant memory (below 9 MiB).

    Up to 131,072 different values per class the results are exact. Beyond that they differ from the exact computation
    by less than 1e-4 (typically 1e-5), whatever the unit, offset and tails of the maps: see `Distribution`.
    """

    def __init__(self) -> None:
        self._good = Distribution()  # pixels outside defects
        self._defect = Distribution()  # pixels of defects, each counting 1
        self._region = Distribution()  # pixels of defects, each region counting 1

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """The metrics of all images of all parts, which may go on counting on their own."""
        parts, result = list(parts), cls()
        result._good = Distribution.merged(part._good for part in parts)
        result._defect = Distribution.merged(part._defect for part in parts)
        result._region = Distribution.merged(part._region for part in parts)
        return result

    def add(
        self, anomaly_map: npt.NDArray[np.floating[Any]], mask: Mask | None = None, valid: Mask | None = None
    ) -> None:
        """Count the pixels of one image at its source resolution.

        Args:
            anomaly_map: (H, W), finite, compared as float32.
            mask: (H, W), True on defects; None where there are none.
            valid: (H, W), True on pixels that are inspected; others are left out. A region that lies partly outside
                counts with its part inside.

        Raises:
            DataError: the shapes differ, or the map is not finite.
        """
        for name, other in (("mask", mask), ("valid area", valid)):
            if other is not None and other.shape != anomaly_map.shape:
                raise DataError(f"The {name} has the shape {other.shape}, the anomaly map {anomaly_map.shape}.")
        if not np.isfinite(anomaly_map).all():
            raise DataError("The anomaly map holds values that are not finite: count the image as an ERROR instead.")
        if mask is None or not mask.any():
            self._good.add(anomaly_map if valid is None else anomaly_map[valid])
            return
        defect = mask if valid is None else mask & valid
        self._good.add(anomaly_map[~mask if valid is None else valid & ~mask])
        region = label(mask)[0][defect]
        values = anomaly_map[defect]
        self._defect.add(values)
        self._region.add(values, 1 / np.bincount(region)[region])

    def auroc(self) -> float | None:
        """Pixel AUROC in [0, 1]; None without good or without defective pixels."""
        return _area(*_cumulated(self._good.points(), self._defect.points()), limit=1.0)

    def average_precision(self) -> float | None:
        """Pixel average precision in [0, 1]; None without good or without defective pixels."""
        return _precision(*_cumulated(self._good.points(), self._defect.points()))

    def aupro(self, max_fpr: float = 0.3) -> float | None:
        """Area under the per-region overlap up to a false-positive rate, divided by that rate: in [0, 1].

        Regions are the 8-connected components of the masks, all of equal weight whatever their size. The rate is that
        of all pixels outside defects, those of good images among them. Bergmann et al., "The MVTec Anomaly Detection
        Dataset", IJCV 2021, section 5.2. None without good pixels or without regions.
        """
        area = _area(*_cumulated(self._good.points(), self._region.points()), limit=max_fpr)
        return None if area is None else area / max_fpr


def _weighed(scores: npt.ArrayLike) -> tuple[Floats, Floats]:
    values = np.asarray(scores, np.float64).reshape(-1)
    return values, np.ones(values.size)


def _cumulated(
    good: tuple[npt.NDArray[Any], Floats], defective: tuple[npt.NDArray[Any], Floats]
) -> tuple[Floats, Floats]:
    """Mass of good and of defective at or above each distinct value, from the highest value to the lowest."""
    distinct = np.unique(np.concatenate([good[0], defective[0]]))

    def cumulated(values: npt.NDArray[Any], weights: Floats) -> Floats:
        mass = np.bincount(np.searchsorted(distinct, values), weights, minlength=distinct.size)
        return np.asarray(np.cumsum(mass[::-1]), np.float64)

    return cumulated(*good), cumulated(*defective)


def _area(false_positive: Floats, true_positive: Floats, limit: float) -> float | None:
    """Area under the curve of two cumulated masses, both divided by their totals, from 0 to `limit`."""
    if not false_positive.size or not false_positive[-1] or not true_positive[-1]:
        return None
    x = np.concatenate([[0.0], false_positive / false_positive[-1]])
    y = np.concatenate([[0.0], true_positive / true_positive[-1]])
    inside = int(np.searchsorted(x, limit, side="right"))
    if inside < x.size:  # the curve crosses the limit between two points
        end = y[inside - 1] + (y[inside] - y[inside - 1]) * (limit - x[inside - 1]) / (x[inside] - x[inside - 1])
        x, y = np.append(x[:inside], limit), np.append(y[:inside], end)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)


def _precision(false_positive: Floats, true_positive: Floats) -> float | None:
    if not false_positive.size or not false_positive[-1] or not true_positive[-1]:
        return None
    step = np.diff(true_positive, prepend=0.0)
    return float(np.sum(step * true_positive / (true_positive + false_positive)) / true_positive[-1])


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `n`, and the exact (Clopper-Pearson) interval of the true rate; value None where n = 0."""

    count: int
    n: int
    confidence: float = 0.95

    @property
    def value(self) -> float | None:
        """The share, in [0, 1]."""
        return self.count / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper limit; (0, 1) where n = 0. Valid for independent units: parts, not images of one part."""
        return exact_interval(self.count, self.n, self.confidence)

    def to_json(self) -> dict[str, Any]:
        """count, n, value, low, high, confidence."""
        low, high = self.interval
        return self.counts() | {"low": low, "high": high, "confidence": self.confidence}

    def counts(self) -> dict[str, Any]:
        """count, n, value: where an interval would not be valid."""
        return {"count": self.count, "n": self.n, "value": self.value}
