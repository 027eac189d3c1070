"""What a training holds: the largest memory of `train` with so many images, and with four times as many.

usage: python tests/benchmarks/training_memory.py [DETECTOR ...] [--images 150] [--side 64]

Each training is a process of its own, on rendered photographs of SIDE x SIDE pixels, two steps of descent where there
is any. What is kept up to a limit is full with fewer than the first number of images, as the limits are with millions:
decoded images (2 GiB; here none), files of held-out ones (512 MiB; here none), numbers of each image (`KEPT`, 256 MiB;
here 32 for each of the first images), patches that galleries are chosen of (20,000; here 8 likewise).
"""

from __future__ import annotations

import argparse
import tempfile
import tracemalloc
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anomalib_lite import train
from anomalib_lite.calibration import scoring
from anomalib_lite.data import find, look, survey
from anomalib_lite.pipeline import evidence
from anomalib_lite.training import fitting, frames

PROCESSES = get_context("fork")
KEEPING = ("neighbours.detector", "invariants.detector", "logic.detector", "dte.feature_map", "inpainting.feature_map")
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
    """Photographs of one product, each with its own light in 8 x 8 places."""
    folder.mkdir(parents=True)
    usual = np.random.default_rng(0).integers(60, 190, (side // 4, side // 4, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    for number in range(count):
        light = Image.fromarray(np.random.default_rng(number).integers(0, 60, (8, 8, 3), np.uint8))
        own = usual + np.asarray(light.resize((side, side), Image.Resampling.BICUBIC))
        Image.fromarray(own).save(folder / f"{number:06}.png")


def known(data: Path) -> tuple[int, int, float]:
    """Of a data set: its images, bytes that are held of them once they are looked at, and largest meanwhile."""
    tracemalloc.start()
    found = find(data)
    looked, unreadable = look(found.samples)
    tracemalloc.reset_peak()  # of reading files, whatever their number
    kept = survey(looked, unreadable)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return len(kept.usable), held, most


def trained(detector: str, data: Path, side: int, full: int, told: Connection) -> None:
    """Tell the largest memory of this process, in MB, after a training; `full` images fill what is kept of each."""
    for place in KEEPING:
        where = import_module(f"anomalib_lite_{place}")
        setattr(where, "KEPT", 32 * full)  # noqa: B010
        setattr(where, "POOL", 8 * full)  # noqa: B010
    settings = {"image.height": side, "image.width": side, "training.device": "cpu", **SETTINGS.get(detector, {})}
    golden = [data / "good/000000.png"] if detector == "change" else []
    with tempfile.TemporaryDirectory() as folder:
        train(detector, data, out=Path(folder) / "model", settings=settings, progress=False, golden=golden)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    told.send(int(status["VmHWM"].split()[0]) / 1e3)


def peak(*given: Any) -> float:
    """What `trained` tells, in a process of its own, which has imported what this one has."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=trained, args=(*given, there))
    process.start()
    process.join()
    return float(here.recv()) if here.poll() else float("nan")


def main() -> None:
    """Print a row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detectors", nargs="*", default=list(SETTINGS))
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--side", type=int, default=64)
    given = parser.parse_args()
    setattr(fitting, "TrainingFrames", partial(frames.TrainingFrames, limit=0))  # noqa: B010
    scoring.KEPT_BYTES, evidence.IMAGES = 0, 8
    few, many = given.images, 4 * given.images
    with tempfile.TemporaryDirectory() as folder:
        for count in (few, many):
            draw(Path(folder) / str(count) / "good", count, given.side)
        _, less, more = (known(Path(folder) / str(count)) for count in (few, few, many))  # once to warm up
        held, most = ((more[place] - less[place]) / 1e3 / (more[0] - less[0]) for place in (1, 2))
        print(f"What is known of each image: {held:.1f} kB, {most:.1f} kB while copies are looked for")
        print(f"\n| detector | {few:,} images, MB | {many:,} images, MB |\n|---|---|---|")
        for detector in given.detectors:
            peaks = [peak(detector, Path(folder) / str(count), given.side, few) for count in (few, many)]
            print(f"| {detector} | {peaks[0]:.0f} | {peaks[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
