"""How well known poses are found: random perturbations of rendered boards and of real scans.

usage: python tests/benchmarks/alignment.py [DATASET] [--count 200] [--strips 5]

Poses: +-10 degrees, +-10 % of scale, shifts of +-5 % of the side, gamma 0.7 to 1.4, noise of 2 of 255. A pose that is
accepted although a corner is off by more than a pixel is a silent failure. DATASET as for deeppcb.py. Strips: rendered
ones of up to 20 megapixels, stretched by up to 0.3 %, turned by up to 0.3 degrees at an aspect of 20 and less beyond,
moved by up to 3 % of their width, gamma 0.8 to 1.25, the same noise.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from anomalib_lite.edge.golden.alignment import align
from anomalib_lite.edge.golden.views import View, corners
from anomalib_lite.edge.golden.warping import warped
from anomalib_lite.edge.images import imaging
from anomalib_lite.errors import ImageError

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/edge/golden"))
from test_alignment import corner_error, pose, seen  # noqa: E402
from test_bending import strip  # noqa: E402

WRONG = 1.0  # pixels at a corner
STRIPS = [(1000, 20_000), (400, 20_000), (200, 8_000), (120, 12_000), (300, 40_000), (33_000, 600)]  # height, width


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


def measure_strips(each: int) -> None:
    for shape in STRIPS:
        golden, errors, refused = strip(*shape), [], 0
        for seed in range(each):
            random = np.random.default_rng(seed)
            turn = np.radians(random.uniform(-0.3, 0.3)) * min(1, 20 * min(shape) / max(shape))
            matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
            matrix[:2, int(np.argmax(shape[::-1]))] *= 1 + random.uniform(-0.003, 0.003)
            middle = corners(shape).mean(0)
            matrix[:2, 2] = middle - matrix[:2, :2] @ middle + random.uniform(-0.03, 0.03, 2) * min(shape)
            moved = 255 * (warped(golden, matrix, shape) / 255) ** random.uniform(0.8, 1.25)
            image = np.clip(moved + random.normal(0, 2, shape), 0, 255).round().astype(np.uint8)
            try:
                found = align(View(image[..., None]), View(golden[..., None]))
            except ImageError:
                refused += 1
                continue
            errors.append(corner_error(found.homography, matrix, shape))
        told = f"highest error at a corner {max(errors):.2f} px" if errors else ""
        print(f"strips of {shape[1]} x {shape[0]}: {each} poses, {refused} refused; {told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--strips", type=int, default=5, help="poses of strips of each size")
    options = parser.parse_args()
    measure("rendered boards", sorted((ROOT / "data_samples/board/golden").glob("*.jpg")), options.count)
    if options.dataset:
        with (options.dataset / "pairs.csv").open(newline="") as file:
            scans = [options.dataset / row["reference"] for row in csv.DictReader(file)]
        measure("scans", scans[:: max(1, len(scans) // options.count)], options.count)
    measure_strips(options.strips)


if __name__ == "__main__":
    main()
