"""All that is measured on labelled images: add one at a time, then read metrics.json."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.metrics.bootstrap import auroc_interval
from anomalib_lite.metrics.scores import Mask, PixelMetrics, Rate, auroc, average_precision

GOOD = "good"


class _Images:
    """The images of one label: scores, pixels, verdicts."""

    def __init__(self) -> None:
        self.scores = array("d")
        self.parts: list[str] = []  # of the scores
        self.pixels = PixelMetrics()
        self.without_mask = 0
        self.verdicts: dict[str, list[Verdict]] = defaultdict(list)  # by part, of what could be measured
        self.errors = 0

    def judge(self, part: str, score: float, verdict: Verdict) -> None:
        """Count an image that could be measured."""
        self.scores.append(score)
        self.parts.append(part)
        self.verdicts[part].append(verdict)


class Evaluation:
    """Accumulates an evaluation in constant memory for pixels, and a few numbers per image.

    Images whose verdict is ERROR are counted as such and enter nothing else. A good part is one without any defective
    image; the good images of a part that has others are counted apart, since that part is not good.
    """

    def __init__(self, *, grouped: bool) -> None:
        """Start with nothing; `grouped` says whether physical parts are known, otherwise each image is one."""
        self._unit = "group" if grouped else "image"
        self._images: dict[str, _Images] = {GOOD: _Images()}
        self._defective: set[str] = set()  # parts
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
        self._ms.extend([] if ms is None else [ms])
        part = group if self._unit == "group" else str(self._count)
        if label != GOOD:
            self._defective.add(part)
        images = self._images.setdefault(label, _Images())
        if verdict is Verdict.ERROR:
            images.errors += 1
            return
        images.judge(part, score, verdict)
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
            "false_reject_rate": self._rejected(good, of_defective_parts=False),
            "false_reject_rate_of_defective_parts": self._rejected(good, of_defective_parts=True),
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
            "image_auroc_interval": self._interval(kinds, scores),
            "image_ap": average_precision(good.scores, scores),
            "pixel_auroc": pixels.auroc(),
            "pixel_ap": pixels.average_precision(),
            "aupro": pixels.aupro(),
            "escape_rate": self._escaped(kinds, _ESCAPED),
            "escape_rate_after_review": self._escaped(kinds, _ESCAPED_AFTER_REVIEW),
        }

    def _interval(self, kinds: Iterable[_Images], scores: npt.ArrayLike) -> dict[str, Any] | None:
        """That of the AUROC, over parts."""
        good, parts = self._images[GOOD], [part for kind in kinds for part in kind.parts]
        interval = auroc_interval((good.scores, good.parts), (scores, parts))
        return None if interval is None else interval.to_json() | {"unit": self._unit}

    def _rejected(self, good: _Images, *, of_defective_parts: bool) -> dict[str, Any]:
        """How many parts have a good image that is NG, with the interval; beside it, how many good images.

        Of the good parts, or of the others.
        """
        counted = {p: seen for p, seen in good.verdicts.items() if (p in self._defective) == of_defective_parts}
        rejected = sum(Verdict.NG in verdicts for verdicts in counted.values())
        images = _share(counted, frozenset({Verdict.NG})).counts()
        return Rate(rejected, len(counted)).to_json() | {"unit": self._unit, "images": images}

    def _escaped(self, kinds: Iterable[_Images], let_through: frozenset[Verdict]) -> dict[str, Any]:
        """The three escapes: images that show a defect, parts with any such image, parts with all of them.

        Where parts are not known there are images alone, and their interval holds if they are independent. An interval
        over images of the same parts would not be valid.
        """
        parts: dict[str, list[Verdict]] = defaultdict(list)
        for kind in kinds:
            for part, verdicts in kind.verdicts.items():
                parts[part] += verdicts
        images = _share(parts, let_through)
        if self._unit == "image":
            return {"images": images.to_json(), "parts_any": None, "parts_wholly": None}
        through = [[verdict in let_through for verdict in verdicts] for verdicts in parts.values()]
        return {
            "images": images.counts(),
            "parts_any": Rate(sum(map(any, through)), len(parts)).to_json(),
            "parts_wholly": Rate(sum(map(all, through)), len(parts)).to_json(),
        }


_ESCAPED = frozenset({Verdict.OK, Verdict.REVIEW})
_ESCAPED_AFTER_REVIEW = frozenset({Verdict.OK})


def _share(parts: Mapping[str, list[Verdict]], counted: frozenset[Verdict]) -> Rate:
    """How many images of these parts have one of the verdicts."""
    verdicts = [verdict for part in parts.values() for verdict in part]
    return Rate(sum(verdict in counted for verdict in verdicts), len(verdicts))


def _percentile(values: array[float], q: float) -> float | None:
    return float(np.percentile(np.asarray(values), q)) if values else None
