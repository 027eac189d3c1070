"""What a training holds: the largest memory of `train` with so many images, and with four times as many.

usage: python tests/benchmarks/training_memory.py [DETECTOR ...] [--images 500] [--side 64]

Each training is a process of its own, on rendered photographs of SIDE x SIDE pixels, two steps of descent where there
is any. What is kept up to a limit is full with fewer than the first number of images, as the limits are with millions:
decoded images (2 GiB; here none), files of held-out ones (512 MiB; here none), numbers of each image (`KEPT`, 256 MiB;
here 32 for each of the first images). So the last column is what each further image costs, without an end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SETTINGS: dict[str, dict[str, Any]] = {
    "autopaint": {"training.steps": 2},
    "change": {},
    "draem": {"training.steps": 2},
    "dte": {"training.steps": 2, "options.method": "features"},
    "fusion": {"options.members": ["neighbours", "logic"]},
    "inpainting": {"training.steps": 2, "options.method": "features"},
    "invariants": {},
    "logic": {},
    "musc": {},
    "neighbours": {},
}


def draw(folder: Path, count: int, side: int) -> None:
    """Photographs of one product, each with noise of its own."""
    folder.mkdir(parents=True)
    ramp = np.linspace(60, 190, side)
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 8, (side, side, 3))
        pixels = (ramp[:, None] + 20 * np.sin(ramp)[None, :])[..., None] + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:06}.png")


def trained(detector: str, data: Path, side: int, full: int) -> float:
    """The largest memory of this process, in MB, after one training; `full` images fill what is kept of each."""
    from anomalib_lite import train
    from anomalib_lite.calibration import scoring
    from anomalib_lite.pipeline import evidence
    from anomalib_lite.training import fitting, frames

    setattr(fitting, "TrainingFrames", partial(frames.TrainingFrames, limit=0))  # noqa: B010
    scoring.KEPT_BYTES, evidence.IMAGES = 0, 8
    for place in ("neighbours.detector", "invariants.detector", "logic.detector", "dte.feature_map",
                  "inpainting.feature_map"):  # fmt: skip
        setattr(import_module(f"anomalib_lite_{place}"), "KEPT", 32 * full)  # noqa: B010
    settings = {"image.height": side, "image.width": side, "training.device": "cpu", **SETTINGS.get(detector, {})}
    golden = {"golden": [data / "000000.png"]} if detector == "change" else {}
    with tempfile.TemporaryDirectory() as folder:
        train(detector, data, out=Path(folder) / "model", settings=settings, progress=False, **golden)  # type: ignore[arg-type]
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1e3


def main() -> None:
    """Print a row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detectors", nargs="*", default=list(SETTINGS))
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--in", dest="data", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.data is not None:
        print(trained(given.detectors[0], given.data, given.side, given.images))
        return
    print(f"| detector | {given.images:,} images, MB | {4 * given.images:,} images, MB | each further image, kB |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        counts = (given.images, 4 * given.images)
        for count in counts:
            draw(Path(folder) / str(count), count, given.side)
        for detector in given.detectors:
            words = [sys.executable, __file__, detector, "--images", str(given.images), "--side", str(given.side)]
            peaks = []
            for count in counts:
                command = [*words, "--in", str(Path(folder) / str(count))]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                peaks.append(float(done.stdout.splitlines()[-1]))
            each = 1e3 * (peaks[1] - peaks[0]) / (counts[1] - counts[0])
            print(f"| {detector} | {peaks[0]:.0f} | {peaks[1]:.0f} | {each:.1f} |", flush=True)


if __name__ == "__main__":
    main()
