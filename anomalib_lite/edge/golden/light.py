"""Matches the light of an aligned image to that of the golden one, locally: slow changes of light are no difference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.views import opencv
from anomalib_lite.edge.images.imaging import Pixels


def match_light(image: Pixels, golden: Pixels, valid: NDArray[np.bool_]) -> Pixels:
    """Give an image the golden one's local mean and contrast, so that slow changes of light are no difference.

    Gain and offset are those of windows of a quarter of the image, each channel by itself; in a second pass, pixels
    that differ much take no part, so that a defect does not bend the light around it.

    Args:
        image: (H, W, C).
        golden: Of the same shape and dtype.
        valid: (H, W), what of the image is real; the rest becomes 0.
    """
    cv2 = opencv()
    height, width = valid.shape
    step = max(1, min(height, width) // 128)
    size = (max(1, width // step), max(1, height // step))
    small = [
        cv2.resize(one, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1).astype(np.float32)
        for one in (image, golden)
    ]
    weight = (cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99).astype(np.float32)
    out = np.empty_like(image)
    low, top = (0, 0) if image.dtype.kind == "f" else (np.iinfo(image.dtype).min, np.iinfo(image.dtype).max)
    for channel in range(image.shape[2]):
        gain, offset = _light(small[0][..., channel], small[1][..., channel], weight)
        gain, offset = (cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in (gain, offset))
        plane = cv2.multiply(image[..., channel], gain, dtype=cv2.CV_32F)
        cv2.add(plane, offset, dst=plane)
        if low < top:
            cv2.min(plane, float(top), dst=plane)
            cv2.max(plane, float(low), dst=plane)
            plane = np.rint(plane) if low < 0 else plane.__iadd__(0.5)
        out[..., channel] = plane
    out[~valid] = 0
    return out


def _light(
    image: NDArray[np.float32], golden: NDArray[np.float32], weight: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gain and offset (h, w) of small planes (h, w) by their local means and standard deviations."""
    side = max(3, min(image.shape) // 4) | 1
    gain, offset = np.ones_like(image), np.zeros_like(image)
    for _ in range(2):
        total = _box(weight, side) + 1e-6
        mean, target = _box(image * weight, side) / total, _box(golden * weight, side) / total
        spread = _box(image * image * weight, side) / total - mean**2
        wanted = _box(golden * golden * weight, side) / total - target**2
        noise = (0.02 * float(np.ptp(golden)) + 1.0) ** 2  # where both are flat the gain is 1
        gain = np.clip(np.sqrt((wanted.clip(0) + noise) / (spread.clip(0) + noise)), 0.5, 2.0)
        offset = target - gain * mean
        wrong = np.abs(gain * image + offset - golden)
        typical = float(np.median(wrong[weight > 0])) if (weight > 0).any() else 0.0
        weight = weight * (wrong <= 4 * typical + 0.02 * float(np.ptp(golden)))
    return gain, offset


def _box(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    cv2 = opencv()
    return np.asarray(cv2.boxFilter(plane, -1, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)
