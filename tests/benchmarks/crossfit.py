"""What escapes of a cross-fitted model, and of others, at each number of good parts that may lie above the threshold.

usage: python tests/benchmarks/crossfit.py MODEL=EVALUATION [MODEL=EVALUATION ...]

MODEL is what `anomalib-lite train` wrote, with --crossfit K or --holdout SHARE, EVALUATION what `evaluate MODEL DATA
--out EVALUATION` wrote; nothing is trained, and no image is opened. Of a cross-fitted model r is allowed where the
score, a rank, is above n - r: promised is the average 2 (r + K) / (n + K), expected (r + 1) / (n + 1). Of another, rows
of its menu: certified at its confidence, and (r + 1) / (n + 1) is the average.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from anomalib_lite.calibration.average import average_bound
from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import Calibration

ROWS = 12  # of a cross-fitted model


def thresholds(calibration: Calibration) -> Iterator[tuple[int, float, float]]:
    """r, the threshold, and what is promised: on average, or at the confidence."""
    if calibration.folds is None:
        yield from ((row.rank, row.value, row.bound) for row in calibration.menu)
        return
    for allowed in range(ROWS):
        promised = average_bound(allowed, calibration.n, calibration.folds)
        yield allowed, calibration.n - allowed + calibration.reject.tol, promised


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="MODEL=EVALUATION")
    print("| model | r | promised | expected | images escape | good rejected |")
    print("|---|---|---|---|---|---|")
    for pair in parser.parse_args().pairs:
        model, _, evaluation = pair.partition("=")
        calibration = bundle.load(Path(model)).manifest.calibration
        rows = [json.loads(line) for line in (Path(evaluation) / "results.jsonl").read_text("utf-8").splitlines()]
        good = [row["score"] for row in rows if row["label"] == "good" and row["score"] is not None]
        bad = [row["score"] for row in rows if row["label"] != "good" and row["score"] is not None]
        of = f"{'average' if calibration.folds else 'bound'} "
        for allowed, limit, promised in thresholds(calibration):
            expected = (allowed + 1) / (calibration.n + 1)
            escaping = statistics.fmean(score <= limit for score in bad)
            rejected = statistics.fmean(score > limit for score in good)
            cells = (f"{of}{promised:.1%}", f"{expected:.1%}", f"{escaping:.1%}", f"{rejected:.1%}")
            print("|", " | ".join([Path(model).name, str(allowed), *cells]), "|")


if __name__ == "__main__":
    main()
