"""The report of a lot that was scored by itself: the images that are least like the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.drawing import overlay, plain
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.report.gallery import encoded, in_a_row, shown_size, uri
from anomalib_lite.report.templating import template


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
        title=title, images=len(scores), cards=cards, notes=notes,
        quartiles=[f"{one:.3f}" for one in quartiles],
    )  # fmt: skip
    return page.encode("utf-8")


def _uri(one: Picture, limits: NDArray[np.float64], spec: ImageSpec) -> str:
    """The image and its heat map beside each other, as a data URI."""
    shown, levels = imaging.resize(one.pixels, *shown_size(one.pixels)), (spec.white, spec.black)
    low, high = float(limits[0]), float(max(limits[1], limits[0] + 1e-6))
    return uri(encoded(in_a_row(plain(shown, *levels), overlay(shown, one.anomaly_map, low, high, (), *levels))))
