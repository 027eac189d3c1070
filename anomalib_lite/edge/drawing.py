"""Heat maps and outlines over images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from anomalib_lite.edge.golden.alignment import Alignment
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.regions import Region
from anomalib_lite.edge.runtime import Comparison

# Anchors of "plasma" by S. van der Walt and N. Smith (matplotlib, CC0), at equal distances: lightness grows evenly
# with the value, and the order of the colours survives colour blindness and grey print.
PLASMA = np.array([
    (13, 8, 135), (70, 3, 159), (114, 1, 168), (156, 23, 158), (189, 55, 134),
    (216, 87, 107), (237, 121, 83), (251, 159, 58), (253, 202, 38), (240, 249, 33),
], np.float32)  # fmt: skip
OPACITY = 0.7  # of the hottest colour; the coldest is transparent
BAND = 1 << 18  # pixels
GAP = 4  # white pixels between pictures side by side


def colour_range(map_review: float, map_reject: float) -> tuple[float, float]:
    """Map values drawn coldest and hottest: the same for all images of a model, with the threshold in the middle."""
    span = max(abs(map_reject), map_reject - map_review, 1e-12)
    return map_reject - 0.5 * span, map_reject + 0.5 * span


def overlay(
    pixels: NDArray[Any],
    anomaly_map: NDArray[np.float32],
    low: float,
    high: float,
    regions: Iterable[Region],
    white: float,
    black: float = 0.0,
) -> NDArray[np.uint8]:
    """Draw a heat map and outlines over an image, which turns grey so that colour means the anomaly map alone.

    The scale is that of `low` and `high`, never that of the image: pictures of one model compare.

    Args:
        pixels: (H, W, C).
        anomaly_map: (h, w), covers the image.
        low: Map value drawn transparent.
        high: Map value drawn in the hottest colour; above `low`.
        regions: In pixels of this image.
        white: Pixel value that is white.
        black: Pixel value that is black.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = pixels.shape[:2]
    heat = _heat(anomaly_map, height, width, low, high)
    drawn = np.empty((height, width, 3), np.uint8)
    for rows in _bands(height, width):
        shown = seen(pixels[rows])
        grey = shown if shown.shape[2] == 1 else imaging.luma(shown)
        base = np.clip((grey.astype(np.float32) - np.float32(black)) * np.float32(255 / (white - black)), 0, 255)
        opacity = np.float32(OPACITY) * heat[rows, :, None]
        drawn[rows] = (base + opacity * (_colours(heat[rows]) - base)).round()
    return outlined(drawn, regions, 1.0)


def heat_map(anomaly_map: NDArray[np.float32], height: int, width: int, low: float, high: float) -> NDArray[np.uint8]:
    """The colours of a map alone, at a size: (height, width, 3) uint8 RGB."""
    heat = _heat(anomaly_map, height, width, low, high)
    drawn = np.empty((height, width, 3), np.uint8)
    for rows in _bands(height, width):
        drawn[rows] = _colours(heat[rows]).round()
    return drawn


def layer(anomaly_map: NDArray[np.float32], height: int, width: int, low: float, high: float) -> NDArray[np.uint8]:
    """A map to lay over its image: (height, width, 4) uint8 RGBA, the hotter the less transparent."""
    heat = _heat(anomaly_map, height, width, low, high)
    drawn = np.empty((height, width, 4), np.uint8)
    for rows in _bands(height, width):
        drawn[rows, :, :3] = _colours(heat[rows]).round()
        drawn[rows, :, 3] = (255 * OPACITY * heat[rows]).round()
    return drawn


def side_by_side(
    comparison: Comparison,
    low: float,
    high: float,
    white: float,
    black: float = 0.0,
    regions: Iterable[Region] = (),
) -> NDArray[np.uint8]:
    """Golden image, aligned image and change, all in the golden frame: (H, 3 W + 2 `GAP`, 3) uint8 RGB.

    Args:
        comparison: What was compared.
        low: As for `overlay`.
        high: As for `overlay`.
        white: Pixel value that is white.
        black: Pixel value that is black.
        regions: Outlined in the aligned image and the change; in pixels of the golden image: `placed`.
    """
    regions = list(regions)
    image = imaging.resize(comparison.image, *comparison.golden.shape[:2])
    gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
    changed = overlay(image, comparison.anomaly_map, low, high, regions, white, black)
    golden, aligned = (plain(one, white, black) for one in (comparison.golden, image))
    return np.concatenate([golden, gap, outlined(aligned, regions, 1.0), gap, changed], axis=1)


def placed(regions: Iterable[Region], comparison: Comparison) -> list[Region]:
    """Regions of the inspected image with their outlines in pixels of the golden one."""
    if comparison.alignment is None:
        return list(regions)
    return [replace(one, outline=_moved(comparison.alignment, one.outline)) for one in regions]


def _moved(alignment: Alignment, outline: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Corners of pixels through an alignment of their centres."""
    if not outline:
        return outline
    return tuple((float(x) + 0.5, float(y) + 0.5) for x, y in alignment.to_golden(np.array(outline) - 0.5))


def seen(pixels: NDArray[Any]) -> NDArray[Any]:
    """An image (H, W, C) as it is where it is grey or RGB; of other channels the first."""
    return pixels if pixels.shape[2] in (1, 3) else pixels[..., :1]


def plain(pixels: NDArray[Any], white: float, black: float = 0.0) -> NDArray[np.uint8]:
    """An image (H, W, C) as 8-bit RGB, `black` at 0 and `white` at 255."""
    height, width = pixels.shape[:2]
    scaled = np.empty((height, width, 3), np.uint8)
    for rows in _bands(height, width):
        shown = seen(pixels[rows]).astype(np.float32) - np.float32(black)
        scaled[rows] = np.clip(shown * np.float32(255 / (white - black)), 0, 255).round()
    return scaled


def _bands(height: int, width: int) -> Iterator[slice]:
    """Rows that are drawn at once: the numbers in between take many times the memory of a picture."""
    step = max(1, BAND // width)
    return (slice(top, top + step) for top in range(0, height, step))


def _heat(anomaly_map: NDArray[np.float32], height: int, width: int, low: float, high: float) -> NDArray[np.float32]:
    """The map at a size, 0 at `low` and 1 at `high`."""
    heat = imaging.resize_map(anomaly_map, height, width) - np.float32(low)
    heat /= np.float32(high - low)
    return np.clip(heat, 0, 1, out=heat)


def _colours(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) in [0, 1] to (H, W, 3) in [0, 255]."""
    place = heat * (len(PLASMA) - 1)
    below = np.minimum(place.astype(np.intp), len(PLASMA) - 2)
    share = (place - below).astype(np.float32)[..., None]
    return np.asarray((1 - share) * PLASMA[below] + share * PLASMA[below + 1])


def outlined(pixels: NDArray[np.uint8], regions: Iterable[Region], scale: float) -> NDArray[np.uint8]:
    """Outline regions in white on black, visible on any colour.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        regions: In pixels of their image.
        scale: Pixels of this picture per pixel of theirs.
    """
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    thin = max(1, round(min(picture.size) / 300))
    last_x, last_y = picture.width - 1, picture.height - 1
    for region in regions:
        corners = [(min(max(x * scale, 0), last_x), min(max(y * scale, 0), last_y)) for x, y in region.outline]
        for colour, width in (("black", thin + 2), ("white", thin)):
            draw.line([*corners, corners[0]], fill=colour, width=width, joint="curve")
    return np.array(picture)
