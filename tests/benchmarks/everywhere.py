"""Every detector on every data set, each trained and measured in the same way: one table.

usage: python tests/benchmarks/everywhere.py OUT NAME=DATA [NAME=DATA ...] --detectors draem,neighbours [--steps N]
           [--set KEY=VALUE ...]

DATA has good images to train and labelled images to test, as `compare` takes it; images of `part123_1.jpg` show part
123. Each data set is a comparison in OUT/NAME, with its report; what lies there is not measured again, so that
detectors and data sets may be added. Printed are the image AUROCs with 95 % intervals over parts; a detector that
cannot be trained on a data set is named with the reason.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from anomalib_lite.errors import AnomalibLiteError
from anomalib_lite.pipeline.compare import Compared, Comparison, compare
from anomalib_lite.report.comparison import Line


def cell(line: Line | None) -> str:
    """Image AUROC with its interval, or a dash."""
    if line is None:
        return "-"
    interval = line.metrics["image_auroc_interval"]
    return f"{line.rank.auroc:.3f}" + (f" ({interval['low']:.3f} to {interval['high']:.3f})" if interval else "")


def main() -> None:
    """Compare on each data set, and print a row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="+", metavar="NAME=DATA")
    parser.add_argument("--detectors", required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    asked = parser.parse_args()
    named = dict(one.split("=", 1) for one in asked.data)
    detectors = asked.detectors.split(",")
    found: dict[str, Compared] = {}
    for name, data in named.items():
        comparison = Comparison(
            data=Path(data),
            out=asked.out / name,
            detectors=detectors,
            settings=asked.settings,
            overrides={"training.steps": asked.steps} if asked.steps else {},
            group=None if data.endswith(".csv") else r"part(\d+)",
        )
        try:
            found[name] = compare(comparison, say=partial(print, name, flush=True))
        except AnomalibLiteError as error:
            print(f"{name}: {error}")
    print(f"| detector | {' | '.join(found)} |")
    print("|---" * (len(found) + 1) + "|")
    for detector in detectors:
        lines = [{one.rank.name: one for one in compared.lines}.get(detector) for compared in found.values()]
        print(f"| `{detector}` | {' | '.join(map(cell, lines))} |")


if __name__ == "__main__":
    main()
