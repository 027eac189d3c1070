"""Two volumes of one patient at two dates: the rigid motion between them, and one of them on the grid of the other.

Gauss-Newton on robust squared differences of intensities, whose gain and offset are found along with the motion, from
coarse to fine. Both volumes are of one contrast: FLAIR and FLAIR, CT and CT.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import DataError, MissingExtra
from anomalib_lite_medical.pixels import otsu

try:
    from scipy import ndimage
    from scipy.spatial.transform import Rotation
except ImportError as missing:
    raise MissingExtra("scipy", "medical", "Aligning volumes") from missing

LEVELS = (8.0, 4.0, 2.0)  # millimetres from point to point
STEPS, STILL = 40, 0.01  # at each level at most; millimetres and degrees below which it is over
ROBUST = 1.345  # standard deviations beyond which a difference counts less (Huber)
OVERLAP = 0.1  # share of the fixed volume that the moving one shows, below which nothing can be found
NEAR = 0.01  # voxels beyond the outermost ones that are theirs, still: a motion is found with rounding
LEAST = 0.75  # correlation of aligned volumes within the head, below which they are no two dates of one patient

Volume = NDArray[np.float32]
Affine = NDArray[np.float64]  # (4, 4)


def rigid(moving: Volume, moving_affine: Affine, fixed: Volume, fixed_affine: Affine) -> tuple[Affine, float]:
    """The motion that takes places of the fixed volume to those of the moving one, and how well they correlate there.

    Args:
        moving: (X, Y, Z), finite.
        moving_affine: From its voxels to millimetres.
        fixed: Likewise.
        fixed_affine: Likewise.

    Returns:
        (4, 4) in millimetres, and a correlation of -1 to 1.

    Raises:
        DataError: They correlate by less than `LEAST`, or one shows nothing.
    """
    if not np.ptp(moving) or not np.ptp(fixed):
        raise DataError("one of the two volumes has one value all over: it shows nothing. Copy it again.")
    centre = _centre(fixed, fixed_affine)
    starts = [np.eye(4), _moved(np.eye(3), _centre(moving, moving_affine) - centre)]
    found = max(starts, key=lambda one: _correlation(_Pair(moving, moving_affine, fixed, fixed_affine, 8.0), one))
    for level in LEVELS:
        pair = _Pair(moving, moving_affine, fixed, fixed_affine, level)
        found = _refined(pair, found, centre)
    alike = _alike(pair, found)
    if not alike >= LEAST:
        raise DataError(
            f"the two volumes correlate by {alike:.2f} within the head or body, below {LEAST}: they are of two "
            "patients, of two contrasts, or show other places. Give two dates of one patient, of one sequence."
        )
    return found, alike


def resampled(moving: Volume, moving_affine: Affine, motion: Affine, shape: Any, affine: Affine) -> Volume:
    """The moving volume on another grid, linearly interpolated; NaN where it shows nothing."""
    whole = np.linalg.inv(moving_affine) @ motion @ affine
    found = ndimage.affine_transform(moving, whole[:3, :3], whole[:3, 3], tuple(shape), order=1, mode="nearest")
    values = np.asarray(found, np.float32)
    x, y, z = np.ogrid[tuple(slice(side) for side in shape)]
    for row, side in zip(whole[:3], moving.shape, strict=True):
        place = row[0] * x + row[1] * y + row[2] * z + row[3]
        values[(place < -NEAR) | (place > side - 1 + NEAR)] = np.nan
    return values


def in_units_of(moved: Volume, fixed: Volume) -> Volume:
    """A volume in the units of another on its grid, by the gain and offset that are right for most voxels of tissue."""
    both = np.isfinite(moved) & np.isfinite(fixed) & (fixed > fixed[np.isfinite(fixed)].mean())
    values, wanted = moved[both][::7].astype(np.float64), fixed[both][::7].astype(np.float64)
    weights = np.ones(len(values))
    for _ in range(20):
        gain, offset = np.polyfit(values, wanted, 1, w=np.sqrt(weights))
        left = np.abs(wanted - gain * values - offset)
        weights = np.minimum(1, ROBUST * 1.4826 * np.median(left) / np.maximum(left, 1e-12))
    return np.asarray(gain * moved + offset, np.float32)


def size(motion: Affine, shape: Any, affine: Affine) -> tuple[float, float]:
    """How far a motion moves the middle of a volume, in millimetres, and by how many degrees it turns it."""
    middle = affine[:3, :3] @ (np.array(shape) - 1) / 2 + affine[:3, 3]
    shift = np.linalg.norm(motion[:3, :3] @ middle + motion[:3, 3] - middle)
    return float(shift), float(np.degrees(Rotation.from_matrix(motion[:3, :3]).magnitude()))


class _Pair:
    """Both volumes at one level: points of the fixed one, and what the moving one shows at places."""

    def __init__(
        self, moving: Volume, moving_affine: Affine, fixed: Volume, fixed_affine: Affine, level: float
    ) -> None:
        smooth = [_smoothed(one, affine, level) for one, affine in ((moving, moving_affine), (fixed, fixed_affine))]
        sizes = np.linalg.norm(fixed_affine[:3, :3], axis=0)
        axes = [np.arange(0, side, max(1.0, level / size)) for side, size in zip(fixed.shape, sizes, strict=True)]
        places = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
        self.seen = ndimage.map_coordinates(smooth[1], places, order=1)
        self.points = (fixed_affine[:3, :3] @ places + fixed_affine[:3, 3:]).T  # (n, 3)
        self._back = np.linalg.inv(moving_affine)
        self._moving = smooth[0]
        self.levels = otsu(smooth[0]), otsu(self.seen)
        self._slopes = np.gradient(smooth[0])

    def at(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """What the moving volume shows at points (n, 3), NaN outside of it, and its slope there for each millimetre."""
        places = self._back[:3, :3] @ points.T + self._back[:3, 3:]
        values = ndimage.map_coordinates(self._moving, places, order=1, cval=np.nan)
        slopes = np.stack([ndimage.map_coordinates(one, places, order=1) for one in self._slopes], axis=1)
        return values, slopes @ self._back[:3, :3]


def _smoothed(volume: Volume, affine: Affine, level: float) -> Volume:
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return np.asarray(ndimage.gaussian_filter(volume, 0.5 * np.sqrt(np.clip(level**2 - sizes**2, 0, None)) / sizes))


def _centre(volume: Volume, affine: Affine) -> NDArray[np.float64]:
    """The centre of what is brighter than the mean, in millimetres."""
    return np.asarray(affine[:3, :3] @ ndimage.center_of_mass(volume > volume.mean()) + affine[:3, 3])


def _moved(turned: NDArray[np.float64], shift: NDArray[np.float64]) -> Affine:
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turned, shift
    return motion


def _correlation(pair: _Pair, motion: Affine) -> float:
    """Where both volumes show something; 0 where that is less than half of the fixed one."""
    values, _ = pair.at(pair.points @ motion[:3, :3].T + motion[:3, 3])
    inside = np.isfinite(values)
    bright = pair.seen > pair.seen.mean()
    if (inside & bright).sum() < 0.5 * bright.sum():
        return 0.0
    return float(np.corrcoef(values[inside], pair.seen[inside])[0, 1])


def _alike(pair: _Pair, motion: Affine) -> float:
    """The correlation within the head or body alone, where either volume is above its level of Otsu.

    Background is dark in all volumes, and would make two patients alike.
    """
    values, _ = pair.at(pair.points @ motion[:3, :3].T + motion[:3, 3])
    inside = np.isfinite(values) & ((values > pair.levels[0]) | (pair.seen > pair.levels[1]))
    return float(np.corrcoef(values[inside], pair.seen[inside])[0, 1])


def _refined(pair: _Pair, motion: Affine, centre: NDArray[np.float64]) -> Affine:
    """The motion that is best nearby."""
    gain, offset = 1.0, 0.0
    for number in range(STEPS):
        moved = pair.points @ motion[:3, :3].T + motion[:3, 3]
        values, slopes = pair.at(moved)
        inside = np.isfinite(values)
        if inside.mean() < OVERLAP:
            break
        if not number:
            gain, offset = np.polyfit(values[inside], pair.seen[inside], 1)
        pivot = motion[:3, :3] @ centre + motion[:3, 3]
        turns = np.cross(moved[inside] - pivot, slopes[inside])
        left = pair.seen[inside] - gain * values[inside] - offset
        spread = 1.4826 * float(np.median(np.abs(left))) + 1e-12
        weights = np.minimum(1, ROBUST * spread / np.maximum(np.abs(left), 1e-12))
        columns = np.column_stack([gain * turns, gain * slopes[inside], values[inside], np.ones(int(inside.sum()))])
        weighted = columns * weights[:, None]
        step = np.linalg.lstsq(weighted.T @ columns, weighted.T @ left, rcond=None)[0]
        turned = Rotation.from_rotvec(step[:3]).as_matrix()
        motion = _moved(turned, pivot - turned @ pivot + step[3:6]) @ motion
        gain, offset = gain + step[6], offset + step[7]
        if np.abs(step[3:6]).max() < STILL and np.degrees(np.abs(step[:3]).max()) < STILL:
            break
    return motion
