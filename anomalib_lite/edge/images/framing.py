"""How a source image becomes the frames that a graph sees, and how their maps become one map of the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.manifest import ImageSpec, Mode, PoseRecord
from anomalib_lite.errors import ErrorCode, ImageError


@dataclass(frozen=True, eq=False)
class Frame:
    """One input of the graph, and where it comes from."""

    image: NDArray[np.generic]  # (h, w, C) of the spec, or of `Framing.source`
    region: NDArray[np.bool_]  # (h, w): real image inside the region of interest, no padding
    valid: NDArray[np.bool_]  # (h, w): what counts for the score: the region, of a tile only its core
    inside: tuple[slice, slice]  # rows and columns of the frame that are real image
    place: tuple[slice, slice]  # where they lie in the map of the source


@dataclass(frozen=True, eq=False)
class Framing:
    """Places images into frames of `spec`, the same way in training, calibration and on the device."""

    spec: ImageSpec
    mode: Mode = "stretch"
    overlap: int = 0  # tile: pixels of context around each core
    convert: bool = False  # to the spec's channels; otherwise other channels are refused
    source: tuple[int, int] | None = None  # (H, W) that alone is taken, where the graph itself resizes (stretch)
    roi: NDArray[np.bool_] | None = field(
        default=None, repr=False
    )  # (H, W); stretched over the image where sizes differ
    masked: bool = False  # images say what of them is to be inspected: `Picture.valid`
    align: bool = False  # inspected images are warped onto a golden one first: see `edge.golden.pairing`
    pose: PoseRecord | None = None  # what is known of where they lie; None in models of older versions

    @property
    def masks(self) -> bool:
        """Whether parts of a frame may be invalid, so that the graph has the input `valid`."""
        return self.mode != "stretch" or self.roi is not None or self.masked or self.align

    def frames(self, pixels: NDArray[np.generic]) -> list[Frame]:
        """Cut one image (H, W, C) into frames.

        Raises:
            ImageError: The dtype or the channels are not the spec's, or the size is not `source`.
        """
        pixels = imaging.conform(pixels, self.spec, convert=self.convert)
        if self.mode == "tile":
            return self._tiles(pixels)
        return [self._letterbox(pixels) if self.mode == "letterbox" else self._stretch(pixels)]

    def check(self, pixels: NDArray[np.generic]) -> None:
        """Raise where the size of an image (H, W, C) is not `source`.

        Raises:
            ImageError: It is not (`wrong_size`).
        """
        if self.source not in (None, pixels.shape[:2]):
            found, taken = (f"{size[1]} x {size[0]}" for size in (pixels.shape, self.source))
            raise ImageError(f"the image is {found} pixels, this export takes {taken} alone", ErrorCode.WRONG_SIZE)

    def count(self, height: int, width: int) -> int:
        """How many frames an image of this size becomes."""
        if self.mode != "tile":
            return 1
        return len(_cores(height, self.spec.height - 2 * self.overlap)) * len(
            _cores(width, self.spec.width - 2 * self.overlap)
        )

    def assemble(
        self, frames: Sequence[Frame], maps: Sequence[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Join the maps (h, w) of all frames of one image.

        Tiles are blended where they overlap, each weighing less towards its edge, so that no seam shows even where a
        detector sees the same place differently from two tiles.

        Returns:
            The anomaly map and what of it is valid, both (h', w') and covering the source image exactly: at its own
            resolution with tiles, at the model's otherwise. Where it is not valid the map holds its lowest valid value.
        """
        height = max(frame.place[0].stop for frame in frames)
        width = max(frame.place[1].stop for frame in frames)
        if len(frames) == 1:
            anomaly_map = maps[0][frames[0].inside].copy()
        else:
            anomaly_map, total = np.zeros((2, height, width), np.float32)
            weight = np.outer(_ramp(self.spec.height, self.overlap), _ramp(self.spec.width, self.overlap))
            for frame, one in zip(frames, maps, strict=True):
                anomaly_map[frame.place] += (weight * one)[frame.inside]
                total[frame.place] += weight[frame.inside]
            anomaly_map /= total
        valid = self.region(height, width)
        if not valid.all():
            anomaly_map[~valid] = anomaly_map[valid].min() if valid.any() else anomaly_map.min()
        return anomaly_map, valid

    def of(self, valid: NDArray[np.bool_] | None) -> Framing:
        """The same for an image of which `valid` (H, W) is to be inspected; None for all of it.

        Where images are aligned it moves with them, and narrows the frame there: `edge.golden.pairing`.

        Raises:
            ImageError: The graph cannot leave anything out (`unsupported_mode`).
        """
        if valid is None or valid.all() or self.align:
            return self
        if not self.masked:
            raise ImageError(
                "the image says what of it is to be inspected (Picture.valid), and the model was trained on images "
                "that do not: train it with such images",
                ErrorCode.UNSUPPORTED_MODE,
            )
        return self.within(valid)

    def within(self, covered: NDArray[np.bool_]) -> Framing:
        """The same, its region of interest narrowed to `covered` (H, W)."""
        return replace(self, roi=self.region(*covered.shape) & covered)

    def asked(self, height: int, width: int) -> NDArray[np.bool_]:
        """What of a golden frame an image has to show: the region of interest without the frame's edge, if any is left.

        A region within the edge alone has to be shown as it is.
        """
        region = self.region(height, width)
        edge = round((self.pose.edge if self.pose else 0.0) * min(height, width))
        inner = np.zeros_like(region)
        inner[edge : height - edge, edge : width - edge] = region[edge : height - edge, edge : width - edge]
        return inner if inner.any() else region

    def _stretch(self, pixels: NDArray[np.generic]) -> Frame:
        height, width = self.spec.height, self.spec.width
        self.check(pixels)
        whole = (slice(0, height), slice(0, width))
        region = self.region(height, width)
        image = pixels if self.source else imaging.resize(pixels, height, width)
        return Frame(image, region, region, whole, whole)

    def _letterbox(self, pixels: NDArray[np.generic]) -> Frame:
        scale = min(self.spec.height / pixels.shape[0], self.spec.width / pixels.shape[1])
        height = max(1, min(self.spec.height, round(pixels.shape[0] * scale)))
        width = max(1, min(self.spec.width, round(pixels.shape[1] * scale)))
        top, left = (self.spec.height - height) // 2, (self.spec.width - width) // 2
        bars = ((top, self.spec.height - height - top), (left, self.spec.width - width - left))
        image = np.pad(imaging.resize(pixels, height, width), (*bars, (0, 0)), mode="edge")
        region = np.pad(self.region(height, width), bars)
        inside = (slice(top, top + height), slice(left, left + width))
        return Frame(np.ascontiguousarray(image), region, region, inside, (slice(0, height), slice(0, width)))

    def _tiles(self, pixels: NDArray[np.generic]) -> list[Frame]:
        """Cores partition the image; each tile is its core with `overlap` pixels of context, edges replicated."""
        region = self.region(*pixels.shape[:2])
        rows = _cores(pixels.shape[0], self.spec.height - 2 * self.overlap)
        columns = _cores(pixels.shape[1], self.spec.width - 2 * self.overlap)
        return [self._tile(pixels, region, row, column) for row in rows for column in columns]

    def _tile(self, pixels: NDArray[np.generic], region: NDArray[np.bool_], row: slice, column: slice) -> Frame:
        y = _Window.around(row, self.spec.height, pixels.shape[0])
        x = _Window.around(column, self.spec.width, pixels.shape[1])
        counted = np.zeros((self.spec.height, self.spec.width), bool)
        counted[y.inside, x.inside] = region[y.place, x.place]
        core = np.zeros_like(counted)
        core[y.core, x.core] = counted[y.core, x.core]
        image = pixels[y.place, x.place]
        if image.shape[:2] != counted.shape:
            image = np.pad(image, (y.missing, x.missing, (0, 0)), mode="edge")
        return Frame(image, counted, core, (y.inside, x.inside), (y.place, x.place))

    def region(self, height: int, width: int) -> NDArray[np.bool_]:
        """The region of interest at a size, by nearest pixel; everything where there is none.

        One that lies between the nearest pixels is wherever any of it is: it has to be inspected, too.
        """
        if self.roi is None:
            return np.ones((height, width), bool)
        if self.roi.shape == (height, width):
            return self.roi
        y = (np.arange(height) + 0.5) * self.roi.shape[0] / height
        x = (np.arange(width) + 0.5) * self.roi.shape[1] / width
        found = self.roi[np.ix_(y.astype(int), x.astype(int))]
        if not found.any():
            rows, columns = np.nonzero(self.roi)
            found[rows * height // self.roi.shape[0], columns * width // self.roi.shape[1]] = True
        return found


def _cores(length: int, step: int) -> list[slice]:
    """Partition `length` pixels into the fewest cores of at most `step`, of equal length within one pixel."""
    count = -(-length // step)
    edges = [length * index // count for index in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


class _Window(NamedTuple):
    """One axis of a tile: `size` positions around a core.

    The window is moved inside the image where it can be, so that tiles at the border see real context; where the image
    is smaller than a tile, its edge pixels are repeated.
    """

    core: slice  # of the tile
    inside: slice  # of the tile: real image
    place: slice  # of the source: where `inside` lies
    missing: tuple[int, int]  # pixels of the tile before and behind the image

    @classmethod
    def around(cls, core: slice, size: int, length: int) -> Self:
        """The window of `size` pixels around a core of an axis of `length` pixels."""
        start = core.start - (size - (core.stop - core.start)) // 2
        start = min(max(start, 0), length - size) if length >= size else (length - size) // 2
        place = slice(max(start, 0), min(start + size, length))
        return cls(
            core=slice(core.start - start, core.stop - start),
            inside=slice(place.start - start, place.stop - start),
            place=place,
            missing=(place.start - start, start + size - place.stop),
        )


def _ramp(size: int, overlap: int) -> NDArray[np.float32]:
    """Weights along one axis of a tile: rising over twice the overlap, so that two neighbours add up smoothly."""
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    return np.minimum(edge / max(1, 2 * overlap), 1).astype(np.float32)
