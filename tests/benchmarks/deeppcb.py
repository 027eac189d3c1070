"""Change detection on DeepPCB pairs, beside a plain absolute difference.

usage: python tests/benchmarks/deeppcb.py DATASET [--boards group12100,group50600] [--every N] [--curve]
           [--method changechip] [--predictions FILE]

DATASET holds pairs.csv (image, reference, board) and boxes.csv (image, x1, y1, x2, y2), as prepared from Tang et al.,
"Online PCB defect detector on a new PCB defect dataset". Every inspected board there has defects, so the model learns
from the references alone, with simulated inspections; its threshold is the certified one. The score is class-agnostic
F1 at IoU > 0.33, one-to-one. The annotated boxes are wider than what changed: `MARGIN` pixels are added around each
region, chosen, like the defaults of the detector, on the boards group12100 and group50600: the F1 of the other boards
is printed beside it, with a 95 % interval by a bootstrap over their pairs.
"""

from __future__ import annotations

import argparse
import csv
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
from anomalib_lite.edge.regions import find_regions
from anomalib_lite.edge.results import Result
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

MARGIN = 9.0  # pixels
DEVELOPMENT = ("group12100", "group50600")  # boards that chose the defaults
DRAWS = 2000
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
    """Counts of boxes found, invented and missed."""

    def __init__(self) -> None:
        self.found = self.invented = self.missed = 0

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

    @property
    def f1(self) -> float:
        return 2 * self.found / max(1, 2 * self.found + self.invented + self.missed)

    def __str__(self) -> str:
        precision = self.found / max(1, self.found + self.invented)
        recall = self.found / max(1, self.found + self.missed)
        return f"precision {precision:.3f}  recall {recall:.3f}  F1 {self.f1:.3f}"


def others(tallies: dict[str, list[Tally]]) -> str:
    """F1 on the boards that chose nothing, and its interval over pairs that are drawn again."""
    boards = sorted(set(tallies) - set(DEVELOPMENT))
    pairs = np.array([(one.found, one.invented, one.missed) for board in boards for one in tallies[board]])
    if not len(pairs):
        return "no other boards"
    drawn = np.random.default_rng(0).integers(0, len(pairs), (DRAWS, len(pairs)))
    found, invented, missed = np.vstack([pairs.sum(0)[None], pairs[drawn].sum(1)]).T
    f1 = 2 * found / np.maximum(1, 2 * found + invented + missed)
    low, high = np.percentile(f1[1:], [2.5, 97.5])
    told = f"F1 {f1[0]:.3f}, 95 % interval over pairs {low:.3f} to {high:.3f}"
    return f"{len(boards)} boards that chose nothing, {len(pairs)} pairs: {told}"


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


def widened(box: Box, margin: float) -> Box:
    return box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin


def baseline(image: Pixels, reference: Pixels) -> list[Box]:
    """Absolute difference above half of white, opened and dilated."""
    changed = (cv2.absdiff(image[..., 0], reference[..., 0]) > 127).astype(np.uint8)
    opened = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate(opened, np.ones((15, 15), np.uint8)))
    return [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h, _ in boxes[1:]]


def taught(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those whose references the model learns from."""
    return [rows[index] for index in np.unique(np.linspace(0, len(rows) - 1, TAUGHT).round().astype(int))]


def trained(root: Path, rows: list[dict[str, str]], folder: Path, method: str = "tolerance") -> Model:
    """A model that has seen references alone."""
    table = folder / "references.csv"
    table.write_text("image\n" + "".join(f"{(root / row['reference']).absolute()}\n" for row in taught(rows)))
    out = folder / "model"
    settings = [f"options.method={method}", "image.channels=1"]  # grey scans, some of which are stored as colour
    run_training(Request(detector="change", data=table, out=out, simulate=SIMULATED, settings=settings))
    return Model(out)


def predicted(result: Result, model: Model, image: Pixels, factors: Iterable[float]) -> Iterator[list[Box]]:
    """Boxes of the regions at multiples of the certified threshold of the map."""
    for factor in factors:
        if result.anomaly_map is None:
            yield []
            continue
        mask = decision.above(result.anomaly_map, factor * model.thresholds.map_reject)
        found = find_regions(result.anomaly_map, mask, *image.shape[:2])
        yield [(one.x, one.y, one.x + one.width, one.y + one.height) for one in found]


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
    parser.add_argument("--predictions", type=Path, help="write the boxes of the pairs as given, with margin, as CSV")
    parser.add_argument("--curve", action="store_true", help="other thresholds and margins too: for development boards")
    options = parser.parse_args()
    truth = read_boxes(options.dataset / "boxes.csv")
    with (options.dataset / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    factors = (0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7) if options.curve else (1.0,)
    margins = (0.0, 7.0, MARGIN, 11.0) if options.curve else (0.0, MARGIN)
    with tempfile.TemporaryDirectory() as folder:
        model = trained(options.dataset, rows, Path(folder), options.method)
        tested = [row for row in rows if not options.boards or row["board"] in options.boards.split(",")][
            :: options.every
        ]
        tallies: dict[str, Tally] = defaultdict(Tally)
        by_board: dict[str, dict[str, list[Tally]]] = defaultdict(lambda: defaultdict(list))
        refused = 0
        lines = ["image,x1,y1,x2,y2"]
        for number, row in enumerate(tested):
            image, reference = (imaging.read(options.dataset / row[key]).pixels for key in ("image", "reference"))
            golden = {"as given": reference, "disturbed": disturbed(reference, np.random.default_rng(number))}
            for name, one in golden.items():
                tallies[f"{name:<10} absolute difference          "].add(baseline(image, one), truth[row["image"]])
                result = model.inspect(image, reference=one)
                refused += result.score is None
                for factor, boxes in zip(factors, predicted(result, model, image, factors), strict=True):
                    for margin in margins:
                        key = f"{name:<10} change x {factor:<4} margin {margin:<4g}      "
                        found = [widened(box, margin) for box in boxes]
                        tallies[key].add(found, truth[row["image"]])
                        if (factor, margin) == (1.0, MARGIN):
                            by_board[name][row["board"]].append(Tally())
                            by_board[name][row["board"]][-1].add(found, truth[row["image"]])
                        if (name, factor, margin) == ("as given", 1.0, MARGIN):
                            lines += [",".join([row["image"], *map(str, box)]) for box in found]
        print(f"{len(tested)} pairs; map threshold {model.thresholds.map_reject:.3f}; not aligned: {refused}")
        for key, tally in sorted(tallies.items()):
            print(key, tally)
        for name, boards in by_board.items():
            print(f"{name}:", others(boards))
        print(*model.bundle.manifest.calibration.statement, sep="\n")
        known, unknown = taught(rows), [row for row in tested if row not in taught(rows)]
        print("fresh simulated inspections of its references:", false_rejects(model, options.dataset, known, 10))
        print("of references it has not seen:", false_rejects(model, options.dataset, unknown, 1))
    if options.predictions:
        options.predictions.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
