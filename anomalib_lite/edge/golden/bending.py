"""Corrections of a pose by what tiles all over the frame say: of its plane, and a smooth bend of what is not flat.

Tiles that disagree with the others, which a defect or a displaced component fills, have no say, and the bend has too
few degrees of freedom to follow them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.matching import alignment_failed
from anomalib_lite.edge.golden.tiles import Floats, Told, told
from anomalib_lite.edge.golden.views import Matrix, View, opencv, scaling, transformed
from anomalib_lite.edge.golden.warping import Points

CELLS = 1  # of the spline along the shorter side; along the longer one so many for as much of it,
MOST_CELLS = 24  # and no more
STIFF = 2e-6  # weight of the spline's curvature beside the tiles
ROUNDS = 8  # of weighing the tiles anew
TYPICAL = 0.25  # pixels: distance from the others by which a tile loses three quarters of its say, at least
TILES_OF_A_PLANE, TILES_OF_A_BEND = 150, 600  # at most
FEWEST = 12  # tiles that carry a correction
FURTHEST = 0.015  # of the shorter side: how far what is bent may lie from its plane,
FURTHEST_PIXELS = 24.0  # at most
REDUCED = 2.0  # pixels of the image in one of those that its pose was found with: more are refined and checked here
RIGHT_PIXELS = 0.5  # such a pose is right where
NEARLY_ALL = 80  # per cent of the tiles lie as near as that to where it puts them
TURNS = 3  # in which a bend, which is slight, is undone to a fraction of a hundredth pixel
STEP = 8  # pixels between places at which a bend is computed; linear between them


@dataclass(frozen=True, eq=False)
class Bend:
    """A smooth displacement over a frame: what belongs at x lies at x + bend(x) after the pose."""

    control: Floats  # (rows, columns, 2) of a uniform cubic B-spline, x and y in pixels
    shape: tuple[int, ...]  # (height, width) of the frame

    def at(self, points: Points) -> Points:
        """Displacements (n, m, 2) at points (n, m, 2) of the frame; beyond it those of its edge."""
        cv2 = opencv()
        places = cv2.transform(points, scaling(self.shape, self._field.shape)[:2]).astype(np.float32)
        return np.asarray(
            cv2.remap(self._field, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float64
        )

    def to_pose(self, points: Points) -> Points:
        """Where the pose puts what belongs at points (n, m, 2) of the frame."""
        return points + self.at(points)

    def from_image(self, points: Points, homography: Matrix) -> Points:
        """Where in the frame points (n, m, 2) of the image belong."""
        posed = np.asarray(opencv().perspectiveTransform(points, homography))
        found = posed
        for _ in range(TURNS):
            found = posed - self.at(found)
        return found

    @property
    def largest(self) -> float:
        """The longest displacement within the frame, in pixels."""
        return float(np.linalg.norm(self._field, axis=2).max())

    @cached_property
    def _field(self) -> NDArray[np.float32]:
        """Displacements (h', w', 2) of the frame reduced by `STEP`."""
        counts = [max(2, side // STEP) for side in self.shape]
        rows, columns = (
            _spline((np.arange(count) + 0.5) / count, size)
            for count, size in zip(counts, self.control.shape, strict=False)
        )
        return np.asarray(np.einsum("nr,rcd,mc->nmd", rows, self.control, columns, optimize=True), np.float32)


def corrected(image: View, golden: View, homography: Matrix, *, bends: bool) -> tuple[Matrix, Bend | None]:
    """The pose between pixels of the images as tiles at full size correct it, and a bend where `bends`.

    A pose that was found on images of about full size, and is that of a plane, stays as it is.

    Raises:
        ImageError: `alignment_failed`: the tiles are bent further than is allowed, or nobody knows that a pose that was
            found on much smaller images is right.
    """
    factor, shape = 1 / float(golden.scale[0, 0]), golden.pixels.shape[:2]
    if factor <= REDUCED and not bends:
        return homography, None
    furthest = min(FURTHEST_PIXELS, FURTHEST * min(shape)) if bends else 0.0
    reach, most = int(np.ceil(furthest + factor)) + 2, TILES_OF_A_BEND if bends else TILES_OF_A_PLANE
    seen = told(image, golden, homography, reach, most)
    if len(seen.centres) < FEWEST:
        if factor <= REDUCED:
            return homography, None
        raise alignment_failed(f"only {len(seen.centres)} tiles of it were found at full size, needed are {FEWEST}")
    change, away = _plane(seen, shape)
    homography, bend = np.linalg.inv(change) @ homography, None
    if bends:
        left = transformed(np.linalg.inv(change), seen.centres + seen.shifts) - seen.centres
        bend, away = _bent(seen._replace(shifts=left), shape)
        if bend.largest > furthest:
            raise alignment_failed(f"it is bent by {bend.largest:.1f} pixels, and at most {furthest:.1f} are allowed")
    off = float(np.percentile(away, NEARLY_ALL))
    if factor > REDUCED and off > RIGHT_PIXELS:
        raise alignment_failed(
            f"{100 - NEARLY_ALL} % of its places lie {off:.1f} pixels or more from where they belong, allowed are "
            f"{RIGHT_PIXELS}" + ("" if bends else "; if parts bend or stretch, train with options.bend=true")
        )
    return homography / homography[2, 2], bend


def _plane(seen: Told, shape: tuple[int, ...]) -> tuple[Matrix, Floats]:
    """The affine change of the golden frame that most tiles agree on, and how far each is from it, (n,) in pixels."""
    size = max(shape)
    basis = np.column_stack([np.ones(len(seen.centres)), seen.centres / size])
    amounts, away = _agreed(basis, seen, np.zeros((1, 3)))
    change = np.eye(3)
    change[:2, 2] = amounts[0]
    change[:2, :2] += amounts[1:].T / size
    return change, away


def _bent(seen: Told, shape: tuple[int, ...]) -> tuple[Bend, Floats]:
    """The smooth bend that most tiles agree on, and how far each is from it, (n,) in pixels."""
    counts = tuple(min(MOST_CELLS, round(CELLS * side / min(shape))) + 3 for side in shape)
    basis = _basis(seen.centres / (np.array(shape[1::-1]) - 1), counts)
    amounts, away = _agreed(basis, seen, _stiffness(counts))
    return Bend(amounts.reshape(*counts, 2), shape), away


def _agreed(basis: Floats, seen: Told, stiffness: Floats) -> tuple[Floats, Floats]:
    """Amounts (k, 2) of each function of `basis` (n, k) by robust least squares; distances (n,) of the tiles."""
    values, axes = np.linalg.eigh(seen.information)  # (n, 2), (n, 2, 2)
    sharpest = values[:, 1:]
    values = values.clip(0) / (sharpest + np.median(sharpest))  # else a few that are sharp would outweigh all others
    roots = np.sqrt(values)[..., None] * axes.transpose(0, 2, 1)  # rows: what a tile tells
    count, size = basis.shape
    rows = np.einsum("nij,nk->nikj", roots, basis).reshape(count, 2, 2 * size)
    goals = np.einsum("nij,nj->ni", roots, seen.shifts)
    stiff = np.kron(stiffness, np.eye(2)) * np.sqrt(STIFF * values.sum() / max(1, size))
    weights, sharpness = np.ones(count), np.sqrt(values.max(1))
    for step in range(ROUNDS):
        root = np.sqrt(weights)[:, None]
        system = np.vstack([(root[..., None] * rows).reshape(-1, 2 * size), stiff])
        goal = np.concatenate([(root * goals).reshape(-1), np.zeros(len(stiff))])
        amounts = np.linalg.lstsq(system, goal, rcond=1e-6)[0]
        away = np.linalg.norm(rows @ amounts - goals, axis=1) / sharpness
        strict = max(
            TYPICAL, float(np.median(away)), float(away.max()) / 2**step
        )  # little by little: a bend is far off
        weights = 1 / (1 + (away / strict) ** 2) ** 2
    return amounts.reshape(size, 2), np.asarray(away)


def _spline(places: Floats, count: int) -> Floats:
    """Weights (n, count) of the control values of a uniform cubic B-spline at places (n,) from 0 to 1."""
    place = np.clip(places, 0, 1) * (count - 3)
    away = np.abs(place[:, None] - (np.arange(count) - 1))
    inner, outer = 2 / 3 - away**2 + away**3 / 2, (2 - away) ** 3 / 6
    return np.where(away < 1, inner, np.where(away < 2, outer, 0))


def _basis(places: Floats, counts: tuple[int, ...]) -> Floats:
    """Weights (n, rows x columns) of all control values at places (n, 2) x, y from 0 to 1."""
    down, across = _spline(places[:, 1], counts[0]), _spline(places[:, 0], counts[1])
    return np.asarray((down[:, :, None] * across[:, None]).reshape(len(places), -1))


def _stiffness(counts: tuple[int, ...]) -> Floats:
    """Rows that are 0 for control values (rows x columns) that lie in a plane."""
    bends = [np.diff(np.eye(count), 2, axis=0) for count in counts]
    slopes = [np.diff(np.eye(count), axis=0) for count in counts]
    flat = [np.eye(count) for count in counts]
    return np.vstack(
        [np.kron(bends[0], flat[1]), np.kron(flat[0], bends[1]), np.sqrt(2) * np.kron(slopes[0], slopes[1])]
    )
