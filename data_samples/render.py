"""Render the pictures of this folder: `python data_samples/render.py [--out DIR]`. The same pictures every time.

`part/` is in the MVTec layout, `board/pairs.csv` names golden and inspected boards. See README.md beside it.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # loaded by its path, as the tests do
    sys.path.insert(0, str(HERE))

import render_board  # noqa: E402
import render_part  # noqa: E402
from render_part import render_large_part  # noqa: E402

__all__ = ["main", "render_all", "render_large_part"]

TRAIN_PARTS, TEST_PARTS, PARTS_PER_DEFECT = 80, 24, 5
DESIGNS, GOOD_BOARDS, BOARDS_PER_DEFECT = 6, 36, 6


def _shots(part: int) -> range:
    """The photographs taken of a part, numbered from 1: one to three of them."""
    return range(1, 2 + int(np.random.default_rng([3, part]).integers(3)))


def _save(path: Path, pixels: NDArray[np.uint8] | NDArray[np.bool_]) -> None:
    """Masks as PNG (0 and 255), photographs as JPEG with full colour resolution."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.dtype == np.bool_:
        Image.fromarray(pixels.astype(np.uint8) * 255).save(path, optimize=True)
    else:
        Image.fromarray(pixels).save(path, quality=90, subsampling=0, optimize=True)


def _part_list() -> Iterator[tuple[str, int, int, str | None]]:
    """Folder, part, shot and defect of every photograph. No part is in two folders."""
    first = 1
    for folder, parts in (("train/good", TRAIN_PARTS), ("test/good", TEST_PARTS)):
        for part in range(first, first + parts):
            yield from ((folder, part, shot, None) for shot in _shots(part))
        first += parts
    for defect in render_part.DEFECTS:
        for part in range(first, first + PARTS_PER_DEFECT):
            yield from ((f"test/{defect}", part, shot, defect) for shot in (1, 2))
        first += PARTS_PER_DEFECT


def _render_parts(out: Path) -> None:
    for folder, part, shot, defect in _part_list():
        pixels, mask = render_part.render_part(part, shot, defect)
        name = f"part{part:03}_{shot}"
        _save(out / folder / f"{name}.jpg", pixels)
        if defect:
            _save(out / "ground_truth" / defect / f"{name}_mask.png", mask)


def _board_list() -> Iterator[tuple[int, str | None, str]]:
    """Number, defect and split of every inspected board; a third of the good ones are for testing."""
    for board in range(1, GOOD_BOARDS + 1):
        yield board, None, "test" if board % 3 == 0 else "train"
    for k, defect in enumerate(render_board.DEFECTS):
        for i in range(BOARDS_PER_DEFECT):
            yield GOOD_BOARDS + k * BOARDS_PER_DEFECT + i + 1, defect, "test"


def _render_boards(out: Path) -> None:
    for design in range(DESIGNS):
        _save(out / f"golden/design{design + 1}.jpg", render_board.render_golden(design))
    with (out / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["image", "reference", "label", "mask", "group", "split"])
        for board, defect, split in _board_list():
            design, name = board % DESIGNS, f"board{board:03}"
            pixels, mask = render_board.render_inspected(design, board, defect)
            image, mask_path = f"inspected/{name}.jpg", f"masks/{name}_mask.png" if defect else ""
            _save(out / image, pixels)
            if defect:
                _save(out / mask_path, mask)
            rows.writerow([image, f"golden/design{design + 1}.jpg", defect or "good", mask_path, name, split])


def render_all(out: Path) -> None:
    """Write `part/` and `board/` into `out`."""
    _render_parts(out / "part")
    _render_boards(out / "board")


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description="Render the sample images.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write part/ and board/ into")
    out: Path = parser.parse_args().out
    render_all(out)
    files = [f for name in ("part", "board") for f in (out / name).rglob("*") if f.is_file()]
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.1f} MB in {out}")


if __name__ == "__main__":
    main()
