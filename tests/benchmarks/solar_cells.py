"""Solar cells as a data set of this project: anyone can repeat the figures from the package index alone.

    pip install elpv-dataset  # 90 MB, CC BY-NC-SA 4.0: to be installed by who repeats the figures
    python tests/benchmarks/solar_cells.py cells
    anomalib-lite train neighbours cells/train.csv --seed 0 --out model
    anomalib-lite evaluate model cells/report.csv --out evaluation

2,624 electroluminescence images of 300 x 300 pixels (Buerhop-Lutz et al., PV module elements, EU PVSEC 2018; Deitsch et
al., Solar Energy 2019) with a probability of a defect. Blocks of 64 consecutive cells stand for modules, and are the
parts. Good are cells of probability 0, defective those above 0.5; of the others nothing is said, they are left out.
Blocks b with b % 4 < 2 train (good cells alone), b % 4 = 2 choose (choose.csv), b % 4 = 3 report (report.csv).
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from PIL import Image

BLOCK = 64
TABLES = ("train.csv", "train.csv", "choose.csv", "report.csv")  # by block number modulo 4


def write(out: Path) -> dict[str, int]:
    """Write the images and the three tables; number of images in each."""
    from elpv_dataset.utils import load_dataset

    images, probabilities, kinds = load_dataset()
    rows: dict[str, list[dict[str, str]]] = {name: [] for name in TABLES}
    (out / "images").mkdir(parents=True, exist_ok=True)
    for number, (pixels, probability, kind) in enumerate(zip(images, probabilities, kinds, strict=True)):
        table = TABLES[number // BLOCK % len(TABLES)]
        good = probability == 0
        if not good and (probability <= 0.5 or table == "train.csv"):
            continue
        name = f"images/{number:04}_{kind}.png"
        Image.fromarray(pixels).save(out / name)
        split = "train" if table == "train.csv" else "test"
        label = "good" if good else f"defective_{kind}"
        rows[table].append({"image": name, "label": label, "group": f"block{number // BLOCK:02}", "split": split})
    for name, lines in rows.items():
        with (out / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ("image", "label", "group", "split"))
            writer.writeheader()
            writer.writerows(lines)
    return {name: len(lines) for name, lines in rows.items()}


if __name__ == "__main__":
    for name, number in write(Path(sys.argv[1])).items():
        print(f"{name}: {number} images")
