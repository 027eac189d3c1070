"""Warps an inspected image onto the frame of a golden one, to a fraction of a pixel, or says that it could not.

The smallest movement that explains the image is tried first (`correlation.py`); then features give a homography
(`matching.py`), or correlation alone a similarity; correlation refines all of them. A pose is accepted only after
independent checks: enough inliers or a close likeness, no extreme distortion, enough overlap, no more movement than is
known of the camera (`reach.py`), and textured places that look alike all over the overlap. Whatever fails these is an
`ImageError` with the code `alignment_failed`: never a verdict on the part.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.bending import Bend, corrected
from anomalib_lite.edge.golden.correlation import by_correlation, rival, settled, smallest
from anomalib_lite.edge.golden.matching import MIN_SPREAD, Pose, alignment_failed, first_guesses, guided
from anomalib_lite.edge.golden.reach import ANY, Reach
from anomalib_lite.edge.golden.refinement import maximised
from anomalib_lite.edge.golden.views import Matrix, View, corners, opencv, scaling, transformed
from anomalib_lite.edge.golden.warping import warped
from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.errors import ImageError

AREA_RANGE = (0.5, 2.0)
MAX_PERSPECTIVE = 0.25  # change of scale across the image
MIN_OVERLAP = 0.7  # share of the golden frame
LOOKS_ALIKE = 0.5  # local correlation of a place that fits
MIN_ALIKE = 0.6  # share of textured places that must fit
SURELY_ALIKE = 0.95  # likewise, where features do not confirm the pose: one period off reaches 0.91
SLIGHTLY = 0.01  # of that share: a refinement that loses more has gone astray
LEAST_COVERED = 0.25  # share of a place that the image must cover to be compared
STEEP = 24  # change of grey over two pixels that tells where something lies
BORDER = 2  # pixels at the edge of what is covered that are not trusted
SMALLEST = 32  # pixels: least side of an image that can be aligned


@dataclass(frozen=True, eq=False)
class Alignment:
    """An inspected image in the golden frame."""

    pixels: Pixels  # (H, W, C) of the golden frame; 0 where `valid` is False
    valid: NDArray[np.bool_]  # (H, W): covered by the inspected image
    homography: Matrix  # from pixels of the inspected image to those of the golden one, but for `bend`
    residual: float  # median distance of the matches that agree, in pixels of the golden image
    inliers: int  # matches that agree; 0 where the images are equal, or were aligned by correlation alone
    overlap: float  # share of the golden frame that the inspected image covers
    source: tuple[int, int]  # (height, width) of the inspected image
    bend: Bend | None = None  # of what is not flat
    rival: Alignment | None = None  # another one that explains the image as well

    def to_golden(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where in the golden image points (n, 2) x, y of the inspected one belong; in pixels of either."""
        if self.bend is None:
            return transformed(self.homography, points)
        return np.asarray(self.bend.from_image(points[None], self.homography)[0])

    def to_frame(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What is marked of the inspected image, (height, width), in the golden frame, (H, W)."""
        there = None if self.bend is None else self.bend.to_pose
        moved = warped(mask.astype(np.uint8), self.homography, self.valid.shape, there, nearest=True)
        return np.asarray(moved > 0)

    def to_source(self, golden_map: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
        """A map (h, w) of the golden frame at any resolution, as one of the inspected image, (height, width).

        Linear interpolation; `fill` where the golden frame does not reach.
        """
        golden = self.valid.shape
        up = np.linalg.inv(scaling(golden, golden_map.shape))
        if self.bend is None:
            return warped(golden_map, np.linalg.inv(self.homography) @ up, self.source, fill=float(fill))
        straight = partial(self.bend.from_image, homography=self.homography)
        return warped(golden_map, up, self.source, straight, fill=float(fill))


def align(image: View, golden: View, reach: Reach = ANY, *, bends: bool = False) -> Alignment:
    """Warp an inspected image onto the golden frame.

    Args:
        image: The inspected image, of the golden one's dtype and channels, of any size.
        golden: The golden image.
        reach: How far the camera may have moved.
        bends: Whether parts bend, so that no plane explains them.

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
        size = golden.pixels.shape[:2]
        return Alignment(image.pixels.copy(), np.ones(size, bool), np.eye(3), 0.0, 0, 1.0, size)
    first, *others = _homographies(image, golden, reach)
    found = _aligned(image, golden, first, bends=bends)
    for other in others:
        with suppress(ImageError):
            return replace(found, rival=_aligned(image, golden, other, bends=bends))
    return found


def _aligned(image: View, golden: View, pose: tuple[Matrix, float, int], *, bends: bool) -> Alignment:
    """The image in the golden frame; refused where it covers too little of it."""
    homography, bend = corrected(image, golden, pose[0], bends=bends)
    moved, valid = _warped(image.pixels, homography, bend, golden.pixels.shape[:2])
    overlap = float(valid.mean())
    if overlap < MIN_OVERLAP:
        raise alignment_failed(f"the image covers {overlap:.0%} of the golden frame, needed are {MIN_OVERLAP:.0%}")
    return Alignment(moved, valid, homography, *pose[1:], overlap, image.pixels.shape[:2], bend)


def _homographies(image: View, golden: View, reach: Reach) -> list[tuple[Matrix, float, int]]:
    """Homography between pixels of the images, residual in golden pixels, number of inliers; verified.

    The first one counts; a second one explains the image as well.
    """
    pose = smallest(image, golden, reach.shift)
    try:
        found = [(_verified(pose, image, golden, reach), 0.0, 0)]
    except ImageError as error:
        unmoved = pose._replace(matrix=scaling(image.small.shape, golden.small.shape))
        with suppress(ImageError):
            return [(_verified(unmoved, image, golden, reach), 0.0, 0)]
        return [_by_any_means(image, golden, reach, error)]
    other = rival(pose.matrix, image, golden, reach.shift)
    if other is not None:
        with suppress(ImageError):
            found.append((_verified(pose._replace(matrix=other), image, golden, reach), 0.0, 0))
    return found


def _by_any_means(image: View, golden: View, reach: Reach, reason: ImageError) -> tuple[Matrix, float, int]:
    """Likewise, of an image that no small movement explains.

    Raises:
        ImageError: `reason`, or the first one that says more.
    """
    told: ImageError | None = None
    for first in first_guesses(image, golden):
        for found in (_by_features, by_correlation):
            try:
                pose = found(first, image, golden)
                homography = _verified(pose, image, golden, reach)
            except ImageError as error:
                told = told or error
            else:
                return homography, pose.residual * golden.pixels.shape[1] / golden.small.shape[1], pose.inliers
    raise told or reason


def _by_features(first: Matrix, image: View, golden: View) -> Pose:
    """The pose of matches near where `first` predicts them, in pixels of the small images.

    Where the images correlate better in another place, and features agree on it, that is the place; where they do not,
    the pose is in doubt: stripes slide along themselves.
    """
    pose = guided(first, image, golden)
    moved = settled(pose.matrix, image.small, golden.small)
    if moved is None:
        return pose
    try:
        return guided(moved, image, golden)
    except ImageError:
        return pose._replace(doubtful=True)


def _verified(pose: Pose, image: View, golden: View, reach: Reach) -> Matrix:
    """The refined pose between pixels of the images, which looks alike and sane."""
    up = [scaling(view.small.shape, view.grey.shape) for view in (image, golden)]
    matrix = up[1] @ pose.matrix @ np.linalg.inv(up[0])
    matrix, alike = _refined(matrix, image.grey, golden.grey, rigid=pose.rigid, guessed=pose.inliers == 0)
    least = SURELY_ALIKE if pose.doubtful else MIN_ALIKE
    if alike < least:
        raise alignment_failed(f"only {alike:.0%} of the textured places look alike, needed are {least:.0%}")
    homography = np.linalg.inv(golden.scale) @ matrix @ image.scale
    homography /= homography[2, 2]
    _check_shape(homography, image.pixels.shape[:2])
    if excess := reach.exceeded(homography, image.pixels.shape[:2], golden.pixels.shape[:2]):
        raise alignment_failed(excess)
    return np.asarray(homography, np.float64)


def _refined(
    matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8], *, rigid: bool, guessed: bool
) -> tuple[Matrix, float]:
    """The pose that maximises the correlation of places that look alike already, near `matrix`.

    Defects, and what lies beyond the golden frame, would draw the pose away by up to a pixel.

    Returns:
        The pose; the share of textured places that look alike under it: a pose off by one period of a pattern does not
        look alike nearly everywhere.
    """
    correlation, textured, side = _likeness(matrix, image, golden)
    square = np.ones((side // 2 | 1,) * 2, np.uint8)
    fits = correlation > LOOKS_ALIKE
    alike = float(fits[textured].mean()) if textured.any() else 0.0
    rigid = rigid or (guessed and not _carries_tilt(golden, textured & fits))  # no feature tells of tilt and shear
    moved = maximised(matrix, image, golden, opencv().erode(fits.astype(np.uint8), square), rigid=rigid)
    correlation, textured, _ = _likeness(moved, image, golden)
    better = float((correlation[textured] > LOOKS_ALIKE).mean()) if textured.any() else 0.0
    return (moved, better) if better >= alike - SLIGHTLY else (matrix, alike)


def _carries_tilt(golden: NDArray[np.uint8], counted: NDArray[np.bool_]) -> bool:
    """Whether edges of both directions lie all over the frame: else tilt and shear would be guessed."""
    cv2 = opencv()
    for across, down in ((1, 0), (0, 1)):
        steep = counted & (np.abs(cv2.Sobel(golden, cv2.CV_16S, across, down, ksize=1)) > STEEP)
        spread = [
            np.percentile(np.repeat(np.arange(n), steep.sum(1 - axis)), (5, 95)) / n if steep.any() else (0, 0)
            for axis, n in enumerate(steep.shape)
        ]
        if min(high - low for low, high in spread) < MIN_SPREAD:
            return False
    return True


def _likeness(
    matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """How alike each place looks in this pose, and where there is something to compare.

    Returns:
        Correlation (h', w') in [-1, 1] within what the image covers of a square around each pixel, 0 where that is too
        little; where the golden image has texture and is covered; the side of the square in pixels.
    """
    cv2 = opencv()
    height, width = golden.shape
    covered = cv2.warpPerspective(np.ones_like(image), matrix, (width, height), flags=cv2.INTER_NEAREST)
    inside = covered.astype(np.float32)
    warped = cv2.warpPerspective(image, matrix, (width, height)).astype(np.float32) * inside
    target, side = golden.astype(np.float32) * inside, max(9, min(height, width) // 24) | 1
    share = np.maximum(cv2.boxFilter(inside, -1, (side, side)), 1e-6)
    means = [cv2.boxFilter(one, -1, (side, side)) / share for one in (warped, target)]
    products = [
        cv2.boxFilter(a * b, -1, (side, side)) / share
        for a, b in ((warped, warped), (target, target), (warped, target))
    ]
    own, other = products[0] - means[0] ** 2, products[1] - means[1] ** 2
    correlation = (products[2] - means[0] * means[1]) / np.sqrt(np.maximum(own * other, 1.0))
    compared = (covered > 0) & (share >= LEAST_COVERED)
    return np.where(compared, correlation, 0), compared & (other > 0.1 * float(other.mean())), side


def _check_shape(matrix: Matrix, shape: tuple[int, ...]) -> None:
    """Raise unless the homography keeps the image's orientation, about its size, and its rectangle convex."""
    frame = transformed(matrix, corners(shape))
    sides = np.roll(frame, -1, axis=0) - frame
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]  # > 0: all corners turn the same way, not mirrored
    area = turns / ((shape[0] - 1) * (shape[1] - 1))  # that of the parallelogram at each corner, relative
    low, high = AREA_RANGE
    if not (np.isfinite(frame).all() and low <= area.mean() <= high):
        raise alignment_failed(f"the image would be enlarged by {area.mean():.2f} in area, expected {low} to {high}")
    if area.max() - area.min() > 2 * MAX_PERSPECTIVE * area.mean() or area.min() <= 0:
        raise alignment_failed("the image would be folded or strongly tilted")


def _warped(
    pixels: Pixels, matrix: Matrix, bend: Bend | None, shape: tuple[int, ...]
) -> tuple[Pixels, NDArray[np.bool_]]:
    """The image on a frame of (height, width), linearly interpolated, and what of the frame it covers with a margin."""
    there = None if bend is None else bend.to_pose
    moved = warped(pixels, matrix, shape, there)
    inside = warped(np.ones(pixels.shape[:2], np.uint8), matrix, shape, there, nearest=True)
    if bend is not None or not np.array_equal(matrix, np.eye(3)):
        border = np.ones((2 * BORDER + 1, 2 * BORDER + 1), np.uint8)
        inside = opencv().erode(inside, border, borderType=opencv().BORDER_CONSTANT, borderValue=1)
    valid = inside > 0
    moved[~valid] = 0
    return moved, valid
