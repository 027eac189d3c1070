"""How long `change` takes from a file to a verdict, on one core: small pairs, and a colour pair of 5 megapixels.

usage: python tests/benchmarks/change_speed.py DATASET

DATASET as for deeppcb.py. Small pairs: 640 x 640 scans, beside SIFT on both images and matching alone, in the same run,
alternately; `pose` is small. Large pair: scans joined to 2592 x 1944 pixels and tinted, in a process of its own, whose
highest resident memory is told. The golden image's features are kept, as on a device; times are the best of five, after
a first one.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from deeppcb import Pixels, disturbed, trained
from PIL import Image

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

PAIRS = 12
ACROSS, DOWN = 4, 3  # scans that make the large image
LARGE = (2592, 1944)  # width, height: 5.04 megapixels
TINT = (0.95, 0.8, 0.55)
REPEATS = 5


def best(action: Callable[[], object]) -> float:
    """Shortest of some repetitions after a first one, in seconds."""
    action()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def sift_and_matching(image: Path, reference: Path) -> int:
    """SIFT on both images at full size and matching with a ratio test: what the published program begins with."""
    sift = cv2.SIFT.create()
    seen, golden = (
        sift.detectAndCompute(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)), None)[1]
        for path in (image, reference)
    )
    matches = cv2.BFMatcher().knnMatch(seen, golden, k=2)
    return sum(one.distance < 0.8 * other.distance for one, other in matches)


def small(root: Path, rows: list[dict[str, str]], folder: Path) -> None:
    trained(root, rows, folder, "options.pose=small")
    model = Model(folder / "model", threads=1)
    ours, theirs = [], []
    for number, row in enumerate(rows[:: len(rows) // PAIRS][:PAIRS]):
        image, reference = root / row["image"], folder / f"{number}.png"
        golden = disturbed(imaging.read(root / row["reference"]).pixels, np.random.default_rng(number))
        Image.fromarray(golden[..., 0]).save(reference)
        ours.append(best(partial(model.inspect, image, reference=reference)))
        theirs.append(best(partial(sift_and_matching, image, reference)))
    ratio = np.median(np.array(ours) / theirs)
    print(f"640 x 640, {len(ours)} pairs: file to verdict {_told(ours)}")
    print(f"SIFT on both images and matching alone {_told(theirs)}: median ratio {ratio:.2f}")


def _told(seconds: list[float]) -> str:
    return f"{1e3 * np.median(seconds):.0f} ms, at most {1e3 * max(seconds):.0f}"


def joined(root: Path, rows: list[dict[str, str]]) -> Pixels:
    """A colour image of 5 megapixels made of scans."""
    scans = [imaging.read(root / row["reference"]).pixels[..., 0] for row in rows[:: len(rows) // (ACROSS * DOWN)]]
    lines = [np.hstack(scans[ACROSS * line : ACROSS * (line + 1)]) for line in range(DOWN)]
    grey = cv2.resize(np.vstack(lines), LARGE, interpolation=cv2.INTER_CUBIC)
    return np.stack([tint * grey for tint in TINT], 2).round().astype(np.uint8)


def large(root: Path, rows: list[dict[str, str]], folder: Path) -> None:
    golden = joined(root, rows)
    goldens = folder / "goldens"
    goldens.mkdir()
    Image.fromarray(golden).save(goldens / "golden.png")
    height, width = golden.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 1.0, 1.005)
    inspected = cv2.warpAffine(golden, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    inspected[height // 2 : height // 2 + 30, width // 3 : width // 3 + 30] = 20
    cv2.imwrite(str(folder / "inspected.png"), inspected[..., ::-1])
    run_training(Request(detector="change", data=goldens, out=folder / "large", simulate=6))
    command = [sys.executable, __file__, str(root), "--inspect", str(folder / "large"), str(folder / "inspected.png")]
    subprocess.run(command, check=True)


def inspect(path: Path, image: Path) -> None:
    """In a process of its own, so that its memory is that of the inspection alone."""
    model = Model(path, threads=1)
    result = model.inspect(image)
    said = f"{result.verdict.name}, {len(result.regions)} region(s)"
    del result  # and its maps
    seconds = best(lambda: model.inspect(image))
    status = Path("/proc/self/status").read_text()  # getrusage would tell that of the process that started this one
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    width, height = LARGE
    print(
        f"{width} x {height}, colour: {said}, file to verdict {seconds:.2f} s, highest resident memory {memory:.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--inspect", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    if options.inspect:
        inspect(*options.inspect)
        return
    with (options.dataset / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with tempfile.TemporaryDirectory() as folder:
        small(options.dataset, rows, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        large(options.dataset, rows, Path(folder))


if __name__ == "__main__":
    main()
