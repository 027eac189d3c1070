"""All that is measured on labelled images: add one at a time, then read metrics.json."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.metrics.scores import Mask, PixelMetrics, Rate, auroc, average_precision

GOOD = "good"


class _Images:
    """The images of one label: scores, pixels, verdicts."""

    def __init__(self) -> None:
        self.scores = array("d")
        self.pixels = PixelMetrics()
        self.without_mask = 0
        self.verdicts: dict[str, list[Verdict]] = defaultdict(list)  # by part, of what could be measured
        self.errors = 0


class Evaluation:
    """Accumulates an evaluation in constant memory for pixels, and a few numbers per image.

    Images whose verdict is ERROR are counted as such and enter nothing else. A good image counts for the false-reject
    rate of its part even where other images of that part are defective.
    """

    def __init__(self, *, grouped: bool) -> None:
        """Start with nothing; `grouped` says whether physical parts are known, otherwise each image is one."""
        self._unit = "group" if grouped else "image"
        self._images: dict[str, _Images] = {GOOD: _Images()}
        self._count = 0
        self._ms = array("d")

    def add(
        self,
        label: str,
        group: str,
        verdict: Verdict,
        score: float,
        anomaly_map: npt.NDArray[np.floating[Any]] | None = None,
        mask: Mask | None = None,
        valid: Mask | None = None,
        *,
        ms: float | None = None,
    ) -> None:
        """Count one image.

        Args:
            label: "good", or the kind of the defect.
            group: the physical part; ignored where parts are not known.
            verdict: at the certified thresholds.
            score: raw; not read where the verdict is ERROR.
            anomaly_map: (H, W) at the resolution of the source; None leaves the pixels out.
            mask: (H, W), True on the defect. None for a defective image: counted, its pixels are left out. Not read
                for a good image: none of its pixels is defective.
            valid: (H, W), True on the pixels that are inspected; None for all.
            ms: time that the inspection took, in milliseconds.

        Raises:
            DataError: mask, valid area and map differ in shape.
        """
        self._count += 1
        if ms is not None:
            self._ms.append(ms)
        images = self._images.setdefault(label, _Images())
        if verdict is Verdict.ERROR:
            images.errors += 1
            return
        images.scores.append(score)
        images.verdicts[group if self._unit == "group" else str(self._count)].append(verdict)
        if label == GOOD:
            mask = None
        elif mask is None:
            images.without_mask += 1
            return
        if anomaly_map is not None:
            images.pixels.add(anomaly_map, mask, valid)

    def metrics(self) -> dict[str, Any]:
        """The object of metrics.json: strict JSON, None where there is nothing to compute a number from."""
        kinds = sorted(self._images.keys() - {GOOD})
        good = self._images[GOOD]
        errors = sum(images.errors for images in self._images.values())
        return {
            "images": self._count,
            "good": len(good.scores),
            **self._against_good(self._images[kind] for kind in kinds),
            "per_kind": {kind: self._against_good([self._images[kind]]) for kind in kinds},
            "false_reject_rate": self._rate([good], _REJECTED),
            "errors": {"count": errors, "rate": errors / self._count if self._count else None},
            "latency_ms_p50": _percentile(self._ms, 50),
            "latency_ms_p95": _percentile(self._ms, 95),
        }

    def verdicts(self) -> dict[str, dict[str, int]]:
        """How many images got which verdict: "all", then each label."""
        table = {label: dict.fromkeys(map(str, Verdict), 0) for label in ("all", *sorted(self._images))}
        for label, images in self._images.items():
            seen = Counter(str(verdict) for verdicts in images.verdicts.values() for verdict in verdicts)
            seen[str(Verdict.ERROR)] += images.errors
            for verdict, count in seen.items():
                table[label][verdict] += count
                table["all"][verdict] += count
        return table

    def _against_good(self, kinds: Iterable[_Images]) -> dict[str, Any]:
        """The metrics of some kinds of defects against all good images."""
        kinds, good = list(kinds), self._images[GOOD]
        scores = np.concatenate([[], *(np.asarray(kind.scores) for kind in kinds)])
        pixels = PixelMetrics.merged([good.pixels, *(kind.pixels for kind in kinds)])
        return {
            "n": len(scores),
            "without_mask": sum(kind.without_mask for kind in kinds),
            "image_auroc": auroc(good.scores, scores),
            "image_ap": average_precision(good.scores, scores),
            "pixel_auroc": pixels.auroc(),
            "pixel_ap": pixels.average_precision(),
            "aupro": pixels.aupro(),
            "escape_rate": self._rate(kinds, _ESCAPED),
            "escape_rate_after_review": self._rate(kinds, _ESCAPED_AFTER_REVIEW),
        }

    def _rate(self, labels: Iterable[_Images], counted: frozenset[Verdict]) -> dict[str, Any]:
        """How many parts have an image with one of these verdicts, with the interval; beside it, how many images."""
        parts: dict[str, list[Verdict]] = defaultdict(list)
        for images in labels:
            for group, verdicts in images.verdicts.items():
                parts[group] += verdicts
        by_part = Rate(sum(any(verdict in counted for verdict in verdicts) for verdicts in parts.values()), len(parts))
        verdicts = [verdict for part in parts.values() for verdict in part]
        by_image = Rate(sum(verdict in counted for verdict in verdicts), len(verdicts))
        return by_part.to_json() | {"unit": self._unit, "images": by_image.counts()}


# A part counts if any of its images does, which errs on the safe side: a good part is rejected when one of its images
# is, and a defective part has escaped when one of the images that show a defect was let through.
_REJECTED = frozenset({Verdict.NG})
_ESCAPED = frozenset({Verdict.OK, Verdict.REVIEW})
_ESCAPED_AFTER_REVIEW = frozenset({Verdict.OK})


def _percentile(values: array[float], q: float) -> float | None:
    return float(np.percentile(np.asarray(values), q)) if values else None
