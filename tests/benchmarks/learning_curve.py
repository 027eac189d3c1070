"""Image AUROC after training on a few good parts, and on more: how many parts for what.

usage: python tests/benchmarks/learning_curve.py DETECTOR DATA.csv OUT [--parts 5 10 20] [--seeds 0 1 2] [--steps N]

DATA.csv has the columns image, label, group, split. Of the good parts to train, the first N of an order drawn by the
seed are taken, 30 % of them to hold out as always; the images to test are the same each time. Each training and each
evaluation is a folder in OUT and is not repeated where it is there. Printed are mean and standard deviation over the
seeds, of all images and of the defective ones that escape at the certified threshold.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
from pathlib import Path

from halves import figures, rows_of

import anomalib_lite as al

Row = dict[str, str]


def subset(rows: list[Row], parts: int, seed: int) -> list[Row]:
    """Rows of so many of the good parts to train."""
    groups = sorted({row["group"] for row in rows if row["split"] == "train"})
    if parts > len(groups):
        raise SystemExit(f"--parts {parts}: there are {len(groups)} good parts to train.")
    chosen = set(random.Random(seed).sample(groups, len(groups))[:parts])
    return [row for row in rows if row["split"] == "train" and row["group"] in chosen]


def measured(detector: str, data: Path, out: Path, parts: int, seed: int, steps: int | None) -> tuple[float, float]:
    """Image AUROC, and the share of the defective images that escape."""
    with data.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    model, evaluation = out / f"{detector}_{parts}_{seed}", out / f"{detector}_{parts}_{seed}.evaluation"
    if not model.exists():
        table = out / f"{parts}_{seed}.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            for row in subset(rows, parts, seed):
                writer.writerow({**row, "image": str((data.parent / row["image"]).resolve()), "mask": ""})
        settings: dict[str, object] = {"image.height": 256, "image.width": 256, "training.precision": "bf16-mixed"}
        settings["training.seed"] = seed
        if steps:
            settings["training.steps"] = steps
        al.train(detector, table, out=model, settings=settings)
    if not evaluation.exists():
        al.evaluate(model, data, out=evaluation)
    bad = [row["verdict"] == "OK" for row in rows_of(evaluation) if row["label"] != "good"]
    return dict(figures(rows_of(evaluation)))["all"].auroc, sum(bad) / len(bad)


def main() -> None:
    """Train, evaluate, and print a row of a table for each number of parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--parts", type=int, nargs="+", default=[5, 10, 20, 50, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print("| good parts | image AUROC | defective images that escape |\n|---|---|---|")
    for parts in given.parts:
        found = [measured(given.detector, given.data, given.out, parts, seed, given.steps) for seed in given.seeds]
        cells = [
            f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")
            for values in zip(*found, strict=True)
        ]
        print(f"| {parts} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
