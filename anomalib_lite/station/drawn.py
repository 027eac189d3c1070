"""The region of interest as people draw it: polygons and strokes of a brush, and the mask that they make together.

A pixel is inside a shape where its middle is: as a browser fills it, so that what is saved is what was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.station.results import number

WIDEST = 500.0  # pixels, the radius of a brush
FAR = 1e5  # pixels; no coordinate is farther from 0
EXPECTED = "a shape has 'inspect' (true or false), 'radius' (of a brush, 0 of a polygon) and 'points' ([x, y], ...)"

Spans = tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]  # rows, and from where to where in each
Point = tuple[float, float]  # (x, y) in pixels of the image, whose corners are (0, 0) and (W, H)


@dataclass(frozen=True, slots=True)
class Shape:
    """A polygon, or a stroke of a round brush; later ones lie over earlier ones."""

    inspect: bool  # or left out
    radius: float  # of the brush, pixels; 0 of a polygon
    points: tuple[Point, ...]

    @classmethod
    def of(cls, given: Any) -> Shape:
        """One that a browser sent.

        Raises:
            ConfigError: It is none.
        """
        if not isinstance(given, dict) or set(given) != {"inspect", "radius", "points"}:
            raise ConfigError(f"{EXPECTED}.")
        points = given["points"] if isinstance(given["points"], list) else []
        found = tuple((number(one[0]), number(one[1])) for one in points if isinstance(one, list) and len(one) == 2)
        known = tuple((x, y) for x, y in found if x is not None and y is not None and max(abs(x), abs(y)) <= FAR)
        radius = number(given["radius"])
        if len(known) != len(points) or radius is None or not 0 <= radius <= WIDEST:
            raise ConfigError(f"{EXPECTED}, at most {FAR:,.0f} from 0, and a radius of at most {WIDEST:g}.")
        if not isinstance(given["inspect"], bool) or len(known) < (1 if radius else 3):
            raise ConfigError(f"{EXPECTED}: 3 of a polygon at least.")
        return cls(given["inspect"], radius, known)


def drawn(shapes: Sequence[Shape], height: int, width: int) -> NDArray[np.bool_]:
    """What is to be inspected of an image (H, W).

    Where the first shape is to be inspected, nothing else is, but for what others add; where it is left out, all else
    is inspected.

    Raises:
        DataError: Nothing or everything.
    """
    inside = np.full((height, width), not (shapes and shapes[0].inspect))
    for shape in shapes:
        first, covered = (_stroke if shape.radius else _polygon)(shape, height, width)
        inside[first : first + len(covered)][covered] = shape.inspect
    if inside.all() or not inside.any():
        what = "everything" if inside.all() else "nothing"
        raise DataError(f"by this drawing {what} is inspected: draw what is to be inspected, or places to leave out.")
    return inside


def _polygon(shape: Shape, height: int, width: int) -> tuple[int, NDArray[np.bool_]]:
    """The first row of a polygon, and what of the image is within it from there, by the even-odd rule."""
    points = np.array(shape.points)
    first, last = _places(points[:, 1].min(), points[:, 1].max(), height)
    crossed = np.zeros((max(last - first, 0), width + 1), bool)
    for one, other in _edges(shape.points):
        rows, crossings = _crossed(one, other, height)
        crossed[rows - first, np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)] ^= True
    return first, np.logical_xor.accumulate(crossed, axis=1)[:, :width]


def _stroke(shape: Shape, height: int, width: int) -> tuple[int, NDArray[np.bool_]]:
    """The first row of a stroke, and what of the image it covers from there."""
    points, radius = np.array(shape.points), shape.radius
    first, last = _places(points[:, 1].min() - radius, points[:, 1].max() + radius, height)
    steps = np.zeros((max(last - first, 0), width + 1), np.int32)  # where it begins to be covered, less where it ends
    for rows, left, right in _spans(shape, height):
        begin = np.clip(np.ceil(left - 0.5), 0, width).astype(int)
        end = np.clip(np.ceil(right - 0.5), begin, width).astype(int)
        steps[rows - first, begin] += 1
        steps[rows - first, end] -= 1
    return first, np.cumsum(steps, axis=1)[:, :width] > 0


def _spans(shape: Shape, height: int) -> Iterator[Spans]:
    """Rows, and from where to where each is covered: by the discs at the points, and the rectangles between them."""
    radius = shape.radius
    for x, y in shape.points:
        rows = np.arange(*_places(y - radius, y + radius, height))
        half = np.sqrt(np.maximum(radius**2 - (rows + 0.5 - y) ** 2, 0))
        yield rows, x - half, x + half
    for (x, y), (to_x, to_y) in zip(shape.points, shape.points[1:], strict=False):
        length = float(np.hypot(to_x - x, to_y - y))
        if length > 0:
            across, down = radius * (to_y - y) / length, radius * (to_x - x) / length
            corners = ((x - across, y + down), (x + across, y - down), (to_x + across, to_y - down),
                       (to_x - across, to_y + down))  # fmt: skip
            yield _convex(corners, height)


def _convex(corners: Sequence[Point], height: int) -> Spans:
    """Rows, and from where to where each is within a convex polygon."""
    first, last = _places(min(y for _, y in corners), max(y for _, y in corners), height)
    left, right = np.full(max(last - first, 0), np.inf), np.full(max(last - first, 0), -np.inf)
    for one, other in _edges(corners):
        rows, crossings = _crossed(one, other, height)
        left[rows - first] = np.minimum(left[rows - first], crossings)
        right[rows - first] = np.maximum(right[rows - first], crossings)
    return np.arange(first, max(last, first)), left, right


def _edges(points: Sequence[Point]) -> Iterable[tuple[Point, Point]]:
    return zip(points, [*points[1:], points[0]], strict=True)


def _crossed(one: Point, other: Point, height: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The rows whose middle an edge crosses, and at which x."""
    (x, y), (to_x, to_y) = sorted((one, other), key=lambda point: point[1])
    rows = np.arange(*_places(y, to_y, height))
    slope = (to_x - x) / (to_y - y) if len(rows) else 0.0
    return rows, np.asarray(x + (rows + 0.5 - y) * slope, np.float64)


def _places(low: float, high: float, most: int) -> tuple[int, int]:
    """The first of the pixels whose middle lies between two places, and the one behind the last; within an image."""
    return tuple(int(np.clip(np.ceil(place - 0.5), 0, most)) for place in (low, high))  # type: ignore[return-value]
