"""A hundred products by `train-many`, two of them with broken data, killed twice and resumed.

usage: python tests/benchmarks/train_a_hundred.py [--products 100] [--workers 2] [--ray]

Draws small photographs of each product and trains a small network for one step. The command is killed with SIGKILL when
a third and when two thirds are trained, and then run to its end. Printed is what was finished and trained again, which
must be nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, PHOTOGRAPHS = 48, 20
SETTINGS = {
    "image.height": "48", "image.width": "48", "options.widths": "[8, 8]", "options.cells": "[8]",
    "gate.features": "off", "training.steps": "1", "training.device": "cpu", "calibration.selfcheck": "none",
}  # fmt: skip


def draw(folder: Path, number: int, *, broken: bool) -> None:
    """Photographs of one product, or files that are none."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(number)
    for photograph in range(PHOTOGRAPHS):
        pixels = np.linspace(90, 150, SIDE)[None, :] + random.normal(0, 4, (SIDE, SIDE))
        file = folder / f"{photograph:02}.png"
        if broken:
            file.write_bytes(b"no image")
        else:
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)


def finished(out: Path) -> dict[str, int]:
    """Products that are trained -> when their record was written."""
    found = {}
    for record in out.glob("*/product.json"):
        if "seconds" in json.loads(record.read_bytes()):
            found[record.parent.name] = record.stat().st_mtime_ns
    return found


def killed_at(command: list[str], out: Path, count: int) -> None:
    """Run the command until so many products are trained."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(finished(out)) < count:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(f"killed when {len(finished(out))} were trained", flush=True)


def main() -> None:
    """Train, kill, resume, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch), Path(scratch) / "out"
        names = [f"product{number:03}" for number in range(asked.products)]
        broken = {names[3], names[len(names) // 2]}
        for number, name in enumerate(names):
            draw(folder / name, number, broken=name in broken)
        with (folder / "plan.csv").open("w", newline="") as file:
            rows = [[name, "inpainting", name, *SETTINGS.values()] for name in names]
            csv.writer(file).writerows([["name", "detector", "data", *SETTINGS], *rows])
        command = [sys.executable, "-m", "anomalib_lite", "train-many", str(folder / "plan.csv"), "--out", str(out)]
        command += ["--workers", str(asked.workers), *(["--ray", "local"] if asked.ray else [])]
        begun, seen = time.perf_counter(), dict[str, int]()
        for share in (1 / 3, 2 / 3):
            killed_at(command, out, round(share * len(names)))
            again = sorted(name for name, when in seen.items() if finished(out).get(name) != when)
            print(f"of {len(seen)} that were trained before, trained again: {again}", flush=True)
            seen = finished(out)
        code = subprocess.run(command, stdout=subprocess.DEVNULL, env=os.environ, check=False).returncode
        again = sorted(name for name, when in seen.items() if finished(out).get(name) != when)
        document = json.loads((out / "products.json").read_bytes())["products"]
        failed = sorted(one["name"] for one in document if one["state"] == "failed")
        print(f"of {len(seen)} that were trained before, trained again: {again}; exit code {code}; failed {failed}")
        print(f"{len(document)} products in {time.perf_counter() - begun:.0f} s; first in the summary: "
              f"{[one['name'] for one in document[:2]]}")  # fmt: skip
        assert set(failed) == broken
        assert not again


if __name__ == "__main__":
    main()
