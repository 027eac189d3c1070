"""What `options.bend` brings on boards that warp, and whether it explains a defect away.

usage: python tests/benchmarks/change_bent.py [--design 2] [--good 20] [--each 12] [--pixels 3]

Rendered assembled boards, flat and bent at random: a cubic displacement of at most --pixels of 256. On each of the two,
a model without and one with `options.bend` learns from good boards beside one golden render. Told are the highest
values of the map on fresh good boards, in units of the threshold, and the AUROC of each kind of difference.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from change_kinds import FRESH, auroc
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "data_samples"))
import render_board  # noqa: E402

KIND = "assembled"


def lifted(image: NDArray[np.uint8], pixels: float, seed: int) -> NDArray[np.uint8]:
    """The image (H, W, 3) bent by at most so many pixels, beyond any plane; another one for every seed."""
    if not pixels:
        return image
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    plane = np.stack([np.ones(x.size), x.ravel(), y.ravel()], 1)
    terms = np.stack([one.ravel() for one in (x * x, y * y, x * y, x**3, y**3, x * x * y)], 1)
    terms -= plane @ np.linalg.lstsq(plane, terms, rcond=None)[0]
    moved = (terms @ np.random.default_rng(seed).normal(0, 1, (6, 2))).reshape(height, width, 2)
    moved *= pixels / np.linalg.norm(moved, axis=2).max()
    rows, columns = np.indices((height, width))
    places = np.stack([columns, rows], 2) + moved
    return np.asarray(cv2.remap(image, places.astype(np.float32), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))


def boards(design: int, first: int, count: int, pixels: float, defect: str | None = None) -> list[NDArray[np.uint8]]:
    numbers = range(first, first + count)
    return [lifted(render_board.render_assembled(design, one, KIND, defect), pixels, one) for one in numbers]


def trained(folder: Path, design: int, count: int, pixels: float, bend: bool) -> Model:
    (folder / "good").mkdir(parents=True)
    golden = folder / "golden.png"
    Image.fromarray(render_board.render_assembled(design, None, KIND)).save(golden)
    for number, board in enumerate(boards(design, 0, count, pixels)):
        Image.fromarray(board).save(folder / f"good/{number:03}.png")
    settings = [f"options.bend={str(bend).lower()}"]
    out = folder / "model"
    run_training(Request(detector="change", data=folder / "good", out=out, golden=[golden], settings=settings))
    return Model(out)


def scores(model: Model, seen: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Of the boards that could be compared, in units of the threshold."""
    found = [model.inspect(one).score for one in seen]
    if refused := sum(one is None for one in found):
        print(f"  {refused} of {len(found)} refused")
    return np.array([one for one in found if one is not None]) / model.thresholds.reject


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", type=int, default=2)
    parser.add_argument("--good", type=int, default=20, help="boards to learn from")
    parser.add_argument("--each", type=int, default=12, help="boards of each kind of difference")
    parser.add_argument("--pixels", type=float, default=3.0, help="highest displacement of bent boards")
    options = parser.parse_args()
    for pixels in (0.0, options.pixels):
        for bend in (False, True):
            with tempfile.TemporaryDirectory() as name:
                model = trained(Path(name), options.design, options.good, pixels, bend)
                print(f"bent by {pixels:g} pixels, options.bend={str(bend).lower()}", flush=True)
                good = scores(model, boards(options.design, FRESH, 2 * options.each, pixels))
                raw = good * model.thresholds.reject
                print(f"  good: median score {np.median(raw):.2f}, highest {raw.max():.2f}, {(good > 1).mean():.0%} NG")
                for number, defect in enumerate(render_board.KINDS[KIND], 1):
                    first = FRESH + 1000 * number
                    bad = scores(model, boards(options.design, first, options.each, pixels, defect))
                    print(f"  {defect:<18} AUROC {auroc(good, bad):.3f}, {(bad > 1).mean():.0%} NG", flush=True)


if __name__ == "__main__":
    main()
