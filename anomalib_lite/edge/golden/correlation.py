"""Where two images correlate best: the smallest movement that explains an image, and whether another one does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.matching import Pose, alignment_failed
from anomalib_lite.edge.golden.refinement import furthest, maximised
from anomalib_lite.edge.golden.views import Matrix, View, opencv, reduced, scaling

SETTLED_SIDE = 320  # pixels: size at which the place is checked
SETTLED_SHARE = 0.12  # of the side: how far off it is looked for
SETTLED_GAIN = 0.0005  # of the correlation: least that is worth a move
NEAR_GAIN = 0.02  # likewise, of the first look for the smallest movement: a turn blurs all correlations,
CLEAR_GAIN = 0.005  # and of the later ones: what is no better than this explains an image as well
FLAT = 1.0  # standard deviation of grey below which there is nothing to correlate
DISTINCT_PIXELS = 8  # at that size: moved further,
DISTINCT_GAP = 0.02  # the correlation must be lower by as much, where features do not confirm the pose
COARSE_SIDES = (120, 240, 400)  # pixels: sizes at which a pose without features is sought, one after the other


def smallest(image: View, golden: View, shift: float) -> Pose:
    """The similarity nearest to a camera that has not moved under which the images correlate about as well as anywhere.

    A pattern that repeats and stripes that slide along themselves are settled by it.

    Args:
        image: The inspected image.
        golden: The golden image.
        shift: Largest movement, as a share of the longer side.
    """
    matrix = scaling(image.small.shape, golden.small.shape)
    for worth in (NEAR_GAIN, CLEAR_GAIN, CLEAR_GAIN):
        moved = _nearest(matrix, image.small, golden.small, shift, worth)
        if moved is None and worth == CLEAR_GAIN:
            break
        matrix = matrix if moved is None else moved
        turned = coarsely(matrix, image, golden)
        if _explained(turned, image.small, golden.small) > _explained(matrix, image.small, golden.small) + CLEAR_GAIN:
            matrix = turned  # else a defect beside stripes would draw it away
    return Pose(matrix, residual=0.0, inliers=0, rigid=False, doubtful=True)


def by_correlation(first: Matrix, image: View, golden: View) -> Pose:
    """The similarity near `first` under which coarse images correlate best: for parts of hardly any features."""
    moved = settled(first, image.small, golden.small)
    matrix = coarsely(first if moved is None else moved, image, golden)
    if _elsewhere(matrix, image.small, golden.small, DISTINCT_GAP, SETTLED_SHARE) is not None:
        raise alignment_failed("it looks as alike where it is moved along itself, and features do not tell")
    return Pose(matrix, residual=0.0, inliers=0, rigid=True, doubtful=True)


def _explained(matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8]) -> float:
    """Correlation of two images in a pose, over what one covers of the other."""
    cv2 = opencv()
    size = (golden.shape[1], golden.shape[0])
    covered = cv2.warpPerspective(np.ones_like(image), matrix, size, flags=cv2.INTER_NEAREST) > 0
    pair = [one[covered].astype(np.float32) for one in (cv2.warpPerspective(image, matrix, size), golden)]
    first, second = (one - one.mean() if len(one) else one for one in pair)
    return float(first @ second) / max(1.0, float(np.sqrt((first @ first) * (second @ second))))


def rival(pose: Matrix, image: View, golden: View, shift: float) -> Matrix | None:
    """Another similarity, some way off, under which the images correlate as well as under `pose`; None without one."""
    moved = _elsewhere(pose, image.small, golden.small, CLEAR_GAIN, shift)
    if moved is None:
        return None
    other = coarsely(moved, image, golden)
    back = furthest(other @ np.linalg.inv(pose), golden.small.shape) <= DISTINCT_PIXELS
    return None if back else other


def coarsely(matrix: Matrix, image: View, golden: View) -> Matrix:
    """A similarity that maximises the correlation of coarse images, then of finer ones, near `matrix`."""
    for side in COARSE_SIDES:
        small = [reduced(view.small, side) for view in (image, golden)]
        down = [scaling(view.small.shape, one.shape) for view, one in zip((image, golden), small, strict=True)]
        coarse = down[1] @ matrix @ np.linalg.inv(down[0])
        everywhere = np.ones_like(small[1])
        matrix = np.linalg.inv(down[1]) @ maximised(coarse, small[0], small[1], everywhere, rigid=True) @ down[0]
    return matrix


def settled(matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8]) -> Matrix | None:
    """The pose moved to where the images correlate best, or None where it is: features may agree one period off."""
    scores, (row, column), share = _moved_about(matrix, image, golden)
    _, best, _, (best_column, best_row) = opencv().minMaxLoc(scores)
    if best <= scores[row, column] + SETTLED_GAIN:
        return None
    return _shifted(matrix, column - best_column, row - best_row, share)


def _nearest(
    matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8], shift: float, worth: float
) -> Matrix | None:
    """The pose moved to the nearest place that is within `worth` of the best correlation; None where it is there."""
    scores, (row, column), share = _moved_about(matrix, image, golden)
    y, x = np.ogrid[: scores.shape[0], : scores.shape[1]]
    away = np.hypot(y - row, x - column)
    reachable = away <= max(1.0, shift * share * max(golden.shape))
    best = scores[reachable].max()
    if best <= scores[row, column] + worth:
        return None
    good = reachable & (scores >= best - worth)
    place = np.unravel_index(int(np.where(good, away, np.inf).argmin()), scores.shape)
    return _shifted(matrix, column - int(place[1]), row - int(place[0]), share)


def _elsewhere(
    matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8], gap: float, shift: float
) -> Matrix | None:
    """The pose moved some way off, where the images correlate best, if that is less than `gap` worse."""
    scores, (row, column), share = _moved_about(matrix, image, golden)
    y, x = np.ogrid[: scores.shape[0], : scores.shape[1]]
    away = np.hypot(y - row, x - column)
    far = (away > min(DISTINCT_PIXELS, row - 1, column - 1)) & (away <= max(1.0, shift * share * max(golden.shape)))
    if not far.any() or scores[far].max() <= scores[row, column] - gap:
        return None
    place = np.unravel_index(int(np.where(far, scores, -np.inf).argmax()), scores.shape)
    return _shifted(matrix, column - int(place[1]), row - int(place[0]), share)


def _shifted(matrix: Matrix, x: float, y: float, share: float) -> Matrix:
    """The pose moved by so many pixels of an image reduced by `share`."""
    back = np.eye(3)
    back[:2, 2] = x / share, y / share
    return np.asarray(back @ matrix)


def _moved_about(
    matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], tuple[int, int], float]:
    """How well the reduced images correlate when the pose is moved about.

    Returns:
        Correlations, one per move; (row, column) of the pose as it is; pixels there per pixel of `golden`.
    """
    cv2 = opencv()
    height, width = golden.shape
    share = min(1.0, SETTLED_SIDE / float(np.sqrt(height * width)))
    size = (round(width * share), round(height * share))
    warped = cv2.resize(cv2.warpPerspective(image, matrix, (width, height)), size, interpolation=cv2.INTER_AREA)
    target = cv2.resize(golden, size, interpolation=cv2.INTER_AREA)
    y, x = (max(4, round(SETTLED_SHARE * side)) for side in (size[1], size[0]))
    scores = cv2.matchTemplate(warped, target[y:-y, x:-x], cv2.TM_CCOEFF_NORMED)
    if target[y:-y, x:-x].std() < FLAT:  # whose correlation is that of noise
        scores[:] = 0
    return scores, (y, x), share
