"""The pose under which two images correlate best, near one that is known: least squares over the steep pixels.

Baker and Matthews, "Lucas-Kanade 20 years on: a unifying framework", IJCV 2004, inverse compositional; gain and offset
of the light are unknowns too, as in Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation
coefficient maximization", PAMI 2008.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.views import Matrix, corners, opencv, transformed

Floats = NDArray[np.float32]

STEPS = 8
SETTLED_PIXELS = 0.01  # the step that moves no corner further is the last one
ASTRAY_PIXELS = 10.0  # a refinement that moves a corner further has gone astray
SMOOTHING = (5, 5)  # pixels: the Gaussian window that both are blurred with
STEEP = 0.1  # of the mean square of the slopes: a pixel below tells nothing of the place
TOLD = 1e-5  # of what is told of the best known change: a change of which less is told is left alone
MOST = 20_000  # of the steep pixels, evenly over all
ROW = 64  # points that OpenCV is asked for in a row: it takes neither long rows nor many

SIMILARITY = np.zeros((4, 3, 3))  # how a pose may change: scaled, turned, moved
SIMILARITY[0, (0, 1), (0, 1)] = 1
SIMILARITY[1, (0, 1), (1, 0)] = -1, 1
SIMILARITY[(2, 3), (0, 1), 2] = 1
HOMOGRAPHY = np.eye(9)[:8].reshape(8, 3, 3)


def maximised(
    matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8], counted: NDArray[np.uint8], *, rigid: bool
) -> Matrix:
    """The pose that maximises the correlation, near `matrix`; `matrix` itself where there is none.

    Args:
        matrix: The pose so far.
        image: (h, w).
        golden: (h', w').
        counted: (h', w'), above 0 for places of the warped image that have a say, if they are covered.
        rigid: Whether only a similarity is refined, not the whole homography.
    """
    cv2 = opencv()
    covered = cv2.warpPerspective(np.ones_like(image), matrix, golden.shape[::-1], flags=cv2.INTER_NEAREST)
    near = np.ones(SMOOTHING, np.uint8)  # a smoothed pixel that close to what is not seen holds some of it
    counted = cv2.erode(counted * covered, near, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    points, values, slopes = _steep(golden, counted)
    if len(points) < ROW:
        return matrix
    changes, unit = SIMILARITY if rigid else HOMOGRAPHY, _unit(golden.shape)
    effects = _effects(changes, transformed(np.linalg.inv(unit).astype(np.float64), points), unit[0, 0] * slopes)
    seen, found = cv2.GaussianBlur(image.astype(np.float32), SMOOTHING, 0), matrix
    for _ in range(STEPS):
        there = cv2.perspectiveTransform(points.reshape(-1, ROW, 2), np.linalg.inv(found))
        light = cv2.remap(seen, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(-1)
        gain, amounts = _solved(effects, values, light)
        if gain <= 0:  # what is seen explains nothing
            return matrix
        step = np.tensordot(amounts, changes, 1)
        change = unit @ (np.eye(3) + step) @ np.linalg.inv(unit)
        found = change @ found
        if not furthest(found @ np.linalg.inv(matrix), golden.shape) <= ASTRAY_PIXELS:
            return matrix
        if furthest(change, golden.shape) <= SETTLED_PIXELS:
            break
    return found


def furthest(change: Matrix, shape: tuple[int, ...]) -> float:
    """How far a change of the pose moves a corner of a frame (height, width), in pixels."""
    frame = corners(shape)
    return float(np.linalg.norm(transformed(change, frame) - frame, axis=1).max())


def _unit(shape: tuple[int, ...]) -> Matrix:
    """From -1 to 1 along the longer side of a frame (height, width) to pixels."""
    half = (max(shape) - 1) / 2
    return np.array([[half, 0, (shape[1] - 1) / 2], [0, half, (shape[0] - 1) / 2], [0, 0, 1]])


def _steep(golden: NDArray[np.uint8], counted: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    """Places (n, 2) that tell where they are, their values (n,) and slopes (n, 2) in grey per pixel; n of `ROW`."""
    cv2 = opencv()
    smooth = cv2.GaussianBlur(golden.astype(np.float32), SMOOTHING, 0)
    across = np.array([[-0.5, 0, 0.5]], np.float32)
    slopes = [cv2.filter2D(smooth, -1, kernel) for kernel in (across, across.T)]
    energy = slopes[0] ** 2 + slopes[1] ** 2
    places = np.flatnonzero((energy > STEEP * energy.mean()) & (counted > 0))
    places = places[:: len(places) // MOST + 1]
    places = places[: len(places) // ROW * ROW]
    y, x = np.divmod(places, golden.shape[1])
    points = np.stack([x, y], 1).astype(np.float32)
    return points, smooth.reshape(-1)[places], np.stack([one.reshape(-1)[places] for one in slopes], 1)


def _effects(changes: NDArray[np.float64], points: NDArray[np.float64], slopes: Floats) -> Floats:
    """By how much each change of the pose changes the value at each place, (n, k): points (n, 2) in units."""
    moved = np.column_stack([points, np.ones(len(points))]) @ changes.transpose(2, 0, 1).reshape(3, -1)
    x, y, w = moved.reshape(len(points), -1, 3).transpose(2, 0, 1)
    across, down = x - w * points[:, :1], y - w * points[:, 1:]
    return (slopes[:, :1] * across + slopes[:, 1:] * down).astype(np.float32)


def _solved(effects: Floats, values: Floats, seen: Floats) -> tuple[float, NDArray[np.float64]]:
    """Gain of the light, and the amounts (k,) of the changes that make golden values what is seen: least squares."""
    system = np.column_stack([effects, np.ones_like(seen), seen.mean() - seen])
    products = np.asarray(system.T @ system, np.float64)
    scale = np.sqrt(np.maximum(products.diagonal(), 1e-9))
    wanted = np.asarray(system.T @ (values.mean() - values), np.float64) / scale
    solution = np.linalg.lstsq(products / np.outer(scale, scale), wanted, rcond=TOLD)[0] / scale
    return float(solution[-1]), solution[:-2]
