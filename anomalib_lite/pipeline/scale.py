"""How large what a model finds is: millimetres for each pixel, and the smallest region that is listed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.manifest import Choice
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.choosing import free_beside
from anomalib_lite.review.decision import operator_named


def with_scale(
    model: Path,
    mm_per_pixel: float,
    min_area_mm2: float,
    *,
    operator: str,
    because: str,
    out: Path | None = None,
) -> Bundle:
    """Write a model that lists no region below an area. No verdict changes: scores alone decide, regions show where.

    Args:
        model: The model; it stays as it is.
        mm_per_pixel: Of the images as they are recorded, along both axes.
        min_area_mm2: In square millimetres; 0 lists every region.
        operator: Who sets it: recorded, with the time.
        because: Why: recorded.
        out: The new model; by default a free name beside the old one, such as `part-scale`.

    Raises:
        ConfigError: A number is none, nobody stands for it or says why, or `out` exists.
    """
    min_area = _pixels(mm_per_pixel, min_area_mm2)
    if not because.strip():
        raise ConfigError("a reason is needed, since the model records it.")
    try:
        name = operator_named(operator)
    except DataError as error:
        raise ConfigError(f"operator: {error}") from error
    place = out or free_beside(model, "scale")
    bundle.refuse_existing(place, overwrite=False)
    loaded = bundle.load(model)
    rules = replace(loaded.manifest.regions, mm_per_pixel=mm_per_pixel, min_area=min_area)
    what = f"{mm_per_pixel:g} mm for each pixel, no region below {min_area_mm2:g} mm2 ({rules.min_area:.4g} px) listed"
    choice = Choice(datetime.now().astimezone().isoformat(timespec="seconds"), name, what, because.strip())
    manifest = replace(loaded.manifest, regions=rules, choices=(*loaded.manifest.choices, choice))
    files = {one: loaded.read(one) for one in manifest.files}
    return bundle.write(place, manifest, files, overwrite=False)


def _pixels(mm_per_pixel: float, min_area_mm2: float) -> float:
    """An area in pixels.

    Raises:
        ConfigError: A number is none, or no image has so many.
    """
    if not 0 < mm_per_pixel <= 1000:
        raise ConfigError(f"mm_per_pixel {mm_per_pixel:g}: expected a number above 0, up to 1000.")
    if not 0 <= min_area_mm2 <= 1e9:
        raise ConfigError(f"min_area_mm2 {min_area_mm2:g}: expected a number from 0 to 1e9.")
    min_area = min_area_mm2 / mm_per_pixel / mm_per_pixel  # a square could be 0
    if min_area > 1e9:
        raise ConfigError(
            f"min_area_mm2 {min_area_mm2:g}: is {min_area:.3g} pixels of {mm_per_pixel:g} mm, and no image has more "
            "than 1e9. Look at both numbers again."
        )
    return min_area
