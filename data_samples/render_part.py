"""A turned metal flange as a camera sees it: shapes as signed distances, light as a formula, defects edit both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]  # (H, W) unless said otherwise
Mask = NDArray[np.bool_]  # (H, W)
Defect = Callable[["Surface", np.random.Generator], Mask]

NOMINAL = 256  # pixels: the image height to which the measures below belong
BORE, BOLT_CIRCLE, BOLT, RING = 36.0, 70.0, 12.0, 96.0  # radii
BOLTS = 6
ROUNDING = 5.0  # width of machined edges, which are deburred; broken ones are sharp
BACKGROUND = np.array([66.0, 69.0, 76.0])


@dataclass(frozen=True)
class Pose:
    """Where the part lies and how it is lit, different in each photograph."""

    x: float  # pixels of shift to the right
    y: float  # pixels of shift downwards
    angle: float  # radians, clockwise
    zoom: float
    light: float  # radians, where the light comes from
    gain: float
    fall: float  # brightness lost from the lit side of the picture to the other, share of the whole
    gloss: float  # how bright the bow tie of light is

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Pose:
        """A part put down by hand: a few degrees, a few pixels, the lamp moved a little."""
        x, y = rng.uniform(-5.0, 5.0, 2)
        angle, zoom = np.radians(rng.uniform(-5.0, 5.0)), rng.uniform(0.985, 1.015)
        light, gain, fall, gloss = rng.uniform([-1.5, 0.72, 0.1, 0.15], [-0.1, 1.16, 0.6, 0.55])
        return cls(x, y, angle, zoom, light, gain, fall, gloss)


@dataclass
class Surface:
    """One part before the camera; defects edit `metal`, `gain` and `tint`."""

    u: Field  # pixels right of the part's centre, in the part's own frame
    v: Field  # pixels below it
    light: float  # radians in the part's frame
    unit: float  # pixels per nominal pixel
    edge: Field  # signed distance to the metal's machined edges in pixels, negative in the metal
    metal: Field  # share of each pixel that is metal
    gain: Field  # brightness of the metal, 1 = plain
    tint: Field  # (H, W, 3) colour of the metal, 1 = neutral


def coverage(distance: Field, width: float = 1.0) -> Field:
    """Share of each pixel inside an edge, given the signed distance and how many pixels the edge is wide; in [0, 1]."""
    share = np.clip(0.5 - distance / width, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share) if width > 1.0 else share


def blob(u: Field, v: Field, radius: float, rng: np.random.Generator, rough: float = 0.2) -> Field:
    """Signed distance to an irregular disc around (0, 0); exact enough near its edge."""
    angle = np.arctan2(v, u)
    waves = [rough / k * rng.uniform(0.4, 1.0) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5, 7)]
    distance: Field = np.hypot(u, v) - radius * (1.0 + np.sum(waves, axis=0))
    return distance


def grain(s: Surface, rng: np.random.Generator) -> Field:
    """Random grains of two pixels, fixed to the part, in [0, 1]: rust and broken metal have no tool marks."""
    table = rng.uniform(0.0, 1.0, (256, 256))
    column, row = (np.floor(c / (2.0 * s.unit)).astype(np.int64) % 256 for c in (s.u, s.v))
    return table[row, column]


def lay_out(height: int, width: int, pose: Pose, part: np.random.Generator) -> Surface:
    """A sound part in its pose. `part` seeds what belongs to the piece: its tool marks and its hue."""
    unit = height / NOMINAL
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x -= (width - 1) / 2 + pose.x * unit
    y -= (height - 1) / 2 + pose.y * unit
    cos, sin = np.cos(pose.angle) / pose.zoom, np.sin(pose.angle) / pose.zoom
    u, v = cos * x + sin * y, cos * y - sin * x
    light = pose.light - pose.angle
    radius, angle = np.hypot(u, v), np.arctan2(v, u)

    gain = 0.75 + pose.gloss * np.exp(-(np.sin(angle - light) ** 2) / 0.3)  # turned metal: a bow tie of light
    gain *= 1.0 - 0.3 * _engraving(radius, u, v, unit)
    gain *= 1.0 + _tool_marks(radius, angle, part)
    edge = BORE * unit - radius
    for k in range(BOLTS):
        turn = 2 * np.pi * k / BOLTS
        hu, hv = u - BOLT_CIRCLE * unit * np.cos(turn), v - BOLT_CIRCLE * unit * np.sin(turn)
        edge = np.maximum(edge, BOLT * unit - np.hypot(hu, hv))
    tint = np.ones((height, width, 3)) * (1.0 + part.uniform(-0.015, 0.015, 3))
    return Surface(u, v, light, unit, edge, coverage(edge, ROUNDING * unit), gain, tint)


def _engraving(radius: Field, u: Field, v: Field, unit: float) -> Field:
    """Ring and index mark cut into the face with a round tool: 1 at the bottom of the cut, 0 outside."""
    ring = np.abs(radius - RING * unit)
    tick = np.hypot(v, np.maximum(np.abs(u - (RING + 14.0) * unit) - 7.0 * unit, 0.0))
    return coverage(np.minimum(ring, tick) - 2.5 * unit, ROUNDING * unit)


def _tool_marks(radius: Field, angle: Field, rng: np.random.Generator) -> Field:
    """What the lathe leaves: rings, and arcs of a dozen pixels; in pixels of the image, whatever its size."""
    rings = rng.normal(0.0, 0.035, int(radius.max()) + 3)
    rings = np.convolve(rings, [0.25, 0.5, 0.25], mode="same")
    arcs = rng.normal(0.0, 0.02, (256, 256))
    row = np.floor(radius).astype(np.int64)
    along = [arcs[(row + i) % 256, np.floor(angle * (row + i) / 12.0).astype(np.int64) % 256] for i in (0, 1)]
    share = radius - row
    return np.interp(radius, np.arange(len(rings)), rings) + (1.0 - share) * along[0] + share * along[1]


def photograph(surface: Surface, pose: Pose, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The surface as 8-bit RGB (H, W, 3): light falling off across the picture, sensor noise."""
    height, width = surface.u.shape
    y, x = np.mgrid[0:height, 0:width] / height - 0.5
    fall = pose.gain * (1.0 + pose.fall * (x * np.cos(pose.light) + y * np.sin(pose.light)))
    metal = 150.0 * surface.gain[..., None] * surface.tint
    inside = surface.metal[..., None]
    colour = fall[..., None] * (inside * metal + (1.0 - inside) * BACKGROUND)
    colour += rng.normal(0.0, 1.3, (height, width, 1)) + rng.normal(0.0, 0.5, (height, width, 3))
    levels: NDArray[np.uint8] = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
    return levels


def _place(rng: np.random.Generator, unit: float) -> tuple[float, float]:
    """A spot on the face, clear of ring, bores and edges."""
    radius = rng.choice([rng.uniform(56.0, 82.0), rng.uniform(106.0, 112.0)])
    turn = 2 * np.pi / BOLTS * (rng.integers(BOLTS) + rng.uniform(0.36, 0.64))
    return radius * unit * np.cos(turn), radius * unit * np.sin(turn)


def pit(s: Surface, rng: np.random.Generator, u: float, v: float, radius: float, shadow: float) -> Mask:
    """A pit of that radius in pixels around (u, v): its far wall faces the light, its near wall does not.

    `shadow` in [0, 1] is how much darker it is than the face on average: 0 for a shallow dimple.
    """
    hollow = blob(s.u - u, s.v - v, radius, rng, rough=0.12)
    slope = ((s.u - u) * np.cos(s.light) + (s.v - v) * np.sin(s.light)) / (np.hypot(s.u - u, s.v - v) + 1e-9)
    s.gain *= 1.0 - coverage(hollow) * (shadow + 0.5 * slope)
    return (hollow < 0.0) & (s.edge < 0.0)


def scratch(s: Surface, rng: np.random.Generator) -> Mask:
    """A bent line across the tool marks, dark with a bright lip."""
    cu, cv = _place(rng, s.unit)
    turn = np.arctan2(cv, cu) + rng.uniform(-0.7, 0.7)
    along = (s.u - cu) * np.cos(turn) + (s.v - cv) * np.sin(turn)
    across = (s.v - cv) * np.cos(turn) - (s.u - cu) * np.sin(turn) + rng.uniform(-0.006, 0.006) * along**2 / s.unit
    half, width = rng.uniform(13.0, 22.0) * s.unit, rng.uniform(1.2, 1.8) * s.unit
    line = np.maximum(np.abs(across) - width, np.abs(along) - half)
    lip = np.maximum(np.abs(across - 1.9 * width) - 0.7 * width, np.abs(along) - half)
    s.gain *= (1.0 - 0.55 * coverage(line)) * (1.0 + 0.4 * coverage(lip))
    both: Field = np.maximum(np.abs(across - 0.8 * width) - 1.8 * width, np.abs(along) - half)
    return (both < 0.0) & (s.edge < 0.0)


def dent(s: Surface, rng: np.random.Generator) -> Mask:
    """A pit pressed into the face."""
    cu, cv = _place(rng, s.unit)
    return pit(s, rng, cu, cv, rng.uniform(4.5, 7.5) * s.unit, shadow=0.25)


def stain(s: Surface, rng: np.random.Generator) -> Mask:
    """Rust where a drop dried: brown and grainy."""
    cu, cv = _place(rng, s.unit)
    drop = blob(s.u - cu, s.v - cv, rng.uniform(8.0, 12.0) * s.unit, rng)
    strength = coverage(drop) * (0.25 + 0.75 * grain(s, rng))
    s.tint *= 1.0 - strength[..., None] * np.array([0.45, 0.7, 0.85])
    return (drop < 0.0) & (s.edge < 0.0)


def chip(s: Surface, rng: np.random.Generator) -> Mask:
    """Metal broken out of the bore, with a grainy fracture."""
    turn, radius = rng.uniform(0, 2 * np.pi), (BORE + 2.0) * s.unit
    bite = blob(s.u - radius * np.cos(turn), s.v - radius * np.sin(turn), rng.uniform(9.0, 12.0) * s.unit, rng, 0.3)
    broken = (bite < 4.0 * s.unit) & (s.metal > 0.1)
    s.gain *= 1.0 + coverage(bite - 4.0 * s.unit) * (0.8 * grain(s, rng) - 0.35)
    s.metal = np.minimum(s.metal, coverage(-bite))
    return broken


def burr(s: Surface, rng: np.random.Generator) -> Mask:
    """Metal that the drill left standing in a bolt hole."""
    turn, side = 2 * np.pi * rng.integers(BOLTS) / BOLTS, rng.uniform(0, 2 * np.pi)
    cu = s.unit * (BOLT_CIRCLE * np.cos(turn) + 0.8 * BOLT * np.cos(side))
    cv = s.unit * (BOLT_CIRCLE * np.sin(turn) + 0.8 * BOLT * np.sin(side))
    flake = blob(s.u - cu, s.v - cv, rng.uniform(6.5, 9.0) * s.unit, rng, 0.3)
    added = (flake < 0.0) & (s.metal < 0.9)
    lit = coverage(flake) * (1.0 - s.metal)
    s.gain = (1.0 - lit) * s.gain + lit * (0.65 + 0.7 * grain(s, rng))
    s.metal = np.maximum(s.metal, coverage(flake))
    return added


DEFECTS: dict[str, Defect] = {"burr": burr, "chip": chip, "dent": dent, "scratch": scratch, "stain": stain}


def render_part(part: int, shot: int, defect: str | None = None) -> tuple[NDArray[np.uint8], Mask]:
    """One photograph (256, 256, 3) of one part, and the mask of its defect (256, 256), empty where it is sound.

    The same part has the same tool marks and the same defect in each of its shots.
    """
    rng = np.random.default_rng([7, part, shot])
    pose = Pose.draw(rng)
    surface = lay_out(NOMINAL, NOMINAL, pose, np.random.default_rng([1, part]))
    mask = DEFECTS[defect](surface, np.random.default_rng([2, part])) if defect else np.zeros(surface.u.shape, np.bool_)
    return photograph(surface, pose, rng), mask


def render_large_part(
    seed: int, height: int = 2048, width: int = 2448, defect_pixels: int = 12
) -> tuple[NDArray[np.uint8], Mask]:
    """A part under a large camera: RGB (height, width, 3) and mask (height, width).

    The one defect is a dimple `defect_pixels` across, half lit and half dark, which a resize to 256 x 256 averages
    away; 0 leaves the part sound. Tool marks keep their size in pixels.
    """
    rng = np.random.default_rng([11, seed])
    pose = Pose.draw(rng)
    surface = lay_out(height, width, pose, np.random.default_rng([12, seed]))
    mask = np.zeros((height, width), np.bool_)
    if defect_pixels:
        where = np.random.default_rng([13, seed])
        mask = pit(surface, where, *_place(where, surface.unit), defect_pixels / 2, shadow=0.0)
    return photograph(surface, pose, rng), mask
