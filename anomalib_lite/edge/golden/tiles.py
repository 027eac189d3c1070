"""Where tiles of the golden image lie in an inspected one, and how surely each tells.

Each tile is looked for near its place at full size. The slopes in it say how much it tells of each
direction: along a straight edge it tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.views import Matrix, View, grey_of, opencv, transformed

Floats = NDArray[np.float64]
Greys = NDArray[np.float32]

SIDE = 96  # pixels: longest side of a tile,
LEAST = 24  # its shortest,
ALONG = 12  # of which at least so many stand along the shorter side of a frame, where that many may
ALIKE = 0.6  # correlation of a tile that was found
SMOOTHING = (5, 5)  # pixels: the Gaussian window that both are blurred with
EDGE = 0.02  # of what is known across an edge: what is known less of is not known
NOISE = 1.0  # square of grey that differs anywhere
AS_GOOD = 0.01  # of the correlation: a place that is worse by less is as good
INNER = slice(2, -2), slice(2, -2)  # of a tile: what nothing beside it was smoothed into
STEPS = 3  # of least squares
FLAT = 1.0  # standard deviation of grey below which a tile has nothing to be found by


class Told(NamedTuple):
    """What tiles tell of where they lie: energy (u - shift)' information (u - shift) of a displacement u."""

    centres: Floats  # (n, 2) x, y in pixels of the golden image
    shifts: Floats  # (n, 2) from where the pose puts them
    information: Floats  # (n, 2, 2)


def told(image: View, golden: View, homography: Matrix, reach: int, most: int) -> Told:
    """Look for at most `most` tiles of the golden image, up to `reach` pixels from where the pose puts them."""
    found = []
    back, (height, width) = np.linalg.inv(homography), image.pixels.shape[:2]
    for centre, side in _tiles(golden.pixels.shape[:2], most):
        target = _patch(golden, np.eye(3), centre, side)
        patch = _patch(image, homography, centre, side + 2 * reach)
        if target is None or patch is None or target.std() < FLAT or (place := _found(patch, target)) is None:
            continue
        shift = place[0] - reach
        there = transformed(back, centre + shift + side / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))
        if (there >= -1).all() and (there <= (width, height)).all():
            found.append((centre, shift, place[1]))
    centres, shifts, information = zip(*found, strict=True) if found else ((), (), ())
    return Told(
        np.reshape(centres, (-1, 2)).astype(float), np.reshape(shifts, (-1, 2)), np.reshape(information, (-1, 2, 2))
    )


def _tiles(shape: tuple[int, ...], most: int) -> Iterator[tuple[Floats, int]]:
    """Centres (x, y) and side of square tiles, evenly over a frame (height, width)."""
    side = max(LEAST, min(SIDE, min(shape) // ALONG)) | 1
    counts = [max(2, length // side) for length in shape]
    if (share := most / (counts[0] * counts[1])) < 1:
        short = int(np.argmin(counts))
        counts[short] = max(4, round(counts[short] * np.sqrt(share))) if counts[short] > 4 else counts[short]
        counts[1 - short] = most // counts[short]
    rows, columns = (
        np.linspace(side // 2, length - 1 - side // 2, count) for length, count in zip(shape, counts, strict=True)
    )
    for y in rows.round():
        for x in columns.round():
            yield np.array([x, y]), side


def _patch(view: View, homography: Matrix, centre: Floats, side: int) -> Greys | None:
    """What a view shows around a place of the golden frame, grey, its edge repeated beyond it.

    None where the view is elsewhere.
    """
    start = centre - (side - 1) / 2
    frame = start + np.array([[0, 0], [side, 0], [side, side], [0, side]])
    there = transformed(np.linalg.inv(homography), frame)
    low, high = np.floor(there.min(0)).astype(int) - 1, np.ceil(there.max(0)).astype(int) + 2
    low = low.clip(0)
    cut = view.pixels[low[1] : max(0, high[1]), low[0] : max(0, high[0])]
    if not cut.size:
        return None
    move = np.eye(3), np.eye(3)
    move[0][:2, 2], move[1][:2, 2] = -start, low
    grey = grey_of(np.ascontiguousarray(cut)).astype(np.float32)
    matrix = move[0] @ homography @ move[1]
    return np.asarray(opencv().warpPerspective(grey, matrix, (side, side), borderMode=opencv().BORDER_REPLICATE))


def _found(patch: Greys, target: Greys) -> tuple[Floats, Floats] | None:
    """Where (x, y) the target (s, s) lies in the patch, to a fraction of a pixel, and what it tells of that, (2, 2).

    None where it is not found. Of places that are as good, which an edge has along itself, it is the one in the middle.
    The fraction is found by least squares over the target's own pixels: what stands beside it has no say.
    """
    cv2 = opencv()
    scores = cv2.matchTemplate(patch, target, cv2.TM_CCOEFF_NORMED)
    if (best := float(scores.max())) < ALIKE:
        return None
    middle = (len(scores) - 1) / 2
    y, x = np.indices(scores.shape)
    away = np.where(scores >= best - AS_GOOD, np.hypot(y - middle, x - middle), np.inf)
    place = np.array(np.unravel_index(int(away.argmin()), scores.shape)[::-1])
    wanted = cv2.GaussianBlur(target, SMOOTHING, 0)[INNER]
    slopes = np.stack([slope.reshape(-1) for slope in np.gradient(wanted)[::-1]])
    products = np.asarray(slopes @ slopes.T, np.float64)
    across = np.linalg.pinv(products, rcond=EDGE, hermitian=True)
    for _ in range(STEPS):
        cut = patch[place[1] : place[1] + len(target), place[0] : place[0] + len(target)]
        here, there = (one - one.mean() for one in (cv2.GaussianBlur(cut, SMOOTHING, 0)[INNER], wanted))
        wrong = (here * (float((here * there).sum()) / max(1e-6, float((here * here).sum()))) - there).reshape(-1)
        step = -across @ (slopes @ wrong)
        next_place = (place + step.clip(-1, 1).round().astype(int)).clip(0, len(scores) - 1)
        if (next_place == place).all():
            break
        place = next_place
    return place + step.clip(-1, 1), products / (float(wrong @ wrong) / len(wrong) + NOISE)
