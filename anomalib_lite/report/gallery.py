"""The pictures of a report: which images are worth looking at, each with its heat map, in bounded memory."""

from __future__ import annotations

import base64
import heapq
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.drawing import GAP, outlined, overlay, placed, plain, side_by_side
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.runtime import Comparison

PICTURE_BYTES = 6_000_000  # of all pictures, so that a report stays below 10 MB with base64 and tables
SIDE = 256  # pixels, of each half of a picture
QUALITY = 72  # of WebP
KINDS = 20  # defect kinds with a section of their own
Heading = tuple[int, str]  # place on the page, title


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The image on the left, its heat map with outlines on the right.

    Of a model that compares: golden image, aligned image, its heat map, all of one width, and the image as it was.
    """

    image: str
    label: str | None
    verdict: str
    score: float
    found: str  # the regions, in words
    width: int
    height: int
    webp: bytes
    seen: float | None = None  # share of the golden image that the image shows; None where it was aligned with none
    panel: int = 0  # pixels: width of the golden image, of the aligned one and of its heat map; 0 without them

    @property
    def step(self) -> int:
        """From one of these pictures to the next, in pixels."""
        return self.panel + GAP

    @property
    def uri(self) -> str:
        """As a data URI."""
        return uri(self.webp)


@dataclass(frozen=True, slots=True)
class Section:
    """Pictures under one heading, the most telling first."""

    title: str
    pictures: list[Thumbnail]


class Gallery:
    """Decides which pictures a report keeps, while results stream by."""

    def __init__(
        self, map_low: float, map_high: float, white: float, black: float = 0.0, per_section: int = 24
    ) -> None:
        """Set the colour scale that all heat maps share, and the cap.

        Args:
            map_low: Anomaly-map value drawn in the coldest colour.
            map_high: Anomaly-map value drawn in the hottest colour.
            white: Pixel value that is white (`ImageSpec.white`).
            black: Pixel value that is black.
            per_section: Most pictures under one heading.
        """
        self._low, self._high = map_low, map_high
        self._levels = white, black
        self._per_section = per_section
        self._kept: dict[Heading, list[tuple[float, int, Thumbnail]]] = {}  # heaps: the least telling first
        self._arrivals = itertools.count()

    def consider(self, result: Result, label: str | None, pixels: Pixels | None) -> None:
        """Keep a thumbnail where this result is among the most telling under a heading.

        Args:
            result: Of one image. An ERROR has no picture.
            label: "good", a defect kind, or None where the truth is not known.
            pixels: The image (H, W, C); None where it could not be read.
        """
        if result.score is None or result.anomaly_map is None or pixels is None:
            return
        picture: Thumbnail | None = None
        for heading, rank in self._headings(result, label, result.score):
            heap = self._kept.setdefault(heading, [])
            full = len(heap) >= self._per_section
            if full and rank <= heap[0][0]:
                continue
            picture = picture or self._picture(result, label, pixels)
            (heapq.heapreplace if full else heapq.heappush)(heap, (rank, -next(self._arrivals), picture))

    def sections(self) -> list[Section]:
        """What was kept, and of it what `PICTURE_BYTES` allow: the first of every heading before any second."""
        ordered = {heading: sorted(self._kept[heading], reverse=True) for heading in sorted(self._kept)}
        chosen: dict[Heading, list[Thumbnail]] = {heading: [] for heading in ordered}
        left = PICTURE_BYTES
        for place in range(self._per_section):
            for heading, entries in ordered.items():
                if place < len(entries) and len(entries[place][2].webp) <= left:
                    chosen[heading].append(entries[place][2])
                    left -= len(entries[place][2].webp)
        return [Section(title, pictures) for (_, title), pictures in chosen.items() if pictures]

    def _headings(self, result: Result, label: str | None, score: float) -> Iterator[tuple[Heading, float]]:
        """The headings that a result may stand under, each with its rank there: higher is more telling."""
        if label is None and result.verdict is Verdict.NG:
            yield (0, "Rejected, highest scores first"), score
        if label is None and result.verdict is Verdict.REVIEW:
            yield (1, "To review, highest scores first"), score
        if label == "good":
            yield (0, "Good images with the highest scores"), score
        elif label is not None:
            if result.verdict is not Verdict.NG:
                yield (1, "Missed defects, lowest scores first"), -score
            heading = (2, f"Defects of the kind {label}")
            if heading in self._kept or sum(place == 2 for place, _ in self._kept) < KINDS:
                yield heading, score
        if label in (None, "good") and result.verdict is Verdict.OK:
            yield (3, "A sample of OK images"), zlib.crc32(result.image.encode("utf-8", "surrogatepass"))

    def picture(self, result: Result, label: str, pixels: Pixels | None) -> Thumbnail | None:
        """One that stands for itself; None of an image that could not be measured."""
        if result.score is None or result.anomaly_map is None or pixels is None:
            return None
        return self._picture(result, label, pixels)

    def _picture(self, result: Result, label: str | None, pixels: NDArray[Any]) -> Thumbnail:
        assert result.score is not None  # no ERROR comes here
        assert result.anomaly_map is not None
        pair = self._side_by_side(result, pixels)
        found, webp = _in_words(result), encoded(pair)
        golden = None if result.comparison is None else result.comparison.golden
        panel = 0 if golden is None else shown_size(golden)[1]
        shape = pair.shape[1], pair.shape[0]
        return Thumbnail(result.image, label, result.verdict, result.score, found, *shape, webp, result.seen, panel)

    def _side_by_side(self, result: Result, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """The image beside its heat map; of a model that compares, beside the golden one in its frame and as it was."""
        assert result.anomaly_map is not None
        height, width = shown_size(pixels)
        small_pixels = imaging.resize(pixels, height, width)
        regions = [region.scaled(width / pixels.shape[1]) for region in result.regions]
        shown = plain(small_pixels, *self._levels)
        if result.comparison is not None:
            return in_a_row(self._compared(result, result.comparison), outlined(shown, regions, 1.0))
        return in_a_row(shown, overlay(small_pixels, result.anomaly_map, self._low, self._high, regions, *self._levels))

    def _compared(self, result: Result, comparison: Comparison) -> NDArray[np.uint8]:
        """Golden image, aligned image and change, with outlines, in the golden frame."""
        size = shown_size(comparison.golden)
        scale = size[1] / comparison.golden.shape[1]
        regions = [region.scaled(scale) for region in placed(result.regions, comparison)]
        golden, image = (imaging.resize(one, *size) for one in (comparison.golden, comparison.image))
        small = replace(comparison, golden=golden, image=image)
        return side_by_side(small, self._low, self._high, *self._levels, regions=regions)


def shown_size(pixels: NDArray[Any]) -> tuple[int, int]:
    """Height and width of a picture of an image (H, W, C)."""
    scale = min(1.0, SIDE / max(pixels.shape[:2]))
    return max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))


def in_a_row(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures (H, W, 3) beside each other, white below the lower one."""
    height = max(len(left), len(right))
    left, right = (np.pad(one, ((0, height - len(one)), (0, 0), (0, 0)), constant_values=255) for one in (left, right))
    return np.concatenate([left, np.full((height, GAP, 3), 255, np.uint8), right], axis=1)


def encoded(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as WebP."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def uri(webp: bytes) -> str:
    """As a data URI."""
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")


def _in_words(result: Result) -> str:
    if any(region.fallback for region in result.regions):
        return "no region, the box marks the peak"
    count = len(result.regions)
    return f"{count} region" if count == 1 else f"{count or 'no'} regions"
