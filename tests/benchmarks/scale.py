"""How time and memory grow with the number of rows: lists, `data check`, reports, `merge` and `monitor`.

    python tests/benchmarks/scale.py [--rows 10000 1000000] [--only NAME]

Each is done in a process of its own, with so many rows that are made for it. No image is decoded: files are rows of a
table that name images of one file, and what is seen of them is the same for all. Prints seconds of one core, the
largest memory of the process beyond that before the work, in MB, both for each number of rows, and the ratios.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from anomalib_lite import registry
from anomalib_lite.data import find, look
from anomalib_lite.data.samples import Sample
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import COLUMNS, CSV, JSON_LINES, Result
from anomalib_lite.pipeline import check, merge, merged_report, monitor
from anomalib_lite.pipeline.inputs import chosen
from anomalib_lite.pipeline.shards import Record

MODEL = "0123456789ab"


def table(root: Path, n: int) -> Path:
    """A table of so many images of one file, two of each part."""
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(root / "a.png")
    with (root / "list.csv").open("w") as file:
        file.write("image,label,group\n")
        file.writelines(f"a.png#{place},good,part{place // 2}\n" for place in range(n))
    return root / "list.csv"


def results(root: Path, n: int, share: int = 1, of: int = 1) -> Path:
    """Results of so many images, or a share of them."""
    random = np.random.default_rng(0)
    folder = root / f"share{share}"
    folder.mkdir()
    count = 0
    with (folder / JSON_LINES).open("w") as file:
        for place, score in enumerate(random.gamma(2.0, 1.0, n)):
            if place % of != share - 1:
                continue
            verdict = Verdict.NG if score > 8 else Verdict.OK
            row = Result(f"line/part{place}.png", "2026-01-01T00:00:00.000+00:00", verdict, 8.0, 6.0, MODEL, 9.0,
                         score=float(score), p_value=0.5).row()  # fmt: skip
            file.write(json.dumps(row | {"heatmap": None, "position": place}) + "\n")
            count += 1
    (folder / CSV).write_text(",".join([*COLUMNS, "heatmap", "position"]) + "\n")
    record = Record(index=share, count=of, model_id=MODEL, version="1", images=n, inputs="0", options={}, rows=count)
    record.write(folder)
    return folder


def reading(root: Path, n: int) -> Callable[[], object]:
    path = table(root, n)
    return lambda: find(path)


def inputs(root: Path, n: int) -> Callable[[], object]:
    path = table(root, n)
    return lambda: chosen([path], PLAIN)


def checking(root: Path, n: int) -> Callable[[], object]:
    path = table(root, n)
    ((_, facts),), _ = look([Sample(root / "a.png", "a.png")])

    def seen(samples: list[Sample], opener: Opener) -> object:
        """What `look` would say, with another file each."""
        random = np.random.default_rng(0)
        looks = (random.standard_normal(256, np.float32).astype(np.float16) for _ in samples)
        return [(one, [replace(facts[0], sha256=one.name, thumbnail=next(looks))]) for one in samples], []

    setattr(check, "look", seen)  # noqa: B010
    return lambda: check.check(check.Check(data=path), plugins=registry.load())


def merging(root: Path, n: int) -> Callable[[], object]:
    shares = [results(root, n, share, 10) for share in range(1, 11)]
    return lambda: merge.merge(shares, out=root / "all")


def reporting(root: Path, n: int) -> Callable[[], object]:
    folder, model = results(root, n), root / "model"
    parts = Path(__file__).parents[2] / "data_samples/part"
    small = ["--set", "image.height=128", "--set", "image.width=128", "--selfcheck", "rendered"]
    command = [sys.executable, "-m", "anomalib_lite", "train", "neighbours", str(parts), "--out", str(model), *small]
    subprocess.run(command, check=True, capture_output=True)
    return lambda: merged_report.write(folder, Model(model))


def monitoring(root: Path, n: int) -> Callable[[], object]:
    folder = results(root, n)
    return lambda: monitor.monitor(folder, out=root / "drift.html")


CASES: dict[str, Callable[[Path, int], Callable[[], object]]] = {
    "reading a list": reading,
    "inputs of predict": inputs,
    "data check": checking,
    "merge": merging,
    "report": reporting,
    "monitor": monitoring,
}


def measured(name: str, n: int) -> tuple[float, float]:
    """Seconds of a core, and MB."""
    with TemporaryDirectory() as folder:
        work = CASES[name](Path(folder), n)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        work()
        return time.process_time() - started, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, nargs=2, default=(10_000, 1_000_000))
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measured(asked.only, asked.measure)))
        return
    few, many = asked.rows
    print(f"{'':20}{few:>12,} rows{many:>24,} rows{'ratio of times':>18}  for {many / few:g} times as many")
    for name in [asked.only] if asked.only else CASES:
        found = []
        for n in asked.rows:
            words = [sys.executable, __file__, "--only", name, "--measure", str(n)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
        (first, small), (second, large) = found
        line = f"{name:20}{first:>8.2f} s {small:>6.0f} MB{second:>14.1f} s {large:>8.0f} MB{second / first:>16.0f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
