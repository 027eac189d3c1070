"""What kinds of difference `change` finds on rendered boards: AUROC of each kind, by the score that `predict` writes.

usage: python tests/benchmarks/change_kinds.py [--designs 2] [--good 30] [--each 14] [--set KEY=VALUE]
           [--kinds assembled,coppery,mixed]

For each design and each kind of board (assembled; tracks on a ground of nearly their colour; components of two
suppliers, mixed at random, one of which the golden render shows) a model learns from good boards beside one golden
render; defective boards of each kind are compared with fresh good ones. Interval: bootstrap over boards. Designs from
100 on take no part in the choice of defaults, which was made on designs 2 and 3.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "data_samples"))
import render_board  # noqa: E402

DRAWS = 1000
FRESH = 1000  # numbers of boards that no model learnt from


def auroc(good: np.ndarray, bad: np.ndarray) -> float:
    return float((bad[:, None] > good).mean() + (bad[:, None] == good).mean() / 2)


def interval(good: np.ndarray, bad: np.ndarray) -> tuple[float, float]:
    random = np.random.default_rng(0)
    drawn = [auroc(random.choice(good, len(good)), random.choice(bad, len(bad))) for _ in range(DRAWS)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def scores(model: Model, design: int, kind: str, defect: str | None, first: int, count: int) -> list[float]:
    """Of boards that could be compared."""
    seen = [render_board.render_assembled(design, first + n, kind, defect) for n in range(count)]
    found = [model.inspect(one) for one in seen]
    refused = [one.error for one in found if one.score is None]
    if refused:
        print(f"design {design}, {kind} {defect or 'good'}: {len(refused)} refused, such as: {refused[0]}")
    return [one.score for one in found if one.score is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", default="2", help="numbers, separated by commas")
    parser.add_argument("--good", type=int, default=30, help="boards to learn from, of each design")
    parser.add_argument("--each", type=int, default=14, help="boards of each kind of difference, of each design")
    parser.add_argument("--kinds", default=",".join(render_board.KINDS), help="of boards, separated by commas")
    parser.add_argument("--set", action="append", default=[], help="a setting of the training, KEY=VALUE")
    options = parser.parse_args()
    good: dict[tuple[str, int], list[float]] = {}
    bad: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for design in map(int, options.designs.split(",")):
        for kind in options.kinds.split(","):
            with tempfile.TemporaryDirectory() as name:
                model = trained(Path(name), design, kind, options.good, options.set)
                good[kind, design] = scores(model, design, kind, None, FRESH, 2 * options.each)
                for number, defect in enumerate(render_board.KINDS[kind], 1):
                    first = FRESH + 1000 * number
                    bad[f"{kind} {defect}"][design] = scores(model, design, kind, defect, first, options.each)
    for name, by_design in bad.items():
        pairs = [(np.array(good[name.split()[0], one]), np.array(found)) for one, found in by_design.items()]
        bounds = [interval(*pair) for pair in pairs]
        told = "; ".join(
            f"{auroc(*pair):.3f} ({low:.3f} to {high:.3f})" for pair, (low, high) in zip(pairs, bounds, strict=True)
        )
        print(f"{name:<26} {np.mean([auroc(*pair) for pair in pairs]):.3f}: {told}")


def trained(folder: Path, design: int, kind: str, count: int, settings: list[str]) -> Model:
    (folder / "good").mkdir()
    Image.fromarray(render_board.render_assembled(design, None, kind)).save(folder / "golden.png")
    for board in range(count):
        Image.fromarray(render_board.render_assembled(design, board, kind)).save(folder / f"good/{board:03}.png")
    out = folder / "model"
    golden = [folder / "golden.png"]
    run_training(Request(detector="change", data=folder / "good", out=out, golden=golden, settings=settings))
    return Model(out)


if __name__ == "__main__":
    main()
