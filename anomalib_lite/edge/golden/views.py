"""One image with what alignment needs of it: reduced, grey, and the features found in it.

SIFT: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004. OpenCV is imported here alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.edge.images.picture import Corners
from anomalib_lite.errors import MissingExtra

Matrix = NDArray[np.float64]  # (3, 3), maps (x, y, 1) in pixels, the centre of the first one at (0, 0)
Features = tuple[NDArray[np.float32], NDArray[np.float32]]  # (n, 2) positions x, y; (n, d) descriptors, length 1

FEATURE_SIDE = 400  # pixels: images larger than such a square are reduced before features are looked for
REFINED_SIDE = 960  # likewise before the correlation is maximised
FEATURES = 1000


@dataclass(frozen=True, eq=False)
class View:
    """One image with what alignment needs of it; computed when first asked for, and kept."""

    pixels: Pixels
    name: str = ""  # for messages
    valid: NDArray[np.bool_] | None = None  # (H, W): what of it is to be inspected; None for all
    corners: Corners | None = None  # where it lies: those of `Picture`

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """Reduced to at most `REFINED_SIDE` squared, (h, w), stretched over the range of the values."""
        return _stretched(reduced(grey_of(self.pixels), REFINED_SIDE))

    @cached_property
    def scale(self) -> Matrix:
        """From pixels of the image to those of `grey`."""
        return scaling(self.pixels.shape[:2], self.grey.shape)

    @cached_property
    def small(self) -> NDArray[np.uint8]:
        """`grey`, reduced further to at most `FEATURE_SIDE` squared."""
        return reduced(self.grey, FEATURE_SIDE)

    @cached_property
    def sift(self) -> Features:
        """In pixels of `small`."""
        return _features(opencv().SIFT_create(nfeatures=FEATURES), self.small)

    @cached_property
    def orb(self) -> Features:
        """In pixels of `small`."""
        return _features(opencv().ORB_create(nfeatures=2 * FEATURES, fastThreshold=8), self.small)


def scaling(before: tuple[int, ...], after: tuple[int, ...]) -> Matrix:
    """From pixels of an image of size `before` (height, width) to those of the same at size `after`."""
    y, x = after[0] / before[0], after[1] / before[1]
    return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])


def transformed(matrix: NDArray[np.floating[Any]], points: NDArray[Any]) -> NDArray[np.float64]:
    """Points (n, 2) through a homography."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float64)


def corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Corners (4, 2) of an image, clockwise as seen."""
    bottom, right = shape[0] - 1, shape[1] - 1
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)


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


def grey_of(pixels: Pixels) -> NDArray[Any]:
    """(H, W) of (H, W, C), of the same dtype: the light of three channels, the first one of others."""
    cv2 = opencv()
    colour = pixels.shape[2] == 3 and pixels.dtype != np.int16  # which OpenCV does not convert
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if colour else np.ascontiguousarray(pixels[..., 0]))


def reduced(grey: NDArray[Any], side: int) -> NDArray[Any]:
    """(h, w) of no more pixels than a square of `side`; as it is where it has no more: strips keep their width."""
    share = side / float(np.sqrt(grey.size))
    if share >= 1:
        return grey
    height, width = (max(1, round(length * share)) for length in grey.shape)
    return np.asarray(opencv().resize(grey, (width, height), interpolation=opencv().INTER_AREA))


def _stretched(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """8 bits over the range of the values, which is taken as an eighth of the type's at least: noise stays small."""
    low, high = np.percentile(grey, (0.5, 99.5))
    unit = max(high - low, np.iinfo(grey.dtype).max / 8 if grey.dtype.kind == "u" else 1e-6)
    return np.asarray(np.clip((grey - np.float32(low)) * np.float32(255 / unit), 0, 255), np.uint8)


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
