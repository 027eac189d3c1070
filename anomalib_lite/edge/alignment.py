"""Warps an inspected image onto the frame of a golden one, to a fraction of a pixel, or says that it could not.

Features give a homography (`matching.py`), or correlation alone a similarity; correlation refines it (ECC), and it is
accepted only after independent checks: enough inliers or a close likeness, no extreme distortion, enough overlap, and
textured places that look alike all over the overlap. Whatever fails these is an `ImageError` with the code
`alignment_failed`: never a verdict on the part.

Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization", PAMI 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.matching import Pose, alignment_failed, first_guesses, guided
from anomalib_lite.edge.views import Matrix, Pixels, View, opencv, reduced, scaling, transformed
from anomalib_lite.errors import ImageError

AREA_RANGE = (0.5, 2.0)
MAX_PERSPECTIVE = 0.25  # change of scale across the image
MIN_OVERLAP = 0.7  # share of the golden frame
ECC_STEPS = 8
ECC_EPSILON = 1e-3
ECC_PIXELS = 10.0  # a refinement that moves a corner further has gone astray
SETTLED_SIDE = 320  # pixels: size at which the place is checked
SETTLED_SHARE = 0.12  # of the side: how far off it is looked for
SETTLED_GAIN = 0.0005  # of the correlation: least that is worth a move
LOOKS_ALIKE = 0.5  # local correlation of a place that fits
MIN_ALIKE = 0.6  # share of textured places that must fit
SURELY_ALIKE = 0.8  # likewise, where too few features confirm the pose
COARSE_SIDES = (120, 240)  # pixels: sizes at which a pose without features is sought, one after the other
BORDER = 2  # pixels at the edge of what is covered that are not trusted
SMALLEST = 32  # pixels: least side of an image that can be aligned


@dataclass(frozen=True, eq=False)
class Alignment:
    """An inspected image in the golden frame."""

    pixels: Pixels  # (H, W, C) of the golden frame; 0 where `valid` is False
    valid: NDArray[np.bool_]  # (H, W): covered by the inspected image
    homography: Matrix  # from pixels of the inspected image to those of the golden one
    residual: float  # median distance of the matches that agree, in pixels of the golden image
    inliers: int  # matches that agree; 0 where the images are equal, or were aligned by correlation alone
    overlap: float  # share of the golden frame that the inspected image covers
    source: tuple[int, int]  # (height, width) of the inspected image

    def to_source(self, golden_map: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
        """A map (h, w) of the golden frame at any resolution, as one of the inspected image, (height, width).

        Linear interpolation; `fill` where the golden frame does not reach.
        """
        cv2 = opencv()
        golden = self.valid.shape
        matrix = np.linalg.inv(self.homography) @ np.linalg.inv(scaling(golden, golden_map.shape))
        size = (self.source[1], self.source[0])
        return np.asarray(
            cv2.warpPerspective(golden_map, matrix, size, flags=cv2.INTER_LINEAR, borderValue=float(fill)), np.float32
        )


def align(image: View, golden: View) -> Alignment:
    """Warp an inspected image onto the golden frame.

    Args:
        image: The inspected image, of the golden one's dtype and channels, of any size.
        golden: The golden image.

    Returns:
        The image in the golden frame, at the golden resolution.

    Raises:
        ImageError: `alignment_failed`: there is no alignment that passes every check.
        MissingExtra: OpenCV is not installed.
    """
    for name, view in (("image", image), ("golden image", golden)):
        if min(view.pixels.shape[:2]) < SMALLEST:
            raise alignment_failed(f"the {name} is smaller than {SMALLEST} pixels")
    if image.pixels.shape == golden.pixels.shape and np.array_equal(image.pixels, golden.pixels):
        homography, residual, inliers = np.eye(3), 0.0, 0
    else:
        homography, residual, inliers = _homography(image, golden)
    warped, valid = _warped(image.pixels, homography, golden.pixels.shape[:2])
    overlap = float(valid.mean())
    if overlap < MIN_OVERLAP:
        raise alignment_failed(f"the image covers {overlap:.0%} of the golden frame, needed are {MIN_OVERLAP:.0%}")
    return Alignment(warped, valid, homography, residual, inliers, overlap, image.pixels.shape[:2])


def _homography(image: View, golden: View) -> tuple[Matrix, float, int]:
    """Homography between pixels of the images, residual in golden pixels, number of inliers; verified."""
    reason: ImageError | None = None
    for first in first_guesses(image, golden):
        for confirmed, least_alike in ((_by_features, MIN_ALIKE), (_by_correlation, SURELY_ALIKE)):
            try:
                pose = confirmed(first, image, golden)
                homography = _verified(pose, image, golden, least_alike)
            except ImageError as error:
                reason = reason or error
            else:
                return homography, pose.residual * golden.pixels.shape[1] / golden.small.shape[1], pose.inliers
    raise reason or alignment_failed("hardly any features are alike")


def _by_features(first: Matrix, image: View, golden: View) -> Pose:
    """The pose of matches near where `first` predicts them, in pixels of the small images."""
    pose = guided(first, image, golden)
    moved = _settled(pose.matrix, image.small, golden.small)
    return pose if moved is None else guided(moved, image, golden)


def _by_correlation(first: Matrix, image: View, golden: View) -> Pose:
    """The similarity near `first` under which coarse images correlate best: for parts of hardly any features."""
    moved = _settled(first, image.small, golden.small)
    matrix = first if moved is None else moved
    for side in COARSE_SIDES:
        small = [reduced(view.small, side) for view in (image, golden)]
        down = [scaling(view.small.shape, one.shape) for view, one in zip((image, golden), small, strict=True)]
        coarse = down[1] @ matrix @ np.linalg.inv(down[0])
        everywhere = np.ones_like(small[1])
        matrix = np.linalg.inv(down[1]) @ _maximised(coarse, small[0], small[1], everywhere, rigid=True) @ down[0]
    return Pose(matrix, residual=0.0, inliers=0, rigid=True)


def _verified(pose: Pose, image: View, golden: View, least_alike: float) -> Matrix:
    """The refined pose between pixels of the images, which looks alike and sane."""
    up = [scaling(view.small.shape, view.grey.shape) for view in (image, golden)]
    matrix = up[1] @ pose.matrix @ np.linalg.inv(up[0])
    matrix = _refined(matrix, image.grey, golden.grey, rigid=pose.rigid)
    _check_alike(matrix, image.grey, golden.grey, least_alike)
    homography = np.linalg.inv(golden.scale) @ matrix @ image.scale
    homography /= homography[2, 2]
    _check_shape(homography, image.pixels.shape[:2])
    return np.asarray(homography, np.float64)


def _settled(matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8]) -> Matrix | None:
    """The pose moved to where the images correlate best, or None where it is: features may agree one period off."""
    cv2 = opencv()
    height, width = golden.shape
    share = min(1.0, SETTLED_SIDE / max(height, width))
    size = (round(width * share), round(height * share))
    warped = cv2.resize(cv2.warpPerspective(image, matrix, (width, height)), size, interpolation=cv2.INTER_AREA)
    target = cv2.resize(golden, size, interpolation=cv2.INTER_AREA)
    y, x = (max(4, round(SETTLED_SHARE * side)) for side in (size[1], size[0]))
    scores = cv2.matchTemplate(warped, target[y:-y, x:-x], cv2.TM_CCOEFF_NORMED)
    _, best, _, (column, row) = cv2.minMaxLoc(scores)
    if best <= scores[y, x] + SETTLED_GAIN:
        return None
    back = np.eye(3)
    back[:2, 2] = (x - column) / share, (y - row) / share
    return back @ matrix


def _refined(matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8], *, rigid: bool) -> Matrix:
    """The pose that maximises the correlation of places that look alike already, near `matrix`.

    Defects, and what lies beyond the golden frame, would draw the pose away by up to a pixel.
    """
    correlation, _, side = _likeness(matrix, image, golden)
    square = np.ones((side // 2 | 1,) * 2, np.uint8)
    alike = opencv().erode((correlation > LOOKS_ALIKE).astype(np.uint8), square)
    return _maximised(matrix, image, golden, alike, rigid=rigid)


def _maximised(
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
    size = (golden.shape[1], golden.shape[0])
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_STEPS, ECC_EPSILON)
    warped = cv2.warpPerspective(image, matrix, size)
    covered = cv2.warpPerspective(np.ones_like(image), matrix, size, flags=cv2.INTER_NEAREST)
    motion = cv2.MOTION_AFFINE if rigid else cv2.MOTION_HOMOGRAPHY
    start = np.eye(2 if rigid else 3, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(golden, warped, start, motion, criteria, counted * covered, 5)
    except cv2.error:  # it raises where it does not converge
        return matrix
    change = np.linalg.inv(np.vstack([found, [0, 0, 1]]) if rigid else found.astype(np.float64))
    if rigid:
        change = _similarity(change, golden.shape)
    corners = _corners(golden.shape)
    moved = np.linalg.norm(transformed(change, corners) - corners, axis=1).max()
    return np.asarray(change @ matrix) if moved <= ECC_PIXELS else matrix


def _similarity(affine: Matrix, shape: tuple[int, ...]) -> Matrix:
    """The similarity nearest to an affine map that agrees with it at the centre of a frame (height, width)."""
    centre = _corners(shape).mean(0)
    left, scales, right = np.linalg.svd(affine[:2, :2])
    turn = scales.mean() * left @ right
    similarity = np.eye(3)
    similarity[:2, :2] = turn
    similarity[:2, 2] = transformed(affine, centre[None])[0] - turn @ centre
    return similarity


def _likeness(
    matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """How alike each place looks in this pose, and where there is something to compare.

    Returns:
        Correlation (h', w') in [-1, 1] within a square around each pixel, 0 where the image does not cover all of it;
        where the golden image has texture and is covered; the side of the square in pixels.
    """
    cv2 = opencv()
    height, width = golden.shape
    warped = cv2.warpPerspective(image, matrix, (width, height)).astype(np.float32)
    covered = cv2.warpPerspective(np.ones_like(image), matrix, (width, height), flags=cv2.INTER_NEAREST)
    target, side = golden.astype(np.float32), max(9, min(height, width) // 24) | 1
    means = [cv2.boxFilter(one, -1, (side, side)) for one in (warped, target)]
    products = [
        cv2.boxFilter(a * b, -1, (side, side)) for a, b in ((warped, warped), (target, target), (warped, target))
    ]
    own, other = products[0] - means[0] ** 2, products[1] - means[1] ** 2
    correlation = (products[2] - means[0] * means[1]) / np.sqrt(np.maximum(own * other, 1.0))
    covered = cv2.erode(covered, np.ones((side, side), np.uint8)) > 0
    return np.where(covered, correlation, 0), covered & (other > 0.1 * float(other.mean())), side


def _check_alike(matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8], least: float) -> None:
    """Raise unless textured places look alike nearly everywhere: a pose off by one period of a pattern does not."""
    correlation, textured, _ = _likeness(matrix, image, golden)
    alike = float((correlation[textured] > LOOKS_ALIKE).mean()) if textured.any() else 0.0
    if alike < least:
        raise alignment_failed(f"only {alike:.0%} of the textured places look alike, needed are {least:.0%}")


def _check_shape(matrix: Matrix, shape: tuple[int, ...]) -> None:
    """Raise unless the homography keeps the image's orientation, about its size, and its rectangle convex."""
    corners = transformed(matrix, _corners(shape))
    sides = np.roll(corners, -1, axis=0) - corners
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]  # > 0: all corners turn the same way, not mirrored
    area = turns / ((shape[0] - 1) * (shape[1] - 1))  # that of the parallelogram at each corner, relative
    low, high = AREA_RANGE
    if not (np.isfinite(corners).all() and low <= area.mean() <= high):
        raise alignment_failed(f"the image would be enlarged by {area.mean():.2f} in area, expected {low} to {high}")
    if area.max() - area.min() > 2 * MAX_PERSPECTIVE * area.mean() or area.min() <= 0:
        raise alignment_failed("the image would be folded or strongly tilted")


def _warped(pixels: Pixels, matrix: Matrix, shape: tuple[int, ...]) -> tuple[Pixels, NDArray[np.bool_]]:
    """The image on a frame of (height, width), linearly interpolated, and what of the frame it covers with a margin."""
    cv2 = opencv()
    size = (shape[1], shape[0])
    warped = cv2.warpPerspective(pixels, matrix, size, flags=cv2.INTER_LINEAR).reshape(*shape, pixels.shape[2])
    inside = cv2.warpPerspective(np.ones(pixels.shape[:2], np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    if not np.array_equal(matrix, np.eye(3)):
        border = np.ones((2 * BORDER + 1, 2 * BORDER + 1), np.uint8)
        inside = cv2.erode(inside, border, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    valid = inside > 0
    warped[~valid] = 0
    return warped, valid


def _corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Corners (4, 2) of an image, clockwise as seen."""
    bottom, right = shape[0] - 1, shape[1] - 1
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)
