"""Good images with a defect in them: a kind, a size and a contrast that are known, at a place drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.picture import Pixels
from anomalib_lite.hookspecs import PLANTED

Random: TypeAlias = np.random.Generator
Plane: TypeAlias = NDArray[np.float32]

SMALLEST, LARGEST = 0.015, 0.3  # of the shorter side of the image
FEWEST = 2.0  # pixels, of the smallest
COARSE = 128  # pixels of the longer side of the map of places
TRIES = 8  # places for one defect
VISIBLE = 0.5  # mean change inside, in steps between neighbouring pixels, below which nobody would see it
DARK = 0.35  # level below which what is drawn is bright
LIFT = 0.1  # level that something black counts as where it is made brighter
FAINT, STRONG = 0.15, 0.9  # contrasts of what is drawn: darker or brighter by these shares
BINS = 64


class Defect(NamedTuple):
    """What is planted."""

    kind: str  # of `hookspecs.PLANTED`
    size: float  # pixels of the image
    contrast: float  # share by which it is darker or brighter; of blur, swap and warp, of the whole change

    @property
    def seeds(self) -> tuple[int, int, int]:
        """Numbers that are its own."""
        return PLANTED.index(self.kind), round(1e3 * self.size), round(1e4 * self.contrast)


@dataclass(frozen=True, eq=False)
class Ground:
    """A good image that defects are planted into.

    pixels: (H, W, C) as stored.     black, white: its levels 0 and 1.
    places: (h, w) bool, the same image smaller: where the middle of a defect may be.
    """

    pixels: Pixels
    black: float
    white: float
    places: NDArray[np.bool_]

    @classmethod
    def of(cls, pixels: Pixels, black: float, white: float, allowed: NDArray[np.bool_]) -> Ground:
        """An image and where in it (H, W) is inspected: on the object where it lies before an even background."""
        height, width = pixels.shape[:2]
        scale = min(1.0, COARSE / max(height, width))
        shape = max(1, round(height * scale)), max(1, round(width * scale))
        rows, columns = ((np.arange(n) + 0.5) * of / n for n, of in zip(shape, (height, width), strict=True))
        inside = allowed[np.ix_(rows.astype(int), columns.astype(int))]
        small = _levels(imaging.resize(pixels, *shape), black, white)
        both = inside & _foreground(small)
        return cls(pixels, black, white, both if both.mean() >= 0.01 else inside)

    def with_defect(self, defect: Defect, random: Random) -> Pixels | None:
        """A copy with the defect in it; None where nobody would see it, or it does not fit."""
        height, width = self.pixels.shape[:2]
        candidates = np.flatnonzero(self.places)
        if not len(candidates) or min(height, width) < max(4.0, defect.size):
            return None
        for _ in range(TRIES):
            middle = self._middle(int(random.choice(candidates)), defect.size / 2, random)
            rows, columns = (_window(at, defect.size, of) for at, of in zip(middle, (height, width), strict=True))
            before = _levels(self.pixels[rows, columns], self.black, self.white)
            y, x = np.ogrid[rows, columns]
            spot = Spot(before, y - middle[0], x - middle[1], defect.size / 2, defect.contrast)
            change, cover = CHANGES[defect.kind](spot, self, random)
            after = np.clip(before + cover[..., None] * (change - before), min(0, before.min()), max(1, before.max()))
            if _seen(before, after, cover):
                copy = self.pixels.copy()
                copy[rows, columns] = self._stored(after)
                return copy
        return None

    def nearest(self, middle: tuple[float, float], side: float) -> tuple[float, float]:
        """The place closest to a given one around which a square of this side is inspected, in pixels of the image."""
        scale = [small / of for small, of in zip(self.places.shape, self.pixels.shape, strict=False)]
        radius = max(0, round(side * max(scale) / 2))
        whole = _smoothed(self.places[..., None].astype(np.float32), radius)[..., 0] if radius else self.places
        rows, columns = np.nonzero(whole >= min(1.0, float(whole.max())) - 1e-3)
        y, x = (rows + 0.5) / scale[0], (columns + 0.5) / scale[1]
        index = int(np.hypot(y - middle[0], x - middle[1]).argmin())
        return float(y[index]), float(x[index])

    def _middle(self, place: int, radius: float, random: Random) -> tuple[float, float]:
        """A place of the map in pixels of the image, so that a circle around it does not leave the image."""
        found = []
        for index, of, small in zip(np.unravel_index(place, self.places.shape), self.pixels.shape, self.places.shape,
                                    strict=False):  # fmt: skip
            at = (float(index) + random.random()) * of / small
            found.append(float(np.clip(at, min(radius, of / 2), max(of - radius, of / 2))))
        return found[0], found[1]

    def _stored(self, levels: Plane) -> Pixels:
        """Levels as the image stores them."""
        dtype, values = self.pixels.dtype, self.black + levels * (self.white - self.black)
        if dtype.kind == "f":
            return np.asarray(values, dtype)
        limits = np.iinfo(dtype)
        return np.asarray(np.rint(values).clip(limits.min, limits.max), dtype)


class Spot(NamedTuple):
    """A window of an image around the middle of a defect."""

    before: Plane  # (h, w, C) levels
    y: NDArray[np.float64]  # (h, 1) from the middle, in pixels
    x: NDArray[np.float64]  # (1, w)
    radius: float
    contrast: float

    @property
    def distance(self) -> NDArray[np.float64]:
        """Of each pixel from the middle, (h, w)."""
        return np.asarray(np.hypot(self.y, self.x))

    def darker(self) -> Plane:
        """Everything darker."""
        return np.asarray(self.before * np.float32(1 - self.contrast))

    def brighter(self) -> Plane:
        """Everything brighter by as much, and by something where it is black."""
        return np.asarray(self.before + np.maximum(self.before, LIFT) * np.float32(self.contrast))

    def marked(self) -> Plane:
        """Darker, or brighter where it is dark already."""
        return self.brighter() if float(self.before.mean()) < DARK else self.darker()

    def blob(self, random: Random) -> Plane:
        """(h, w) in [0, 1]: an uneven disc."""
        angle = np.arctan2(self.y, self.x)
        waves = sum(0.08 * np.sin(k * angle + random.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
        return _edge(self.radius * (0.92 + waves) - self.distance)


Change: TypeAlias = Callable[[Spot, Ground, Random], tuple[Plane, Plane]]  # levels after it (h, w, C), coverage (h, w)


def _dark(spot: Spot, _: Ground, random: Random) -> tuple[Plane, Plane]:
    return spot.darker(), spot.blob(random)


def _bright(spot: Spot, _: Ground, random: Random) -> tuple[Plane, Plane]:
    return spot.brighter(), spot.blob(random)


def _scratch(spot: Spot, _: Ground, random: Random) -> tuple[Plane, Plane]:
    """A line as long as the size, slightly bent, a thirtieth of it wide and a pixel at least."""
    angle, bend = random.uniform(0, np.pi), random.uniform(-0.3, 0.3)
    along = spot.x * np.cos(angle) + spot.y * np.sin(angle)
    across = spot.y * np.cos(angle) - spot.x * np.sin(angle) - bend * (along**2 / spot.radius - spot.radius / 3)
    half = max(0.5, spot.radius / 30)
    return spot.marked(), np.minimum(_edge(half - np.abs(across)), _edge(spot.radius - np.abs(along)))


def _ring(spot: Spot, _: Ground, random: Random) -> tuple[Plane, Plane]:
    """The rim of a dried drop, or a mark of pressure: an eighth of the radius wide and a pixel at least."""
    half = max(0.5, spot.radius / 16)
    return spot.marked(), _edge(half - np.abs(spot.distance - (spot.radius - half)))


def _stain(spot: Spot, _: Ground, random: Random) -> tuple[Plane, Plane]:
    """Without an edge: strongest in the middle."""
    return spot.marked(), np.asarray(np.exp(-3 * (spot.distance / spot.radius) ** 2), np.float32)


def _blur(spot: Spot, _: Ground, random: Random) -> tuple[Plane, Plane]:
    smooth = spot.before
    for _again in range(2):
        smooth = _smoothed(smooth, max(1, round(spot.radius / 4)))
    return spot.before + np.float32(spot.contrast) * (smooth - spot.before), spot.blob(random)


def _swap(spot: Spot, ground: Ground, random: Random) -> tuple[Plane, Plane]:
    """What another place of the same image shows, turned upside down, at the level of this one."""
    height, width = spot.before.shape[:2]
    top, left = (int(random.integers(0, of - n + 1)) for n, of in zip((height, width), ground.pixels.shape[:2],
                                                                       strict=True))  # fmt: skip
    other = ground.pixels[top : top + height, left : left + width][::-1]
    moved = _levels(other, ground.black, ground.white)
    moved = moved + spot.before.mean((0, 1)) - moved.mean((0, 1))
    return spot.before + np.float32(spot.contrast) * (moved - spot.before), spot.blob(random)


def _warp(spot: Spot, _: Ground, random: Random) -> tuple[Plane, Plane]:
    """Turned about the middle, by up to a right angle there and nothing at the rim."""
    distance = spot.distance
    turn = spot.contrast * np.pi / 2 * (1 if random.random() < 0.5 else -1)
    angle = turn * np.clip(1 - distance / spot.radius, 0, 1)
    y, x = spot.y * np.cos(angle) + spot.x * np.sin(angle), spot.x * np.cos(angle) - spot.y * np.sin(angle)
    return _sampled(spot.before, y - spot.y.min(), x - spot.x.min()), _edge(spot.radius - distance)


CHANGES: dict[str, Change] = dict(
    zip(PLANTED, (_dark, _bright, _scratch, _blur, _swap, _warp, _ring, _stain), strict=True)
)
WHOLE = ("blur", "swap", "warp")  # whose contrast is a share of the whole change


def contrasts(kind: str) -> tuple[float, float]:
    """The faintest and the strongest of a kind that are planted."""
    return (2 * FAINT, 1.0) if kind in WHOLE else (FAINT, STRONG)


def sizes(pixels: Pixels) -> tuple[float, float]:
    """The smallest and the largest that are planted into an image, in pixels."""
    side = min(pixels.shape[:2])
    low = max(FEWEST, SMALLEST * side)
    return low, max(LARGEST * side, low)


def _levels(pixels: Pixels, black: float, white: float) -> Plane:
    """Pixels as float32, black 0 and white 1."""
    return np.asarray((pixels.astype(np.float32) - np.float32(black)) / np.float32(white - black))


def _edge(inside: NDArray[np.floating]) -> Plane:
    """Coverage of pixels whose distance to an edge is known, positive within it."""
    return np.asarray(np.clip(inside + 0.5, 0, 1), np.float32)


def _window(middle: float, size: float, length: int) -> slice:
    """The pixels of an axis around a defect."""
    return slice(max(0, int(middle - 0.7 * size) - 1), min(length, int(middle + 0.7 * size) + 2))


def _seen(before: Plane, after: Plane, cover: Plane) -> bool:
    """Whether the change stands out from the grain of its surroundings."""
    inside = cover > 0.25
    steps = [float(np.abs(np.diff(before, axis=axis)).mean()) if before.shape[axis] > 1 else 0.0 for axis in (0, 1)]
    grain = max(sum(steps) / 2, 1 / 255)
    return bool(inside.any()) and float(np.abs(after - before)[inside].mean()) > VISIBLE * grain


def _smoothed(levels: Plane, radius: int) -> Plane:
    """Means over squares of 2 x radius + 1 pixels; beyond the edges they are repeated."""
    for axis in (0, 1):
        wide = [(radius + 1, radius) if one == axis else (0, 0) for one in range(3)]
        sums = np.pad(levels, wide, mode="edge").cumsum(axis, dtype=np.float64)
        upper, lower = (
            sums.take(range(2 * radius + 1, sums.shape[axis]), axis),
            sums.take(range(sums.shape[axis] - 2 * radius - 1), axis),
        )
        levels = np.asarray((upper - lower) / (2 * radius + 1), np.float32)
    return levels


def _sampled(levels: Plane, y: NDArray[np.float64], x: NDArray[np.float64]) -> Plane:
    """Levels (h, w, C) at places (h, w) within, linearly interpolated."""
    height, width = levels.shape[:2]
    y, x = y.clip(0, height - 1), x.clip(0, width - 1)
    top, left = np.minimum(y.astype(int), max(height - 2, 0)), np.minimum(x.astype(int), max(width - 2, 0))
    down, right = ((at - start)[..., None].astype(np.float32) for at, start in ((y, top), (x, left)))
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    upper = levels[top, left] * (1 - right) + levels[top, beside] * right
    lower = levels[below, left] * (1 - right) + levels[below, beside] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _foreground(levels: Plane) -> NDArray[np.bool_]:
    """Pixels (h, w) that differ from the rim of the image more than the best split of all such differences (Otsu)."""
    rim = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    distance = np.abs(levels - np.median(rim, axis=0)).max(2)
    counts, edges = np.histogram(distance, BINS)
    level, below = (edges[:-1] + edges[1:]) / 2, counts.cumsum()
    mass, above = (counts * level).cumsum(), counts.sum() - below
    between = (mass * counts.sum() - mass[-1] * below) ** 2 / np.maximum(below * above, 1)
    return np.asarray(distance > edges[1:][np.where(above > 0, between, 0).argmax()])
