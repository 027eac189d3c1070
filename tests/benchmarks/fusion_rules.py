"""Image AUROC of two detectors' scores added up, by several rules for what each counts.

usage: python tests/benchmarks/fusion_rules.py MODEL=EVALUATION MODEL=EVALUATION

MODEL is what `anomalib-lite train` wrote, EVALUATION what `evaluate MODEL DATA --out EVALUATION` wrote; both detectors
with the same seed, and so with the same good parts held out. Nothing is trained, and no image is opened.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from halves import rows_of
from numpy.typing import NDArray

from anomalib_lite.metrics import auroc

Floats = NDArray[np.float64]


def held_out(model: Path) -> Floats:
    """Scores of the good parts that the model was calibrated on."""
    return np.array(json.loads((model / "manifest.json").read_text())["calibration"]["scores"], np.float64)


def rules(good: Floats, scores: Floats) -> dict[str, Floats]:
    """A detector's scores (N,) in the units of each rule, from its scores of good parts."""
    middle = np.median(good)
    deviation = 1.4826 * np.median(np.abs(good - middle))
    worst = np.quantile(good, 0.9) - middle
    return {
        "median absolute deviation": (scores - middle) / deviation,
        "worst tenth": (scores - middle) / worst,
        "worst tenth, less for a long tail (fusion)": (scores - middle) * deviation / worst**2,
    }


def main() -> None:
    """Print a line for each member and each rule."""
    pairs = [tuple(map(Path, word.split("=", 1))) for word in sys.argv[1:]]
    if len(pairs) != 2:
        raise SystemExit(__doc__)
    tables = [{row["image"]: row for row in rows_of(evaluation)} for _, evaluation in pairs]
    names = [name for name in tables[0] if name in tables[1]]
    bad = np.array([tables[0][name]["label"] != "good" for name in names])
    found = []
    for (model, _), table in zip(pairs, tables, strict=True):
        scores = np.array([table[name]["score"] for name in names])
        print(f"{model.name}: {auroc(scores[~bad], scores[bad]):.3f}")
        found.append(rules(held_out(model), scores))
    for rule in found[0]:
        both = np.stack([one[rule] for one in found])
        area, largest = (auroc(one[~bad], one[bad]) for one in (both.sum(0), both.max(0)))
        print(f"{rule}: sum {area:.3f}, larger of both {largest:.3f}")


if __name__ == "__main__":
    main()
