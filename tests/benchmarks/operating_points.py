"""What escapes at each operating point: every unit and row of the menu, from models and evaluations that are there.

usage: python tests/benchmarks/operating_points.py MODEL=EVALUATION [MODEL=EVALUATION ...]

MODEL is what `anomalib-lite train` wrote, EVALUATION what `evaluate MODEL DATA --out EVALUATION` wrote, a pair for each
seed; nothing is trained, and no image is opened. Thresholds come from the scores of the held-out good images that the
model carries, by the host's own rule; escapes from the rows of the evaluation. Mean and standard deviation are those
over the pairs. A part escapes where it is decided to be good: by all of its photographs, or by their median.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from anomalib_lite.calibration import ScoredImage, calibrate
from anomalib_lite.config import Rates
from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import Calibration, Manifest, Per

ROWS = (None, 0, 1, 2, 3)  # None: the rule


class Point(NamedTuple):
    """An operating point of one model, and what becomes of the images of an evaluation there; shares."""

    bound: float
    images: float | None  # defective ones that escape; None where a part is decided once
    parts: float  # defective ones that escape wholly
    rejected: float  # good images, or parts where these are decided once


def calibrated(manifest: Manifest, per: Per, row: int | None) -> Calibration:
    """The model's thresholds, had it been asked for another unit or row."""
    before = manifest.calibration
    held_out = [
        ScoredImage(one.image, one.group, one.score, one.map_peak)
        for one in manifest.data.held_out
        if one.score is not None and one.map_peak is not None
    ]
    rates = Rates.of(before.reject.asked, before.confidence, None)
    return calibrate(held_out, rates, grouped=before.unit == "group", per=per, row=row)


def point(calibration: Calibration, rows: Sequence[dict[str, Any]]) -> Point:
    """What becomes of the rows of an evaluation."""
    limit, once = calibration.reject.value, calibration.per in ("part-median", "part-mean")
    joins: dict[str, Callable[[list[float]], float]] = {"part-median": statistics.median, "part-mean": statistics.fmean}
    join = joins.get(calibration.per, max)
    parts: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for row in rows:
        parts[row["group"], row["label"] == "good"].append(row["score"])
    joined = {part: join(scores) for part, scores in parts.items()}
    images: tuple[list[float], list[float]] = ([], [])  # of defective parts, and of good ones
    decided: tuple[list[float], list[float]] = ([], [])
    for (part, good), scores in parts.items():
        images[good].extend(scores)
        decided[good].append(joined[part, good])

    def passing(scores: Sequence[float]) -> float:
        return statistics.fmean(score <= limit for score in scores)

    return Point(
        bound=calibration.reject.bound,
        images=None if once else passing(images[False]),
        parts=passing(decided[False]),
        rejected=1 - passing((decided if once else images)[True]),
    )


def points(pairs: Sequence[tuple[Path, Path]]) -> Iterator[tuple[Per, int | None, list[Point]]]:
    """Each operating point, with what was measured of each pair."""
    loaded = []
    for model, evaluation in pairs:
        with (evaluation / "results.jsonl").open(encoding="utf-8") as file:
            rows = [row for row in map(json.loads, file) if row["score"] is not None]
        loaded.append((bundle.load(model).manifest, rows))
    for per in get_args(Per):
        for row in ROWS:
            yield per, row, [point(calibrated(manifest, per, row), rows) for manifest, rows in loaded]


def told(values: Sequence[float | None]) -> str:
    """Mean and standard deviation in percent."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {statistics.stdev(known):.0f}" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.0f}{spread} %"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="MODEL=EVALUATION")
    split = [pair.partition("=") for pair in parser.parse_args().pairs]
    pairs = [(Path(model), Path(evaluation)) for model, _, evaluation in split]
    print("| decided on | row | certified | images escape | parts escape wholly | good rejected |")
    print("|---|---|---|---|---|---|")
    for per, row, found in points(pairs):
        bounds = {f"{100 * one.bound:.1f} %" for one in found}
        escaping = told([one.images for one in found]), told([one.parts for one in found])
        cells = ("rule" if row is None else str(row), ", ".join(sorted(bounds)), *escaping)
        print("|", " | ".join([per, *cells, told([one.rejected for one in found])]), "|")


if __name__ == "__main__":
    main()
