"""Circuit boards as an inspection camera sees them: a golden render of each design, and boards made from it.

Bare ones, of which the samples are; and assembled ones, with components, print and edges that wander, or with tracks on
a ground of nearly their colour, to measure what kinds of difference a comparison finds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]  # (H, W) unless said otherwise
Mask = NDArray[np.bool_]  # (H, W)
Node = tuple[int, int]  # column, row of the routing grid
Point = tuple[float, float]  # x, y in pixels
Pixels = NDArray[np.uint8]

SIZE, PITCH, NODES = 256, 16, 15  # pixels, pixels between tracks, tracks per side
TRACK, PAD, DRILL = 2.6, 6.0, 2.4  # half width and radii in pixels
Colour = NDArray[np.float64]  # (3,)
LAMINATE, MASKED, PLATED = (np.array(c) for c in ([26.0, 66.0, 44.0], [58.0, 132.0, 78.0], [208.0, 180.0, 112.0]))

COPPERY, COPPER = (np.array(c) for c in ([150.0, 106.0, 66.0], [184.0, 134.0, 84.0]))  # ground and track
METAL, PRINT = (np.array(c) for c in ([188.0, 190.0, 186.0], [214.0, 218.0, 206.0]))
BODY, OTHER_BODY = (np.array(c) for c in ([52.0, 50.0, 58.0], [88.0, 38.0, 34.0]))  # of one brightness
SECOND_BODY, SECOND_SHARE = np.array([120.0, 112.0, 96.0]), 0.4  # a second supplier's, and how many are
SCRATCH, WANDER, WAVELENGTH = 16.0, 0.35, 12  # grey levels; pixels


@dataclass(frozen=True)
class Design:
    """Tracks as lists of grid nodes, none of them touching another; a pad at both ends of each."""

    tracks: list[list[Node]]


@dataclass(frozen=True)
class View:
    """Pixel coordinates in the board's own frame, and the light of one photograph."""

    x: Field
    y: Field
    gain: float
    slope: Point  # light gained across the picture, share of the whole

    @classmethod
    def draw(cls, rng: np.random.Generator) -> View:
        """A board on its carrier: within 3 px and a degree of the golden one."""
        dx, dy = rng.uniform(-3.0, 3.0, 2)
        sx, sy = rng.uniform(-0.06, 0.06, 2)
        return cls(*_turned(dx, dy, np.radians(rng.uniform(-1.0, 1.0))), rng.uniform(0.92, 1.08), (sx, sy))

    @classmethod
    def golden(cls) -> View:
        """The reference: straight, evenly lit."""
        return cls(*_turned(0.0, 0.0, 0.0), 1.0, (0.0, 0.0))


def _turned(dx: float, dy: float, angle: float) -> tuple[Field, Field]:
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    middle = (SIZE - 1) / 2
    x, y = x - middle - dx, y - middle - dy
    return np.cos(angle) * x + np.sin(angle) * y + middle, np.cos(angle) * y - np.sin(angle) * x + middle


@dataclass(frozen=True)
class Part:
    """A component with two metal ends, and the mark printed beside it."""

    x: float
    y: float
    body: Colour
    rising: bool = True  # which way the strokes of the mark run

    def drawn(self, colour: Field, view: View) -> Field:
        """A picture (H, W, 3) with it."""
        u, v = view.x - self.x, view.y - self.y
        strokes = np.abs((u - v if self.rising else u + v) % 5.0 - 2.5) / math.sqrt(2) - 0.7
        mark = np.maximum(strokes, np.maximum(np.abs(u), np.abs(v + 10.0)) - 4.5)
        layers = ((mark, PRINT), (np.maximum(np.abs(u) - 8.0, np.abs(v) - 4.0), METAL))
        for distance, own in (*layers, (np.maximum(np.abs(u) - 5.0, np.abs(v) - 4.0), self.body)):
            colour = colour + np.clip(0.5 - distance, 0.0, 1.0)[..., None] * (own - colour)
        return colour


@dataclass(frozen=True)
class Look:
    """What a board is made of beside tracks, pads and holes."""

    ground: Colour
    track: Colour
    parts: tuple[Part, ...] = ()
    scratches: tuple[tuple[Point, Point], ...] = ()
    wander: float = 0.0  # pixels: standard deviation of where an edge of copper lies


BARE = Look(LAMINATE, MASKED)


def route(seed: int) -> Design:
    """A design: tracks that walk over free nodes of the grid, straight where they can."""
    rng = np.random.default_rng([21, seed])
    corners = {(c, r) for c in (0, 1, NODES - 2, NODES - 1) for r in (0, 1, NODES - 2, NODES - 1)}
    taken, tracks = set(corners), []
    for _ in range(60):
        free = [(c, r) for c in range(NODES) for r in range(NODES) if (c, r) not in taken]
        track = _walk(free[rng.integers(len(free))], taken, rng)
        if len(track) >= 4:
            tracks.append(track)
            taken.update(track)
    return Design(tracks)


def _walk(start: Node, taken: set[Node], rng: np.random.Generator) -> list[Node]:
    track, heading = [start], rng.integers(4)
    for _ in range(rng.integers(5, 13)):
        turns = [heading, heading, heading, heading + 1, heading - 1]
        for turn in rng.permutation(turns) % 4:
            step = ((1, 0), (0, 1), (-1, 0), (0, -1))[turn]
            node = (track[-1][0] + step[0], track[-1][1] + step[1])
            if node not in taken and node not in track and min(node) >= 0 and max(node) < NODES:
                track.append(node)
                heading = turn
                break
        else:
            break
    return track


def centre(node: Node) -> Point:
    """Where a node lies, in pixels."""
    return PITCH * (node[0] + 1.0) - 0.5, PITCH * (node[1] + 1.0) - 0.5


def _corners(track: list[Node]) -> list[Point]:
    """The line that a track follows, its corners cut at 45 degrees."""
    points = [centre(track[0])]
    for before, node, after in zip(track, track[1:], track[2:], strict=False):
        (ax, ay), (bx, by), (cx, cy) = centre(before), centre(node), centre(after)
        if (ax + cx, ay + cy) != (2 * bx, 2 * by):
            points += [((ax + bx) / 2, (ay + by) / 2), ((bx + cx) / 2, (by + cy) / 2)]
    return [*points, centre(track[-1])]


def segment(view: View, a: Point, b: Point) -> Field:
    """Distance in pixels to the line from `a` to `b`."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    share = np.clip(((view.x - a[0]) * dx + (view.y - a[1]) * dy) / (dx * dx + dy * dy + 1e-9), 0.0, 1.0)
    return np.hypot(view.x - a[0] - share * dx, view.y - a[1] - share * dy)


def copper(design: Design, view: View, etch: float | Field) -> tuple[Field, Field, Field]:
    """Signed distances, in pixels, to tracks, pads and drilled holes; `etch` widens the copper."""
    tracks = np.full((SIZE, SIZE), np.inf)
    pads, holes = tracks.copy(), tracks.copy()
    for track in design.tracks:
        points = _corners(track)
        for a, b in pairwise(points):
            tracks = np.minimum(tracks, segment(view, a, b) - TRACK - etch)
        for square, end in enumerate((points[0], points[-1])):
            du, dv = np.abs(view.x - end[0]), np.abs(view.y - end[1])
            shape = np.hypot(du, dv) - PAD if square else np.maximum(du, dv) - PAD + 0.5
            pads, holes = np.minimum(pads, shape - etch), np.minimum(holes, np.hypot(du, dv) - DRILL)
    for c, r in ((15.5, 15.5), (239.5, 15.5), (15.5, 239.5), (239.5, 239.5)):  # mounting holes
        ring = np.hypot(view.x - c, view.y - r)
        pads, holes = np.minimum(pads, ring - 9.0), np.minimum(holes, ring - 6.0)
    return tracks, pads, holes


def _photograph(
    tracks: Field, pads: Field, holes: Field, view: View, rng: np.random.Generator, look: Look = BARE
) -> Pixels:
    def cover(distance: Field) -> Field:
        return np.clip(0.5 - distance, 0.0, 1.0)[..., None]

    weave = 1.0 + 0.02 * (np.sin(view.x * 1.7) + np.sin(view.y * 1.7))[..., None]
    colour = look.ground * weave + cover(tracks) * (look.track - look.ground)
    colour += cover(pads) * (PLATED - colour)
    colour += cover(holes) * (np.array([16.0, 18.0, 18.0]) - colour)
    for part in look.parts:
        colour = part.drawn(colour, view)
    for a, b in look.scratches:
        colour += cover(segment(view, a, b) - 0.6) * SCRATCH
    fall = view.gain * (1.0 + view.slope[0] * (view.x / SIZE - 0.5) + view.slope[1] * (view.y / SIZE - 0.5))
    colour = colour * fall[..., None] + rng.normal(0.0, 1.6, (SIZE, SIZE, 1)) + rng.normal(0.0, 0.5, (SIZE, SIZE, 3))
    levels: NDArray[np.uint8] = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
    return levels


def _straight_nodes(track: list[Node]) -> list[Node]:
    """Nodes at which a track neither ends nor turns."""
    triples = zip(track, track[1:], track[2:], strict=False)
    return [b for a, b, c in triples if (a[0] + c[0], a[1] + c[1]) == (2 * b[0], 2 * b[1])]


def _spot(design: Design, rng: np.random.Generator) -> tuple[Point, Point]:
    """A point on a straight track between two nodes, and the unit vector along the track."""
    straight = [_straight_nodes(track) for track in design.tracks]
    pairs = [(a, b) for nodes in straight for a, b in pairwise(nodes) if math.dist(a, b) == 1.0]
    a, b = pairs[rng.integers(len(pairs))]
    (x, y), share = centre(a), PITCH * rng.uniform(0.2, 0.8)
    along = (float(b[0] - a[0]), float(b[1] - a[1]))
    return (x + share * along[0], y + share * along[1]), along


def _frame(view: View, spot: tuple[Point, Point]) -> tuple[Field, Field]:
    """Distances in pixels along and across the track at that spot."""
    (x, y), (ax, ay) = spot
    return (view.x - x) * ax + (view.y - y) * ay, (view.y - y) * ax - (view.x - x) * ay


def missing_copper(tracks: Field, design: Design, view: View, rng: np.random.Generator) -> Field:
    """A bite out of one side of a track."""
    along, across = _frame(view, _spot(design, rng))
    bitten: Field = np.maximum(tracks, 3.4 - np.hypot(along / 1.7, across - rng.choice([-1.0, 1.0]) * TRACK))
    return bitten


def open_(tracks: Field, design: Design, view: View, rng: np.random.Generator) -> Field:
    """A track that is interrupted."""
    along, across = _frame(view, _spot(design, rng))
    return np.maximum(tracks, -np.maximum(np.abs(along) - rng.uniform(4.0, 6.0), np.abs(across) - 2 * TRACK))


def short(tracks: Field, design: Design, view: View, rng: np.random.Generator) -> Field:
    """A bridge of copper from one straight track to the next."""
    owner = {node: k for k, track in enumerate(design.tracks) for node in _straight_nodes(track)}
    pairs = [
        (node, other)
        for node, k in owner.items()
        for other in ((node[0] + 1, node[1]), (node[0], node[1] + 1))
        if owner.get(other, k) != k
    ]
    a, b = pairs[rng.integers(len(pairs))]
    return np.minimum(tracks, segment(view, centre(a), centre(b)) - rng.uniform(1.4, 2.4))


def spur(tracks: Field, design: Design, view: View, rng: np.random.Generator) -> Field:
    """A thorn of copper on the side of a track."""
    along, across = _frame(view, _spot(design, rng))
    across = across * rng.choice([-1.0, 1.0])
    length, half = rng.uniform(7.5, 9.5), rng.uniform(1.4, 2.0)
    grown: Field = np.minimum(tracks, np.maximum(np.abs(along) - half, np.maximum(-across, across - length)))
    return grown


DEFECTS: dict[str, Callable[[Field, Design, View, np.random.Generator], Field]] = {
    "missing_copper": missing_copper,
    "open": open_,
    "short": short,
    "spur": spur,
}


def render_golden(design: int) -> Pixels:
    """The reference picture (256, 256, 3) of a design."""
    view = View.golden()
    return _photograph(*copper(route(design), view, 0.0), view, np.random.default_rng([22, design]))


def render_inspected(design: int, board: int, defect: str | None = None) -> tuple[Pixels, Mask]:
    """A board of that design (256, 256, 3) and where its copper is not as designed (256, 256)."""
    rng = np.random.default_rng([23, board])
    view, plan = View.draw(rng), route(design)
    sound, pads, holes = copper(plan, view, rng.uniform(-0.25, 0.25))
    tracks = DEFECTS[defect](sound, plan, view, np.random.default_rng([24, board])) if defect else sound
    changed = (np.minimum(tracks, pads) < 0.0) != (np.minimum(sound, pads) < 0.0)
    return _photograph(tracks, pads, holes, view, rng), changed


# ---- assembled boards: each kind of difference, one at a time


def assembled(design: int) -> Look:
    """Components and marks on free places of a design."""
    plan, rng = route(design), np.random.default_rng([25, design])
    taken = {node for track in plan.tracks for node in track}
    free = [(c, r) for c in range(2, NODES - 2) for r in range(2, NODES - 2) if (c, r) not in taken]
    chosen: list[Node] = []
    for place in rng.permutation(len(free)):
        if all(abs(free[place][0] - c) > 1 or abs(free[place][1] - r) > 1 for c, r in chosen):
            chosen.append(free[place])
    return Look(LAMINATE, MASKED, tuple(Part(*centre(node), BODY) for node in chosen[:6]), wander=WANDER)


def coppery(design: int) -> Look:
    """Tracks on a ground of nearly their colour."""
    return Look(COPPERY, COPPER, wander=WANDER)


def mixed(look: Look, rng: np.random.Generator) -> Look:
    """Each component of one of two suppliers."""
    second = rng.random(len(look.parts)) < SECOND_SHARE
    bodies = zip(look.parts, second, strict=True)
    return replace(look, parts=tuple(replace(one, body=SECOND_BODY) if other else one for one, other in bodies))


def _one_part(look: Look, rng: np.random.Generator, change: Callable[[Part], Part]) -> Look:
    place = int(rng.integers(len(look.parts)))
    return replace(look, parts=tuple(change(one) if k == place else one for k, one in enumerate(look.parts)))


def displaced(look: Look, rng: np.random.Generator) -> Look:
    """A component that sits 4 to 6 pixels from its place, with its mark."""
    angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(4.0, 6.0)
    return _one_part(
        look, rng, lambda one: replace(one, x=one.x + far * math.cos(angle), y=one.y + far * math.sin(angle))
    )


def recoloured(look: Look, rng: np.random.Generator) -> Look:
    """A component of another colour and the same brightness."""
    return _one_part(look, rng, lambda one: replace(one, body=OTHER_BODY))


def reprinted(look: Look, rng: np.random.Generator) -> Look:
    """A mark whose strokes run the other way: as bright as the right one."""
    return _one_part(look, rng, lambda one: replace(one, rising=not one.rising))


def scratched(look: Look, rng: np.random.Generator) -> Look:
    """A faint line little more than a pixel wide."""
    x, y, angle, far = *rng.uniform(60, SIZE - 60, 2), rng.uniform(0, math.pi), rng.uniform(24, 40)
    return replace(look, scratches=(((x, y), (x + far * math.cos(angle), y + far * math.sin(angle))),))


def burr(tracks: Field, design: Design, view: View, rng: np.random.Generator) -> Field:
    """A short thorn on a track whose edges wander."""
    along, across = _frame(view, _spot(design, rng))
    across, half = across * rng.choice([-1.0, 1.0]), rng.uniform(1.2, 1.8)
    grown: Field = np.minimum(
        tracks, np.maximum(np.abs(along) - half, np.maximum(-across, across - TRACK - rng.uniform(3.0, 4.0)))
    )
    return grown


LOOKS: dict[str, Callable[[Look, np.random.Generator], Look]] = {
    "displaced": displaced,
    "recoloured": recoloured,
    "reprinted": reprinted,
    "scratched": scratched,
}
KINDS = {
    "assembled": (*DEFECTS, "burr", *LOOKS),
    "coppery": ("missing_copper", "open", "short", "spur"),
    "mixed": ("recoloured", "displaced", "reprinted"),
}
"""Kinds of difference of each kind of board."""


def render_assembled(design: int, board: int | None, kind: str = "assembled", defect: str | None = None) -> Pixels:
    """A board of a kind of `KINDS` (256, 256, 3), with one difference of it; the golden one where `board` is None."""
    plan, look = route(design), (coppery if kind == "coppery" else assembled)(design)
    if board is None:
        view = View.golden()
        return _photograph(*copper(plan, view, 0.0), view, np.random.default_rng([26, design]), look)
    rng, own = np.random.default_rng([27, design, board]), np.random.default_rng([28, design, board])
    if kind == "mixed":
        look = mixed(look, np.random.default_rng([29, design, board]))
    view = View.draw(rng)
    etch = rng.normal(0.0, 1.0, (SIZE // WAVELENGTH,) * 2).repeat(WAVELENGTH + 1, 0).repeat(WAVELENGTH + 1, 1)
    etch = rng.uniform(-0.25, 0.25) + look.wander * etch[:SIZE, :SIZE]
    tracks, pads, holes = copper(plan, view, etch)
    if defect in LOOKS:
        look = LOOKS[defect](look, own)
    elif defect:
        tracks = (DEFECTS | {"burr": burr})[defect](tracks, plan, view, own)
    return _photograph(tracks, pads, holes, view, rng, look)
