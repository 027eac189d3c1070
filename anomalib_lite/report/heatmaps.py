"""Pictures of single images with their heat maps, as files."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from anomalib_lite.edge.drawing import colour_range, overlay, placed, side_by_side
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.errors import DataError

PICTURE = 16_000_000  # pixels of a heat map: more take seconds and gigabytes, and no screen shows them


def write_heatmap(model: Model, result: Result, pixels: Pixels, target: Path) -> None:
    """Write an image with its heat map and outlines, smaller above `PICTURE`.

    Of a model that compares: golden image, aligned image and change, side by side in the golden frame.

    Args:
        model: What judged it.
        result: Its result, which has an anomaly map.
        pixels: The image (H, W, C).
        target: The file, a PNG.

    Raises:
        DataError: The disk is full, or gone.
    """
    assert result.anomaly_map is not None
    (low, high), spec = colours_of(model), model.framing.spec
    if result.comparison is not None:
        regions = placed(result.regions, result.comparison)
        picture = side_by_side(result.comparison, low, high, spec.white, spec.black, regions)
    else:
        scale = min(1.0, (PICTURE / (pixels.shape[0] * pixels.shape[1])) ** 0.5)
        small = imaging.resize(pixels, *(max(1, int(side * scale)) for side in pixels.shape[:2]))
        regions = [region.scaled(scale) for region in result.regions]
        picture = overlay(small, result.anomaly_map, low, high, regions, spec.white, spec.black)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:  # made anew: nothing is written through a link
            Image.fromarray(picture).save(file, "PNG")
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error.strerror or error}). The rows before are complete; free some space, "
            "or choose another --out."
        ) from error


def colours_of(model: Model) -> tuple[float, float]:
    """Map values drawn coldest and hottest: the same for all images of a model."""
    return colour_range(model.thresholds.map_review, model.thresholds.map_reject)
