"""Change detection on DeepPCB pairs, beside a plain absolute difference.

usage: python tests/benchmarks/deeppcb.py DATASET [--boards group12100,group50600] [--every N] [--curve]
           [--method changechip] [--seed N] [--set KEY=VALUE] [--predictions FILE]

DATASET holds pairs.csv (image, reference, board) and boxes.csv (image, x1, y1, x2, y2), as prepared from Tang et al.,
"Online PCB defect detector on a new PCB defect dataset". Every inspected board there has defects, so the model learns
from the references alone, with simulated inspections; its threshold is the certified one. The score is class-agnostic
F1 at IoU > 0.33, one-to-one, of the boxes in the
rows that `predict` writes, as they are; beside it the share of the annotated defects that a region touches, and the
regions of an image that touch none. Margin, merge distance and the other defaults of the detector were chosen on the
boards group12100 and group50600: the figures of the other boards are printed beside those of all, with a 95 %
interval by a bootstrap over their pairs and, since there are three of them, F1 of each board. --curve tells the same at
other thresholds.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data.simulation import inspection
from anomalib_lite.edge import decision
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.regions import Region, find_regions
from anomalib_lite.edge.results import Result, json_line
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

DEVELOPMENT = ("group12100", "group50600")  # boards that chose the defaults
DRAWS = 2000
CURVE = (0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7)  # multiples of the certified threshold
IOU = 0.33
TAUGHT, SIMULATED = 12, 2  # references that the model learns from, evenly over the boards; inspections of each

Box = tuple[float, float, float, float]  # x1, y1, x2, y2
Pixels = NDArray[np.uint8]


def read_boxes(path: Path) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            boxes[row["image"]].append(tuple(float(row[key]) for key in ("x1", "y1", "x2", "y2")))  # type: ignore[arg-type]
    return boxes


def iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


class Tally:
    """Counts of boxes found, invented and missed, of defects touched, of regions that touch none, and of images."""

    def __init__(self) -> None:
        self.found = self.invented = self.missed = self.touched = self.astray = self.images = 0

    def add(self, predicted: list[Box], truth: list[Box]) -> None:
        """Match greedily, the best overlap first."""
        candidates = sorted(
            ((iou(p, t), i, j) for i, p in enumerate(predicted) for j, t in enumerate(truth)), reverse=True
        )
        used: set[int] = set()
        hit: set[int] = set()
        for overlap, i, j in candidates:
            if overlap > IOU and i not in used and j not in hit:
                used.add(i)
                hit.add(j)
        self.found += len(hit)
        self.invented += len(predicted) - len(hit)
        self.missed += len(truth) - len(hit)
        self.touched += len({j for overlap, _, j in candidates if overlap > 0})
        self.astray += len(predicted) - len({i for overlap, i, _ in candidates if overlap > 0})
        self.images += 1

    @property
    def f1(self) -> float:
        return 2 * self.found / max(1, 2 * self.found + self.invented + self.missed)

    def __str__(self) -> str:
        defects = max(1, self.found + self.missed)
        precision = self.found / max(1, self.found + self.invented)
        return (
            f"precision {precision:.3f}  recall {self.found / defects:.3f}  F1 {self.f1:.3f}  "
            f"touched {self.touched / defects:.3f}  false regions per image {self.astray / max(1, self.images):.2f}"
        )


def joined(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for one in tallies:
        for name, value in vars(one).items():
            setattr(total, name, getattr(total, name) + value)
    return total


def others(tallies: dict[str, list[Tally]]) -> str:
    """The boards that chose nothing, and the interval of their F1 over pairs that are drawn again."""
    boards = {board: ones for board, ones in sorted(tallies.items()) if board not in DEVELOPMENT}
    pairs = [one for ones in boards.values() for one in ones]
    if not pairs:
        return "no other boards"
    counts = np.array([(one.found, one.invented, one.missed) for one in pairs])
    drawn = np.random.default_rng(0).integers(0, len(pairs), (DRAWS, len(pairs)))
    found, invented, missed = counts[drawn].sum(1).T
    low, high = np.percentile(2 * found / np.maximum(1, 2 * found + invented + missed), [2.5, 97.5])
    each = ", ".join(f"{board} {joined(ones).f1:.3f}" for board, ones in boards.items())
    told = f"95 % interval of F1 over pairs {low:.3f} to {high:.3f}; F1 of each board: {each}"
    return f"{len(boards)} boards that chose nothing, {len(pairs)} pairs: {joined(pairs)}; {told}"


def disturbed(reference: Pixels, random: np.random.Generator) -> Pixels:
    """The reference turned by up to 2 degrees, moved by up to 8 px, scaled by up to 2 %, under a gradient of 20 %."""
    height, width = reference.shape[:2]
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, random.uniform(-2, 2), random.uniform(0.98, 1.02)), float)
    matrix[:, 2] += random.uniform(-8, 8, 2)
    turned = cv2.warpAffine(reference[..., 0], matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = (np.cos(angle) * x + np.sin(angle) * y) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    shaded: Pixels = np.clip(np.rint(turned * (1 + 0.2 * slope)), 0, 255).astype(np.uint8)
    return shaded[..., None]


def baseline(image: Pixels, reference: Pixels) -> list[Box]:
    """Absolute difference above half of white, opened and dilated."""
    changed = (cv2.absdiff(image[..., 0], reference[..., 0]) > 127).astype(np.uint8)
    opened = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate(opened, np.ones((15, 15), np.uint8)))
    return [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h, _ in boxes[1:]]


def taught(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those whose references the model learns from."""
    return [rows[index] for index in np.unique(np.linspace(0, len(rows) - 1, TAUGHT).round().astype(int))]


def trained(root: Path, rows: list[dict[str, str]], folder: Path, *more: str) -> Model:
    """A model that has seen references alone, with further settings."""
    table = folder / "references.csv"
    table.write_text("image\n" + "".join(f"{(root / row['reference']).absolute()}\n" for row in taught(rows)))
    out = folder / "model"
    settings = ["image.channels=1", *more]  # grey scans, some of which are stored as colour
    run_training(Request(detector="change", data=table, out=out, simulate=SIMULATED, settings=settings))
    return Model(out)


def predicted(result: Result, model: Model, image: Pixels, factors: Iterable[float]) -> Iterator[list[Box]]:
    """Boxes of the row; at multiples of the certified threshold of the map, boxes that a row would have there."""
    for factor in factors:
        if result.anomaly_map is None:
            yield []
        elif factor == 1.0:
            yield [_box(Region.from_json(one)) for one in json.loads(json_line(result))["regions"]]
        else:
            mask = decision.above(result.anomaly_map, factor * model.thresholds.map_reject)
            rules = model.bundle.manifest.regions
            height, width = image.shape[:2]
            yield [_box(one) for one in find_regions(result.anomaly_map, mask, height, width, rules)]


def _box(region: Region) -> Box:
    return region.x, region.y, region.x + region.width, region.y + region.height


def false_rejects(model: Model, root: Path, rows: list[dict[str, str]], each: int) -> str:
    """How many fresh simulated inspections of good references are rejected."""
    verdicts = []
    for number, row in enumerate(rows):
        reference = imaging.read(root / row["reference"]).pixels
        for count in range(each):
            seen = inspection(reference, np.random.default_rng([number, count, 1]))  # not the seeds of training
            verdicts.append(model.inspect(seen, reference=reference).verdict)
    rejected, refused = verdicts.count(Verdict.NG), verdicts.count(Verdict.ERROR)
    return f"{rejected} rejected ({rejected / len(verdicts):.1%}), {refused} not aligned of {len(verdicts)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--boards", help="only these, separated by commas")
    parser.add_argument("--every", type=int, default=1, help="only every n-th pair")
    parser.add_argument("--method", choices=("tolerance", "changechip"), default="tolerance")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--set", action="append", default=[], help="a setting of the training, KEY=VALUE")
    parser.add_argument("--predictions", type=Path, help="write the boxes of the pairs as given as CSV")
    parser.add_argument("--curve", action="store_true", help="other thresholds too")
    options = parser.parse_args()
    with (options.dataset / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    settings = [f"options.method={options.method}", f"training.seed={options.seed}", *options.set]
    with tempfile.TemporaryDirectory() as folder:
        model = trained(options.dataset, rows, Path(folder), *settings)
        chosen = [row for row in rows if not options.boards or row["board"] in options.boards.split(",")]
        tested = chosen[:: options.every]
        lines = measured(model, options.dataset, tested, CURVE if options.curve else (1.0,))
        print(*model.bundle.manifest.calibration.statement, sep="\n")
        known, unknown = taught(rows), [row for row in tested if row not in taught(rows)]
        print("fresh simulated inspections of its references:", false_rejects(model, options.dataset, known, 10))
        print("of references it has not seen:", false_rejects(model, options.dataset, unknown, 1))
    if options.predictions:
        options.predictions.write_text("\n".join(lines) + "\n")


def measured(model: Model, root: Path, tested: list[dict[str, str]], factors: tuple[float, ...]) -> list[str]:
    """Print how well the defects of these pairs are found; lines of a table of the boxes of the pairs as given."""
    truth = read_boxes(root / "boxes.csv")
    tallies: dict[str, Tally] = defaultdict(Tally)
    by_board: dict[tuple[str, float], dict[str, list[Tally]]] = defaultdict(lambda: defaultdict(list))
    refused: list[str] = []
    lines = ["image,x1,y1,x2,y2"]
    for number, row in enumerate(tested):
        image, reference = (imaging.read(root / row[key]).pixels for key in ("image", "reference"))
        golden = {"as given": reference, "disturbed": disturbed(reference, np.random.default_rng(number))}
        for name, one in golden.items():
            tallies[f"{name:<10} absolute difference"].add(baseline(image, one), truth[row["image"]])
            result = model.inspect(image, reference=one)
            refused += [f"{row['image']} {name}: {result.error}"] if result.score is None else []
            for factor, boxes in zip(factors, predicted(result, model, image, factors), strict=True):
                tallies[f"{name:<10} change x {factor:<4}        "].add(boxes, truth[row["image"]])
                by_board[name, factor][row["board"]].append(Tally())
                by_board[name, factor][row["board"]][-1].add(boxes, truth[row["image"]])
                if (name, factor) == ("as given", 1.0):
                    lines += [",".join([row["image"], *map(str, box)]) for box in boxes]
    print(f"{len(tested)} pairs; map threshold {model.thresholds.map_reject:.3f}; refused: {len(refused)}")
    print(*refused, sep="\n")
    for key, tally in sorted(tallies.items()):
        print(key, tally)
    for (name, factor), boards in by_board.items():
        print(f"{name} x {factor}:", others(boards))
    return lines


if __name__ == "__main__":
    main()
