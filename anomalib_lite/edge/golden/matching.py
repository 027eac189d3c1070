"""The pose that most matching features of two images agree on.

Barath et al., "MAGSAC++, a fast, reliable and accurate robust estimator", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.views import Features, Matrix, View, opencv, scaling, transformed
from anomalib_lite.errors import ErrorCode, ImageError

RATIO = 0.8  # of the distances to the best and the second best match
RANSAC_PIXELS = 2.0  # of the reduced image
FEW_INLIERS = 8  # that make a first guess
GUIDE_PIXELS = 10.0  # between where the first guess predicts a feature and where its match may be
NEAR_ALIKE = 0.6  # cosine of the descriptors of such a match
MANY_INLIERS = 40  # fewer carry a similarity only, not a homography
MIN_SPREAD = 0.5  # share of the frame that they span: likewise
MIN_INLIERS = 15  # of the final pose
MIN_INLIER_RATIO = 0.3


class Pose(NamedTuple):
    """What the features say, in pixels of the small images."""

    matrix: Matrix
    residual: float  # median distance of the matches that agree
    inliers: int
    rigid: bool  # whether they carry a similarity only, not a homography
    doubtful: bool = False  # whether more places than otherwise must look alike


def first_guesses(image: View, golden: View) -> Iterator[Matrix]:
    """Homographies between the small images: from SIFT, from a camera that has not moved, from ORB."""
    size = golden.small.shape
    found = _pose(image.sift, golden.sift, _pairs(image.sift[1], golden.sift[1]), FEW_INLIERS, size)
    if found:
        yield found.matrix
    yield scaling(image.small.shape, size)
    found = _pose(image.orb, golden.orb, _pairs(image.orb[1], golden.orb[1]), FEW_INLIERS, size)
    if found:
        yield found.matrix


def guided(first: Matrix, image: View, golden: View) -> Pose:
    """The pose anew, from matches near where `first` predicts them: repeated patterns then no longer confuse."""
    here, there = image.sift, golden.sift
    if min(len(here[0]), len(there[0])) < MIN_INLIERS:
        raise alignment_failed(
            f"{len(here[0])} features in the image and {len(there[0])} in the golden one, needed are {MIN_INLIERS}"
        )
    offsets = transformed(first, here[0])[:, None] - there[0]
    pairs = _pairs(here[1], there[1], near=np.square(offsets).sum(2) <= GUIDE_PIXELS**2)
    least = max(MIN_INLIERS, int(np.ceil(MIN_INLIER_RATIO * len(pairs))))
    found = _pose(here, there, pairs, least, golden.small.shape)
    if found is None:
        raise alignment_failed(f"too few of {len(pairs)} matching features agree on one pose, needed are {least}")
    return found


def _pose(image: Features, golden: Features, pairs: NDArray[np.intp], least: int, size: tuple[int, ...]) -> Pose | None:
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
    return Pose(np.asarray(found, np.float64), float(np.median(distance)), int(agree.sum()), rigid)


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


def alignment_failed(reason: str) -> ImageError:
    """The error that says why there is no alignment: never a verdict on the part."""
    return ImageError(
        f"the image could not be aligned with the golden one: {reason}. Is it the same product, seen alike?",
        ErrorCode.ALIGNMENT_FAILED,
    )


def not_seen(share: float, needed: float) -> ImageError:
    """The error that says that an image leaves out what it has to show: what nobody saw is not good."""
    return ImageError(
        f"the image shows {share:.1%} of what has to be seen of the golden one, needed are {needed:.0%}. Move the "
        "camera or the part so that all of it is in view, or leave out by image.roi what need not be seen. Where "
        "images say themselves what of them is to be inspected, both have to say the same",
        ErrorCode.NOT_SEEN,
    )
