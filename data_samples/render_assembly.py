"""A tray of loose parts as a camera sees it: screws, washers, nuts and labels, each kind in its own compartments.

Parts lie anywhere within their compartment, turned as they fell. What is wrong with a defective tray is the arrangement
of right parts; two kinds of defects of a surface are there to compare. Nothing of it is committed:

    python data_samples/render_assembly.py OUT [--good 240] [--test 40] [--defective 15] [--first 1]

renders it in the MVTec layout, the same pictures every time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float64]  # (H, W) unless said otherwise
Mask = NDArray[np.bool_]  # (H, W)
Pixels = NDArray[np.uint8]  # (H, W, 3)
Colour = tuple[float, float, float]

SIZE = 256
COLUMNS, ROWS, MARGIN = 3, 2, 8  # of compartments; pixels of the tray's rim
TRAY, FLOOR, SHADOW = (58.0, 66.0, 78.0), (84.0, 94.0, 108.0), 0.55
STEEL, BRASS, PAPER, HOLE = (176.0, 180.0, 184.0), (198.0, 162.0, 84.0), (226.0, 224.0, 214.0), (40.0, 42.0, 48.0)
RED, BLUE, GREEN = (188.0, 58.0, 52.0), (52.0, 92.0, 176.0), (70.0, 150.0, 84.0)
CONTENTS = ("screw", "washer washer", "red label", "screw screw", "nut nut nut", "blue label")
"""What belongs into each compartment, row by row."""
RADIUS = {"screw": 24.0, "washer": 12.0, "nut": 10.0, "label": 26.0}  # pixels within which a part lies
CHANGED = 8.0  # grey levels by which a pixel has to differ to belong to a defect


@dataclass(frozen=True)
class Part:
    """A part and where it lies."""

    kind: str  # of `RADIUS`
    x: float  # pixels
    y: float
    angle: float  # radians
    colour: Colour


@dataclass(frozen=True)
class Tray:
    """What lies in each compartment, and how it is photographed."""

    compartments: tuple[tuple[Part, ...], ...]
    x: float  # pixels of shift
    y: float
    turn: float  # radians
    gain: float
    slope: tuple[float, float]  # light gained across the picture, share of the whole
    scratch: tuple[float, float, float] | None = None  # x, y, angle
    stain: tuple[float, float] | None = None


def centre(place: int) -> tuple[float, float]:
    """The middle of a compartment in pixels of the tray."""
    row, column = divmod(place, COLUMNS)
    width, height = (SIZE - 2 * MARGIN) / COLUMNS, (SIZE - 2 * MARGIN) / ROWS
    return MARGIN + width * (column + 0.5), MARGIN + height * (row + 0.5)


def _part(name: str) -> Part:
    """A part of the kind that a word or two name."""
    kind, colour = name.split()[-1], STEEL
    if kind == "label":
        colour = {"red": RED, "blue": BLUE}[name.split()[0]]
    return Part(kind, 0.0, 0.0, 0.0, BRASS if kind == "nut" else colour)


def _named(content: str) -> list[Part]:
    return [_part(content)] if content.endswith("label") else [_part(name) for name in content.split()]


def _laid(parts: list[Part], place: int, rng: np.random.Generator) -> tuple[Part, ...]:
    """Parts at random places of a compartment, none on another."""
    x, y = centre(place)
    laid: list[Part] = []
    for part in sorted(parts, key=lambda one: -RADIUS[one.kind]):
        room = 36.0 - min(RADIUS[part.kind], 30.0), 56.0 - min(RADIUS[part.kind], 50.0)
        angle = rng.uniform(-0.2, 0.2) if part.kind == "label" else rng.uniform(0, 2 * np.pi)
        if part.kind == "screw":
            angle = np.pi / 2 + rng.uniform(-0.35, 0.35)
        spots = [(x + rng.uniform(-room[0], room[0]), y + rng.uniform(-room[1], room[1])) for _ in range(60)]

        def clearance(spot: tuple[float, float], kind: str = part.kind) -> float:
            return min((_gap(kind, spot, one) for one in laid), default=np.inf)

        best = next((spot for spot in spots if clearance(spot) > 0), max(spots, key=clearance))
        laid.append(replace(part, x=best[0], y=best[1], angle=angle))
    return tuple(laid)


def _gap(kind: str, spot: tuple[float, float], other: Part) -> float:
    """Pixels between two parts; screws stand upright, so that they may lie close beside each other."""
    wide = [9.0 if one == "screw" else RADIUS[one] for one in (kind, other.kind)]
    far = abs(spot[0] - other.x) - sum(wide)
    return max(far, abs(spot[1] - other.y) - RADIUS[kind] - RADIUS[other.kind])


def sound(number: int) -> Tray:
    """A tray as it should be."""
    rng = np.random.default_rng([41, number])
    compartments = tuple(_laid(_named(content), place, rng) for place, content in enumerate(CONTENTS))
    x, y, turn = *rng.uniform(-3, 3, 2), np.radians(rng.uniform(-1, 1))
    gain, *slope = rng.uniform(0.9, 1.1), *rng.uniform(-0.08, 0.08, 2)
    return Tray(compartments, x, y, turn, gain, (slope[0], slope[1]))


def _with(tray: Tray, changed: dict[int, tuple[Part, ...]]) -> Tray:
    return replace(tray, compartments=tuple(changed.get(n, one) for n, one in enumerate(tray.compartments)))


def missing(tray: Tray, rng: np.random.Generator) -> Tray:
    """A part is not there."""
    place = int(rng.integers(len(CONTENTS)))
    parts = list(tray.compartments[place])
    parts.pop(int(rng.integers(len(parts))))
    return _with(tray, {place: tuple(parts)})


def double(tray: Tray, rng: np.random.Generator) -> Tray:
    """A part is there once too often."""
    place = int(rng.choice([0, 1, 3, 4]))  # no second label fits
    return _with(tray, {place: _laid([*tray.compartments[place], tray.compartments[place][0]], place, rng)})


def swapped(tray: Tray, rng: np.random.Generator) -> Tray:
    """The contents of two compartments are exchanged."""
    one, other = ((0, 3), (1, 4), (2, 5), (0, 1), (3, 4), (0, 2))[int(rng.integers(6))]
    parts = tray.compartments
    return _with(tray, {one: _laid([*parts[other]], one, rng), other: _laid([*parts[one]], other, rng)})


def wrong_colour(tray: Tray, rng: np.random.Generator) -> Tray:
    """A right part of another colour: a green label, a nut of steel, a washer of brass."""
    place, colour = ((2, GREEN), (5, GREEN), (4, STEEL), (1, BRASS))[int(rng.integers(4))]
    first, *rest = tray.compartments[place]
    return _with(tray, {place: (replace(first, colour=colour), *rest)})


def wrong_place(tray: Tray, rng: np.random.Generator) -> Tray:
    """A part lies in another compartment: the numbers of all parts are right."""
    one, other = ((1, 4), (4, 1), (3, 0), (4, 3), (1, 0), (3, 1))[int(rng.integers(6))]
    moved, *rest = tray.compartments[one]
    return _with(tray, {one: tuple(rest), other: _laid([*tray.compartments[other], moved], other, rng)})


def scratched(tray: Tray, rng: np.random.Generator) -> Tray:
    """A line through paint and whatever lies there."""
    x, y = centre(int(rng.integers(len(CONTENTS))))
    return replace(tray, scratch=(x + rng.uniform(-15, 15), y + rng.uniform(-25, 25), rng.uniform(0, np.pi)))


def stained(tray: Tray, rng: np.random.Generator) -> Tray:
    """A drop of oil."""
    x, y = centre(int(rng.integers(len(CONTENTS))))
    return replace(tray, stain=(x + rng.uniform(-15, 15), y + rng.uniform(-25, 25)))


LOGICAL: dict[str, Callable[[Tray, np.random.Generator], Tray]] = {
    "missing": missing,
    "double": double,
    "swapped": swapped,
    "wrong_colour": wrong_colour,
    "wrong_place": wrong_place,
}
STRUCTURAL = {"scratched": scratched, "stained": stained}


def _cover(distance: Field) -> Field:
    """Share (H, W, 1) of each pixel inside an edge, given the signed distance in pixels."""
    return np.clip(0.5 - distance, 0.0, 1.0)[..., None]


def _shapes(part: Part, u: Field, v: Field) -> list[tuple[Field, Colour]]:
    """Signed distances of what a part is made of, and colours, from the bottom up."""
    radius = np.hypot(u, v)
    if part.kind == "washer":
        return [(radius - 12.0, part.colour), (radius - 5.5, FLOOR)]
    if part.kind == "nut":
        hexagon = np.max([np.abs(np.cos(k * np.pi / 3) * u + np.sin(k * np.pi / 3) * v) for k in range(3)], axis=0)
        return [(hexagon - 9.0, part.colour), (radius - 4.5, HOLE)]
    if part.kind == "screw":
        shaft = np.maximum(np.abs(v) - 3.6 - 0.8 * np.sin(u * 1.9), np.abs(u - 4.0) - 20.0)
        head = np.hypot(u + 18.0, v) - 8.5
        slot = np.maximum(np.abs(u + 18.0) - 1.2, np.abs(v) - 6.0)
        return [(shaft, part.colour), (head, part.colour), (slot, HOLE)]
    lines = np.maximum(np.abs((v - 6.0) % 6.0 - 3.0) - 1.0, np.maximum(np.abs(u) - 20.0, np.abs(v - 9.0) - 9.0))
    band = np.maximum(np.abs(u) - 24.0, np.abs(v + 11.0) - 7.0)
    return [(np.maximum(np.abs(u) - 26.0, np.abs(v) - 22.0), PAPER), (band, part.colour), (lines, HOLE)]


def _drawn(tray: Tray) -> Field:
    """The tray (H, W, 3) before the camera's noise."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64) - (SIZE - 1) / 2
    cos, sin = np.cos(tray.turn), np.sin(tray.turn)
    x, y = x - tray.x, y - tray.y
    x, y = cos * x + sin * y + SIZE / 2, cos * y - sin * x + SIZE / 2
    colour = np.broadcast_to(np.array(TRAY), (SIZE, SIZE, 3)).copy()
    width, height = (SIZE - 2 * MARGIN) / COLUMNS, (SIZE - 2 * MARGIN) / ROWS
    for place in range(len(CONTENTS)):
        left, top = centre(place)
        inside = np.maximum(np.abs(x - left) - width / 2 + 3.0, np.abs(y - top) - height / 2 + 3.0)
        colour += _cover(inside) * (np.array(FLOOR) - colour)
    for part in (one for parts in tray.compartments for one in parts):
        u, v = x - part.x, y - part.y
        u, v = np.cos(part.angle) * u + np.sin(part.angle) * v, np.cos(part.angle) * v - np.sin(part.angle) * u
        shade = 1.0 + 0.12 * np.clip((x - part.x - y + part.y) / 24.0, -1, 1)[..., None]  # lit from the upper right
        outline = np.min([distance for distance, own in _shapes(part, u, v) if own != FLOOR], axis=0)
        colour *= 1.0 - (1.0 - SHADOW) * _cover((outline - 1.5) / 3.0)
        for distance, own in _shapes(part, u, v):
            colour += _cover(distance) * (np.array(own) * shade - colour)
    if tray.stain:
        colour *= 1.0 - 0.28 * _cover((np.hypot(x - tray.stain[0], (y - tray.stain[1]) * 1.3) - 9.0) / 3.0)
    if tray.scratch:
        u, v, angle = x - tray.scratch[0], y - tray.scratch[1], tray.scratch[2]
        line = np.maximum(np.abs(np.cos(angle) * v - np.sin(angle) * u) - 0.9,
                          np.abs(np.cos(angle) * u + np.sin(angle) * v) - 18.0)  # fmt: skip
        colour += _cover(line) * 46.0
    fall = tray.gain * (1.0 + tray.slope[0] * (x / SIZE - 0.5) + tray.slope[1] * (y / SIZE - 0.5))
    lit: Field = colour * fall[..., None]
    return lit


def render_assembly(number: int, defect: str | None = None) -> tuple[Pixels, Mask]:
    """A tray (256, 256, 3), and what of it is not as it should be (256, 256).

    Args:
        number: Seeds where its parts lie, and the photograph.
        defect: Of `LOGICAL` or `STRUCTURAL`; None for a sound one.
    """
    tray = sound(number)
    wrong = (LOGICAL | STRUCTURAL)[defect](tray, np.random.default_rng([42, number])) if defect else tray
    colour, rng = _drawn(wrong), np.random.default_rng([43, number])
    changed = np.abs(colour - _drawn(tray)).max(2) > CHANGED if defect else np.zeros((SIZE, SIZE), bool)
    noise = rng.normal(0.0, 1.8, (SIZE, SIZE, 1)) + rng.normal(0.0, 0.8, (SIZE, SIZE, 3))
    return np.clip(np.round(colour + noise), 0, 255).astype(np.uint8), changed


def render_all(out: Path, good: int, test: int, defective: int, first: int = 1) -> None:
    """Write the MVTec layout: so many good trays to train and to test, and so many of each kind of defect."""
    numbers = {"train/good": good, "test/good": test} | {f"test/{kind}": defective for kind in LOGICAL | STRUCTURAL}
    listed = [folder for folder, number in numbers.items() for _ in range(number)]
    for number, folder in enumerate(listed, first):
        kind = folder.partition("/")[2]
        defect = None if kind == "good" else kind
        pixels, mask = render_assembly(number, defect)
        path = out / folder / f"tray{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        if defect:
            marked = out / "ground_truth" / defect / f"tray{number:04}_mask.png"
            marked.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * 255).save(marked)


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description="Render trays of loose parts.")
    parser.add_argument("out", type=Path, help="folder to write train/, test/ and ground_truth/ into")
    parser.add_argument("--good", type=int, default=240, help="good trays to train")
    parser.add_argument("--test", type=int, default=40, help="good trays to test")
    parser.add_argument("--defective", type=int, default=15, help="trays of each kind of defect")
    parser.add_argument("--first", type=int, default=1, help="number of the first tray: others are other trays")
    given = parser.parse_args()
    render_all(given.out, given.good, given.test, given.defective, given.first)


if __name__ == "__main__":
    main()
