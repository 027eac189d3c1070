"""The report of a lot that was scored by itself: the images that are least like the others."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge.drawing import GAP, overlay, plain
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.report.templating import template
from anomalib_lite.version import __version__

SIDE, QUALITY = 256, 72  # pixels of a picture, of WebP


class Picture(NamedTuple):
    """An image that is shown."""

    rank: int
    name: str
    score: float
    pixels: NDArray[Any]  # (H, W, C)
    anomaly_map: NDArray[np.float32]  # (h, w)


def drawn(
    title: str,
    scores: Sequence[float],
    pictures: Sequence[Picture],
    notes: Sequence[str],
    limits: NDArray[np.float64],
    spec: ImageSpec,
) -> bytes:
    """A self-contained HTML page.

    Args:
        title: Of the lot.
        scores: Of all images, the highest first.
        pictures: Those that are shown.
        notes: What must be known of it.
        limits: Map values drawn coldest and hottest.
        spec: Black and white of the images.
    """
    cards = [
        {"rank": one.rank, "name": one.name, "score": f"{one.score:.3f}", "uri": _uri(one, limits, spec)}
        for one in pictures
    ]
    quartiles = np.quantile(np.asarray(scores), (1, 0.75, 0.5, 0.25, 0))
    page = template("lot.html").render(
        title=title, images=len(scores), cards=cards, notes=notes, version=__version__,
        quartiles=[f"{one:.3f}" for one in quartiles],
    )  # fmt: skip
    return page.encode("utf-8")


def _uri(one: Picture, limits: NDArray[np.float64], spec: ImageSpec) -> str:
    """The image and its heat map beside each other, as a data URI."""
    scale = min(1.0, SIDE / max(one.pixels.shape[:2]))
    small = imaging.resize(one.pixels, *(max(1, round(side * scale)) for side in one.pixels.shape[:2]))
    low, high = float(limits[0]), float(max(limits[1], limits[0] + 1e-6))
    left, right = (
        plain(small, spec.white, spec.black),
        overlay(small, one.anomaly_map, low, high, (), spec.white, spec.black),
    )
    row = np.concatenate([left, np.full((len(left), GAP, 3), 255, np.uint8), right], axis=1)
    buffer = BytesIO()
    Image.fromarray(row).save(buffer, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
