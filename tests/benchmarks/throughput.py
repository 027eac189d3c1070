"""What a core does in an hour: the tables of deploy/SCALE.md, from what `bench` says of every detector at two sizes.

    python tests/benchmarks/throughput.py OUT

Trains each detector for two steps on the rendered parts (what is learnt costs nothing at inspection, its size does),
and lets `bench` inspect on one thread; then one of them with the files of larger cameras, which are an enlarged part
with noise. Models that lie in OUT are not trained again. Prints the three tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
PARTS, BOARDS = ROOT / "data_samples/part", ROOT / "data_samples/board/pairs.csv"
SIZES = (256, 512)
RUNS = 30
DETECTORS = {  # what stands in the table -> detector and options
    "neighbours": ("neighbours",),
    "draem, size=tiny": ("draem", "options.size=tiny"),
    "draem": ("draem",),
    "inpainting": ("inpainting",),
    "inpainting, method=features": ("inpainting", "options.method=features"),
    "dte": ("dte",),
    "invariants": ("invariants",),
    "logic": ("logic",),
    "fusion": ("fusion",),
    "change": ("change",),
}
RATES = ("detector", "input", "file, kB", "decode, ms", "graph, ms", "rest, ms", "images a second and core",
         "core hours for a million", "MB a second, read")  # fmt: skip
PLANS = ("detector", "input", "40 cameras, 2 a second each: cores", "ten million: core hours",
         "a billion a month: cores")  # fmt: skip
FILES = ("camera", "file", "file, MB", "decode, ms", "rest, ms", "MB a second and core, read")
CAMERAS = ((640, 480), (1600, 1200), (2592, 1944), (4096, 3000))  # pixels
KINDS = {"JPEG": {"quality": 90}, "PNG": {}}
NOISE = 3.0  # of 255
BUSY = 0.7  # of a core, so that a queue does not grow
MONTH = 30 * 24 * 3600  # seconds


@dataclass(frozen=True)
class Row:
    """What was measured of one model."""

    name: str
    size: str
    kilobytes: float
    decode: float  # ms, as those below
    graph: float
    total: float

    @property
    def rate(self) -> float:
        """Images that a core inspects in a second."""
        return 1000 / self.total

    def rates(self) -> tuple[str, ...]:
        """A line of the first table."""
        rest = self.total - self.decode - self.graph
        hours, read = 1e6 / self.rate / 3600, self.rate * self.kilobytes / 1000
        times = [f"{one:.1f}" for one in (self.decode, self.graph, rest, self.rate, hours, read)]
        return (self.name, self.size, f"{self.kilobytes:.0f}", *times)

    def plans(self) -> tuple[str, ...]:
        """A line of the second table."""
        cores, archive, month = 40 * 2 / self.rate / BUSY, 1e7 / self.rate / 3600, 1e9 / MONTH / self.rate / BUSY
        return self.name, self.size, f"{cores:.1f}", f"{archive:,.0f}", f"{month:,.0f}"


def product(*words: str | Path) -> str:
    """What a command of the product prints; it ends this script where it fails."""
    command = [sys.executable, "-m", "anomalib_lite", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


def trained(model: Path, detector: str, data: Path, size: int, options: Iterable[str]) -> Path:
    """A model, trained where it is not there."""
    if not model.exists():
        sizes = [f"image.height={size}", f"image.width={size}"]
        settings = [word for one in [*sizes, *options] for word in ("--set", one)]
        product("train", detector, data, "--out", model, "--steps", "2", "--selfcheck", "rendered", *settings)
    return model


def measured(out: Path) -> Iterator[Row]:
    """One row after the other, each model trained where it is not there."""
    for name, (detector, *options) in DETECTORS.items():
        data, image = (BOARDS, ROOT / "data_samples/board/inspected/board001.jpg") if detector == "change" else (
            PARTS, PARTS / "test/good/part081_1.jpg")  # fmt: skip
        for size in SIZES:
            model = trained(out / f"{name.replace(', ', '_').replace('=', '-')}_{size}", detector, data, size, options)
            whole, decode, graph = said(model, image)
            yield Row(name, f"{size} x {size}", image.stat().st_size / 1000, decode, graph, whole)


def said(model: Path, image: Path) -> tuple[float, float, float]:
    """What `bench` says: all, decoding and graph, medians in ms."""
    times = json.loads(product("bench", model, image, "--runs", str(RUNS), "--threads", "1"))["threads"]["1"]
    whole, decode, graph = (times[f"{key}_ms"]["p50"] for key in ("total", "decode", "graph"))
    return whole, decode, graph


def files(out: Path) -> Iterator[tuple[str, ...]]:
    """The lines of the third table: the same model, files of larger cameras, which its gate would refuse."""
    model = trained(out / "ungated", "neighbours", PARTS, 256, ["gate.enabled=false"])
    random = np.random.default_rng(0)
    for size in CAMERAS:
        with Image.open(PARTS / "test/good/part081_1.jpg") as part:
            pixels = np.asarray(part.resize(size, Image.Resampling.BICUBIC), np.float32)
        noisy = Image.fromarray((pixels + random.normal(0, NOISE, pixels.shape)).clip(0, 255).astype(np.uint8))
        for kind, how in KINDS.items():
            path = out / f"{size[0]}.{kind.lower()}"
            noisy.save(path, kind, **how)
            whole, decode, graph = said(model, path)
            megabytes = path.stat().st_size / 1e6
            times = (f"{decode:.0f}", f"{whole - decode - graph:.0f}", f"{megabytes / whole * 1000:.0f}")
            yield f"{size[0]} x {size[1]}", kind, f"{megabytes:.2f}", *times


def table(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in measured(out):
        rows.append(row)
        print(*row.rates(), sep="  ", file=sys.stderr, flush=True)
    tables = (RATES, [row.rates() for row in rows]), (PLANS, [row.plans() for row in rows])
    for heading, lines in (*tables, (FILES, list(files(out)))):
        print(table(heading, lines), end="\n\n")


if __name__ == "__main__":
    main()
