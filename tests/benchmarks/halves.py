"""Image AUROC on the parts that chose the defaults and on those that chose nothing, each with an interval.

usage: python tests/benchmarks/halves.py EVALUATION [EVALUATION ...]

EVALUATION is what `anomalib-lite evaluate MODEL DATA --out EVALUATION` wrote, one for each seed; nothing is trained.
Even numbers of a part (`tile108`) are the half by which defaults are chosen, odd ones choose nothing. The interval is
that of `metrics.json`: 95 %, by a bootstrap over parts, of the first evaluation; of several, mean and standard
deviation are those over the evaluations.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from anomalib_lite.metrics import auroc
from anomalib_lite.metrics.bootstrap import auroc_interval

HALVES = {"all": (0, 1), "even": (0,), "odd": (1,)}
Row = dict[str, Any]


class Figure(NamedTuple):
    """Image AUROC of a half in one evaluation."""

    parts: int
    auroc: float
    low: float
    high: float


def rows_of(evaluation: Path) -> list[Row]:
    """Rows that have a score."""
    with (evaluation / "results.jsonl").open(encoding="utf-8") as file:
        return [row for row in map(json.loads, file) if row["score"] is not None]


def half_of(row: Row) -> int:
    """0 where the number of the part is even, 1 where it is odd."""
    digits = "".join(filter(str.isdigit, row["group"] or ""))
    if not digits:
        raise SystemExit(f"{row['image']}: its part has no number. Evaluate with groups: --group 'tile(\\d+)'")
    return int(digits) % 2


def figures(rows: list[Row]) -> Iterator[tuple[str, Figure]]:
    """Name of the half, and what was measured there."""
    for name, halves in HALVES.items():
        mine = [row for row in rows if half_of(row) in halves]
        sides = [[row for row in mine if (row["label"] == "good") is good] for good in (True, False)]
        scores = [[row["score"] for row in side] for side in sides]
        parts = [[row["group"] for row in side] for side in sides]
        area, interval = auroc(*scores), auroc_interval((scores[0], parts[0]), (scores[1], parts[1]))
        if area is None or interval is None:
            raise SystemExit(f"{name}: good and defective images of two parts each are needed")
        yield name, Figure(len({*parts[0], *parts[1]}), area, interval.low, interval.high)


def main() -> None:
    """Print a line for each half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", type=Path, nargs="+")
    measured = [dict(figures(rows_of(one))) for one in parser.parse_args().evaluations]
    for name in HALVES:
        first, areas = measured[0][name], [one[name].auroc for one in measured]
        spread = f", seeds {statistics.mean(areas):.3f} ± {statistics.stdev(areas):.3f}" if len(areas) > 1 else ""
        interval = f"95 % interval over {first.parts} parts {first.low:.3f} to {first.high:.3f}"
        print(f"{name:<5} image AUROC {first.auroc:.3f}, {interval}{spread}")


if __name__ == "__main__":
    main()
