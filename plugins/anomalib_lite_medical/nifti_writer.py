"""Anomaly maps and masks of the slices of a volume, or of a DICOM series, as one NIfTI volume in its geometry."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from anomalib_lite_medical.geometry import is_unmeasured, marked, over_source, planes_of, stacked
from anomalib_lite_medical.nifti import AXIS, unseen
from anomalib_lite_medical.volumes import stored

UNMEASURED = 2  # a label of its own, which a viewer colours: 0 would say that nothing was found


def write_map(path: Path, measured: Iterable[Any]) -> None:
    """The maps, float32 and raw; NaN where nothing was measured."""
    _write(path, [(picture, _outside(picture, values, np.nan)) for _, picture, values in measured], np.nan)


def write_mask(path: Path, measured: Iterable[Any]) -> None:
    """1 where a map is above the threshold of the slice's verdict, else 0; `UNMEASURED` in an ERROR slice: uint8."""
    _write(path, [(picture, _mask(result, picture, values)) for result, picture, values in measured], 0)


def _mask(result: Any, picture: Any, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.full(values.shape, UNMEASURED, np.uint8) if is_unmeasured(result) else marked(result, picture, values)


def _outside(picture: Any, values: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
    return values if picture.valid is None else np.where(picture.valid, values, np.float32(fill))


def _write(path: Path, slices: list[tuple[Any, NDArray[Any]]], fill: float) -> None:
    first = slices[0][0].meta
    if "affine" in first:
        volume, affine = _as_source(slices, fill)
    elif "header" not in first:
        volume, affine = _plain(slices)
    else:
        with over_source():
            planes = planes_of([picture for picture, _ in slices])
        volume, affine = stacked(planes, [values for _, values in slices], fill)
    kind = np.float32 if np.isnan(fill) else np.uint8
    image = nibabel.Nifti1Image(volume.astype(kind), affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _as_source(slices: list[tuple[Any, NDArray[Any]]], fill: float) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The volume as that which was read is stored, and its affine."""
    meta = slices[0][0].meta
    affine, shape = np.array(json.loads(meta["affine"])), tuple(json.loads(meta["shape"]))
    axis = AXIS[meta["plane"]]
    volume = np.full([shape[one] for one in _order(affine)], fill, slices[0][1].dtype)
    for picture, values in slices:
        place: list[Any] = [slice(None)] * 3
        place[axis] = int(picture.meta["slice"])
        volume[tuple(place)] = unseen(values)
    return stored(volume, affine), affine


def _plain(slices: list[tuple[Any, NDArray[Any]]]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Pictures of no patient, one above the other, 1 mm apart unless they say more."""
    down, across = slices[0][0].spacing or (1.0, 1.0)
    return np.stack([values.T for _, values in slices], axis=2), np.diag([-across, -down, 1.0, 1.0])


def _order(affine: NDArray[np.float64]) -> list[int]:
    """Which axis of the stored volume runs along each axis of the canonical one."""
    from nibabel.orientations import io_orientation

    targets = io_orientation(affine)[:, 0].astype(int).tolist()
    return [targets.index(axis) for axis in range(3)]
