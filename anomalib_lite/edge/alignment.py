"""Warps an inspected image onto the frame of a golden one, to a fraction of a pixel, or says that it could not.

Features (SIFT, else ORB) give a homography (MAGSAC), correlation refines it (ECC), and it is accepted only after
independent checks: enough inliers, no extreme distortion, enough overlap, and textured places that look alike all over
the overlap. Whatever fails these is an `ImageError` with the code `alignment_failed`: never a verdict on the part.

Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004; Barath et al., "MAGSAC++", CVPR 2020;
Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization", PAMI 2008.
The only module that needs OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ImageError, MissingExtra

Pixels = NDArray[Any]  # (H, W, C) uint8 or uint16
Matrix = NDArray[np.float64]  # (3, 3), maps (x, y, 1) in pixels, the centre of the first one at (0, 0)
Features = tuple[NDArray[np.float32], NDArray[np.float32]]  # (n, 2) positions x, y; (n, d) descriptors, length 1

FEATURE_SIDE = 480  # pixels: longer images are reduced before features are looked for
REFINED_SIDE = 960  # likewise before the correlation is maximised
FEATURES = 1000
RATIO = 0.8  # of the distances to the best and the second best match
RANSAC_PIXELS = 2.0  # of the reduced image
FEW_INLIERS = 8  # that make a first guess
GUIDE_PIXELS = 10.0  # between where the first guess predicts a feature and where its match may be
NEAR_ALIKE = 0.6  # cosine of the descriptors of such a match
MANY_INLIERS = 40  # fewer carry a similarity only, not a homography
MIN_SPREAD = 0.5  # share of the frame that they span: likewise
MIN_INLIERS = 15  # of the final pose
MIN_INLIER_RATIO = 0.3
AREA_RANGE = (0.5, 2.0)
MAX_PERSPECTIVE = 0.25  # change of scale across the image
MIN_OVERLAP = 0.7  # share of the golden frame
ECC_STEPS = 8
ECC_EPSILON = 1e-5
ECC_PIXELS = 10.0  # a refinement that moves a corner further has gone astray
SETTLED_SIDE = 320  # pixels: size at which the place is checked
SETTLED_SHARE = 0.12  # of the side: how far off it is looked for
SETTLED_GAIN = 0.0005  # of the correlation: least that is worth a move
LOOKS_ALIKE = 0.5  # local correlation of a place that fits
MIN_ALIKE = 0.6  # share of textured places that must fit
BORDER = 2  # pixels at the edge of what is covered that are not trusted
SMALLEST = 32  # pixels: least side of an image that can be aligned


@dataclass(frozen=True, eq=False)
class View:
    """One image with what alignment needs of it; computed when first asked for, and kept."""

    pixels: Pixels

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """Reduced to at most `REFINED_SIDE`, (h, w), stretched over the range of the values."""
        cv2 = opencv()
        grey = self.pixels[..., 0] if self.pixels.shape[2] == 1 else cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY)
        return _stretched(_reduced(grey, REFINED_SIDE))

    @cached_property
    def scale(self) -> Matrix:
        """From pixels of the image to those of `grey`."""
        return scaling(self.pixels.shape[:2], self.grey.shape)

    @cached_property
    def small(self) -> NDArray[np.uint8]:
        """`grey`, reduced further to at most `FEATURE_SIDE`."""
        return _reduced(self.grey, FEATURE_SIDE)

    @cached_property
    def sift(self) -> Features:
        """In pixels of `small`."""
        return _features(opencv().SIFT_create(nfeatures=FEATURES), self.small)

    @cached_property
    def orb(self) -> Features:
        """In pixels of `small`."""
        return _features(opencv().ORB_create(nfeatures=2 * FEATURES, fastThreshold=8), self.small)


@dataclass(frozen=True, eq=False)
class Alignment:
    """An inspected image in the golden frame."""

    pixels: Pixels  # (H, W, C) of the golden frame; 0 where `valid` is False
    valid: NDArray[np.bool_]  # (H, W): covered by the inspected image
    homography: Matrix  # from pixels of the inspected image to those of the golden one
    residual: float  # median distance of the matches that agree, in pixels of the golden image
    inliers: int
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
            raise _failed(f"the {name} is smaller than {SMALLEST} pixels")
    if image.pixels.shape == golden.pixels.shape and np.array_equal(image.pixels, golden.pixels):
        homography, residual, inliers = np.eye(3), 0.0, 0
    else:
        homography, residual, inliers = _homography(image, golden)
    warped, valid = _warped(image.pixels, homography, golden.pixels.shape[:2])
    overlap = float(valid.mean())
    if overlap < MIN_OVERLAP:
        raise _failed(f"the image covers {overlap:.0%} of the golden frame, needed are {MIN_OVERLAP:.0%}")
    return Alignment(warped, valid, homography, residual, inliers, overlap, image.pixels.shape[:2])


def scaling(before: tuple[int, ...], after: tuple[int, ...]) -> Matrix:
    """From pixels of an image of size `before` (height, width) to those of the same at size `after`."""
    y, x = after[0] / before[0], after[1] / before[1]
    return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])


class _Pose(NamedTuple):
    """What the features say, in pixels of the small images."""

    matrix: Matrix
    residual: float  # median distance of the matches that agree
    inliers: int
    rigid: bool  # whether they carry a similarity only, not a homography


def _homography(image: View, golden: View) -> tuple[Matrix, float, int]:
    """Homography between pixels of the images, residual in golden pixels, number of inliers; verified."""
    reason: ImageError | None = None
    for first in _first_guesses(image, golden):
        try:
            pose = _guided(first, image, golden)
            moved = _settled(pose.matrix, image.small, golden.small)
            pose = pose if moved is None else _guided(moved, image, golden)
            up = [scaling(view.small.shape, view.grey.shape) for view in (image, golden)]
            matrix = up[1] @ pose.matrix @ np.linalg.inv(up[0])
            matrix = _refined(matrix, image.grey, golden.grey, rigid=pose.rigid)
            _check_alike(matrix, image.grey, golden.grey)
            homography = np.linalg.inv(golden.scale) @ matrix @ image.scale
            homography /= homography[2, 2]
            _check_shape(homography, image.pixels.shape[:2])
        except ImageError as error:
            reason = reason or error
        else:
            return homography, pose.residual * golden.pixels.shape[1] / golden.small.shape[1], pose.inliers
    raise reason or _failed("hardly any features are alike")


def _first_guesses(image: View, golden: View) -> Iterator[Matrix]:
    """Homographies between the small images: from SIFT, from a camera that has not moved, from ORB."""
    size = golden.small.shape
    found = _pose(image.sift, golden.sift, _pairs(image.sift[1], golden.sift[1]), FEW_INLIERS, size)
    if found:
        yield found.matrix
    yield scaling(image.small.shape, size)
    found = _pose(image.orb, golden.orb, _pairs(image.orb[1], golden.orb[1]), FEW_INLIERS, size)
    if found:
        yield found.matrix


def _guided(first: Matrix, image: View, golden: View) -> _Pose:
    """The pose anew, from matches near where `first` predicts them: repeated patterns then no longer confuse."""
    here, there = image.sift, golden.sift
    if min(len(here[0]), len(there[0])) < MIN_INLIERS:
        raise _failed(
            f"{len(here[0])} features in the image and {len(there[0])} in the golden one, needed are {MIN_INLIERS}"
        )
    offsets = transformed(first, here[0])[:, None] - there[0]
    pairs = _pairs(here[1], there[1], near=np.square(offsets).sum(2) <= GUIDE_PIXELS**2)
    least = max(MIN_INLIERS, int(np.ceil(MIN_INLIER_RATIO * len(pairs))))
    found = _pose(here, there, pairs, least, golden.small.shape)
    if found is None:
        raise _failed(f"too few of {len(pairs)} matching features agree on one pose, needed are {least}")
    return found


def _pose(
    image: Features, golden: Features, pairs: NDArray[np.intp], least: int, size: tuple[int, ...]
) -> _Pose | None:
    """The pose that most of these matches agree on; None where fewer than `least` do.

    A homography; a similarity where the matches that agree are so few, or span so little of the frame, that tilt and
    shear would be guessed.
    """
    cv2 = opencv()
    if len(pairs) < max(4, least):
        return None
    here, there = image[0][pairs[:, 0]], golden[0][pairs[:, 1]]
    found, inside = cv2.findHomography(here, there, cv2.USAC_MAGSAC, RANSAC_PIXELS, maxIters=5000, confidence=0.9999)
    if found is None or (agree := inside.ravel() > 0).sum() < least:
        return None
    low, high = np.percentile(there[agree], (5, 95), axis=0)
    spread = float(((high - low) / (size[1], size[0])).min())
    rigid = spread < MIN_SPREAD or int(agree.sum()) < MANY_INLIERS
    if rigid:
        found, inside = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=RANSAC_PIXELS)
        if found is None or (agree := inside.ravel() > 0).sum() < least:
            return None
        found = np.vstack([found, [0, 0, 1]])
    distance = np.linalg.norm(transformed(found, here[agree]) - there[agree], axis=1)
    return _Pose(np.asarray(found, np.float64), float(np.median(distance)), int(agree.sum()), rigid)


def _pairs(
    image: NDArray[np.float32], golden: NDArray[np.float32], near: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """Indices (n, 2) of descriptors that are each other's best match.

    They must be clearly better than the second best; with `near` (n, m), only those count, and the best will do.
    """
    if min(len(image), len(golden)) < 2 or image.shape[1] != golden.shape[1]:
        return np.empty((0, 2), np.intp)
    alike = image @ golden.T
    if near is not None:
        alike[~near] = -1
    best = alike.argmax(1)
    kept = alike.argmax(0)[best] == np.arange(len(image))
    if near is None:
        top = np.partition(alike, -2, axis=1)[:, -2:]  # second best, best
        distances = np.sqrt(np.maximum(2 - 2 * top, 0))
        kept &= distances[:, 1] <= RATIO * distances[:, 0]
    else:
        kept &= alike.max(1) >= NEAR_ALIKE
    return np.stack([np.flatnonzero(kept), best[kept]], axis=1)


def _features(detector: Any, grey: NDArray[np.uint8]) -> Features:
    """Positions and unit descriptors; bits become -1 and 1, so that one product serves both kinds."""
    keypoints, descriptors = detector.detectAndCompute(grey, None)
    if not keypoints:
        return np.empty((0, 2), np.float32), np.empty((0, 1), np.float32)
    if descriptors.dtype == np.uint8:
        descriptors = 2.0 * np.unpackbits(descriptors, axis=1).astype(np.float32) - 1.0
    else:
        descriptors = np.sqrt(descriptors)  # Hellinger distance: Arandjelovic and Zisserman, CVPR 2012
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True) + 1e-12
    return np.array([one.pt for one in keypoints], np.float32), descriptors.astype(np.float32)


def transformed(matrix: Matrix, points: NDArray[Any]) -> NDArray[np.float64]:
    """Points (n, 2) through a homography."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float64)


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
    """The pose that maximises the correlation, near `matrix`; `matrix` itself where there is none.

    Args:
        matrix: The pose so far.
        image: (h, w).
        golden: (h', w').
        rigid: Whether only a turn and a shift are refined, not the whole homography.
    """
    cv2 = opencv()
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_STEPS, ECC_EPSILON)
    warped = cv2.warpPerspective(image, matrix, (golden.shape[1], golden.shape[0]))
    covered = cv2.warpPerspective(np.ones_like(image), matrix, (golden.shape[1], golden.shape[0]))
    motion = cv2.MOTION_EUCLIDEAN if rigid else cv2.MOTION_HOMOGRAPHY
    start = np.eye(2 if rigid else 3, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(golden, warped, start, motion, criteria, covered, 5)
    except cv2.error:  # it raises where it does not converge
        return matrix
    change = np.linalg.inv(np.vstack([found, [0, 0, 1]]) if rigid else found.astype(np.float64))
    corners = _corners(golden.shape)
    moved = np.linalg.norm(transformed(change, corners) - corners, axis=1).max()
    return np.asarray(change @ matrix) if moved <= ECC_PIXELS else matrix


def _check_alike(matrix: Matrix, image: NDArray[np.uint8], golden: NDArray[np.uint8]) -> None:
    """Raise unless textured places look alike nearly everywhere: a pose off by one period of a pattern does not."""
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
    textured = (other > 0.1 * float(other.mean())) & (cv2.erode(covered, np.ones((side, side), np.uint8)) > 0)
    alike = float((correlation[textured] > LOOKS_ALIKE).mean()) if textured.any() else 0.0
    if alike < MIN_ALIKE:
        raise _failed(f"only {alike:.0%} of the textured places look alike, needed are {MIN_ALIKE:.0%}")


def _check_shape(matrix: Matrix, shape: tuple[int, ...]) -> None:
    """Raise unless the homography keeps the image's orientation, about its size, and its rectangle convex."""
    corners = transformed(matrix, _corners(shape))
    sides = np.roll(corners, -1, axis=0) - corners
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]  # > 0: all corners turn the same way, not mirrored
    area = turns / ((shape[0] - 1) * (shape[1] - 1))  # that of the parallelogram at each corner, relative
    low, high = AREA_RANGE
    if not (np.isfinite(corners).all() and low <= area.mean() <= high):
        raise _failed(f"the image would be enlarged by {area.mean():.2f} in area, expected {low} to {high}")
    if area.max() - area.min() > 2 * MAX_PERSPECTIVE * area.mean() or area.min() <= 0:
        raise _failed("the image would be folded or strongly tilted")


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


def _reduced(grey: NDArray[Any], side: int) -> NDArray[Any]:
    share = side / max(grey.shape)
    if share >= 1:
        return grey
    height, width = (max(1, round(length * share)) for length in grey.shape)
    return np.asarray(opencv().resize(grey, (width, height), interpolation=opencv().INTER_AREA))


def _stretched(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """8 bits over the range of the values, which is taken as an eighth of the type's at least: noise stays small."""
    low, high = np.percentile(grey, (0.5, 99.5))
    unit = max(high - low, np.iinfo(grey.dtype).max / 8)
    return np.asarray(np.clip((grey - np.float32(low)) * np.float32(255 / unit), 0, 255), np.uint8)


def _failed(reason: str) -> ImageError:
    return ImageError(
        f"the image could not be aligned with the golden one: {reason}. Is it the same product, seen alike?",
        "alignment_failed",
    )


def opencv() -> Any:
    """OpenCV, imported when it is first needed.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("opencv-python-headless", "reference", "comparing with a reference") from error
    return cv2
