"""How well known poses are found: random perturbations of rendered boards and of real scans.

usage: python tests/benchmarks/alignment.py [DATASET] [--count 200]

Poses: +-10 degrees, +-10 % of scale, shifts of +-5 % of the side, gamma 0.7 to 1.4, noise of 2 of 255. A pose that is
accepted although a corner is off by more than a pixel is a silent failure. DATASET as for deeppcb.py.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from anomalib_lite.edge.golden.alignment import align
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images import imaging
from anomalib_lite.errors import ImageError

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/edge/golden"))
from test_alignment import corner_error, pose, seen  # noqa: E402

WRONG = 1.0  # pixels at a corner


def measure(name: str, files: list[Path], count: int) -> None:
    errors, refused = [], 0
    for seed in range(count):
        random = np.random.default_rng(2000 + seed)
        golden = imaging.read(files[seed % len(files)]).pixels
        matrix = pose(golden.shape, random)
        try:
            found = align(View(seen(golden, matrix, random)), View(golden))
        except ImageError:
            refused += 1
            continue
        errors.append(corner_error(found.homography, matrix, golden.shape))
    below, wrong = np.mean(np.array(errors) < 0.5), int((np.array(errors) > WRONG).sum())
    print(
        f"{name}: {count} poses, {len(errors)} accepted, {refused} refused, {wrong} wrong; error at the worst corner: "
        f"median {np.median(errors):.2f}, highest {max(errors):.2f} px, {below:.1%} below 0.5 px"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    measure("rendered boards", sorted((ROOT / "data_samples/board/golden").glob("*.jpg")), options.count)
    if options.dataset:
        with (options.dataset / "pairs.csv").open(newline="") as file:
            scans = [options.dataset / row["reference"] for row in csv.DictReader(file)]
        measure("scans", scans[:: max(1, len(scans) // options.count)], options.count)


if __name__ == "__main__":
    main()
