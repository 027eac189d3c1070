"""Image AUROC of detectors that are fitted on a lot in which defective images were overlooked.

usage: python tests/benchmarks/contaminated_lot.py DATA.csv OUT [--detectors musc neighbours] [--seeds 0 1 2]

DATA.csv has the columns image, label, mask, group, split. Fitted on are 70 % of the good parts to train, drawn by the
seed, alone and with all defective images of even-numbered parts, which count as good; the thresholds rest on the other
30 %. Tested are good and defective images of odd-numbered parts, none of which was fitted on. Each training and each
evaluation is a folder in OUT and is not repeated where it is there.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import statistics
from pathlib import Path

from halves import rows_of

import anomalib_lite as al
from anomalib_lite.metrics import auroc

Row = dict[str, str]


def is_even(row: Row) -> bool:
    found = re.search(r"\d+", row["group"])
    return found is not None and int(found[0]) % 2 == 0


def lot(rows: list[Row], seed: int, *, contaminated: bool) -> list[Row]:
    """What is fitted on, what the thresholds rest on, and what is tested."""
    train = [row for row in rows if row["split"] == "train"]
    parts = sorted({row["group"] for row in train})
    held_out = set(random.Random(seed).sample(parts, round(0.3 * len(parts))))
    found = [{**row, "split": "calibrate" if row["group"] in held_out else "train"} for row in train]
    for row in rows:
        if row["split"] == "test" and not is_even(row):
            found.append(row)
        elif contaminated and row["split"] == "test" and row["label"] != "good":
            found.append({**row, "label": "good", "mask": "", "split": "train"})
    return found


def measured(detector: str, rows: list[Row], out: Path, seed: int, *, contaminated: bool) -> float:
    """Image AUROC on parts that were not fitted on."""
    name = f"{detector}_{'contaminated' if contaminated else 'clean'}_{seed}"
    model, evaluation, table = out / name, out / f"{name}.evaluation", out / f"{name}.csv"
    if not model.exists():
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(lot(rows, seed, contaminated=contaminated))
        settings = {"image.height": 256, "image.width": 256, "training.seed": seed, "gate.enabled": False}
        al.train(detector, table, out=model, settings=settings)
    if not evaluation.exists():
        al.evaluate(model, table, out=evaluation)
    tested = rows_of(evaluation)
    good, bad = ([row["score"] for row in tested if (row["label"] == "good") is side] for side in (True, False))
    area = auroc(good, bad)
    assert area is not None
    return area


def main() -> None:
    """Train, evaluate, and print a row of a table for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--detectors", nargs="+", default=["musc", "neighbours"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with given.data.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for column in ("image", "mask"):
            row[column] = str((given.data.parent / row[column]).resolve()) if row[column] else ""
    print("| detector | clean | contaminated |\n|---|---|---|")
    for detector in given.detectors:
        cells = []
        for contaminated in (False, True):
            areas = [measured(detector, rows, given.out, seed, contaminated=contaminated) for seed in given.seeds]
            spread = f" ± {statistics.stdev(areas):.3f}" if len(areas) > 1 else ""
            cells.append(f"{statistics.mean(areas):.3f}{spread}")
        print(f"| `{detector}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
