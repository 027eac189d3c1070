"""Where an image is anomalous: 8-connected regions of a thresholded map, with boxes and outlines in source pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

MAX_REGIONS = 100
"""Most regions listed for one image, those of the highest peaks: an image of noise must not make a row of megabytes."""

MAX_CORNERS = 1000
"""Most corners of one outline; a longer one is drawn coarser, around the region."""

Point = tuple[float, float]
Runs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]  # row, first column, column after the last


@dataclass(frozen=True, slots=True)
class Region:
    """A connected part of the map above its threshold, in pixels of the source image."""

    x: float  # left edge of the bounding box
    y: float  # its top edge
    width: float
    height: float
    area: float  # of the region itself, holes left out
    peak: float  # highest value of the map in it, raw
    outline: tuple[
        Point, ...
    ]  # corners of the outer boundary, along pixel edges, clockwise as seen; holes are not in it
    fallback: bool = False  # the box of the peak of a rejected image without any pixel above the map threshold

    def scaled(self, scale: float) -> Region:
        """The same in an image whose sides are `scale` times as long."""
        return replace(
            self,
            x=self.x * scale,
            y=self.y * scale,
            width=self.width * scale,
            height=self.height * scale,
            area=self.area * scale**2,
            outline=tuple((x * scale, y * scale) for x, y in self.outline),
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "x": self.x,
            "y": self.y,
            "width": self.width,
            "height": self.height,
            "area": self.area,
            "peak": self.peak,
            "outline": [list(point) for point in self.outline],
            "fallback": self.fallback,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        return cls(**{**data, "outline": tuple((x, y) for x, y in data["outline"])})


def label(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the 8-connected components of a mask (H, W).

    Returns:
        Labels (H, W), 0 outside and 1..count inside, in the order of their first pixels; and the count.
    """
    _, starts, stops = runs = _runs(mask)
    numbers, count = _components(runs)
    labels = np.zeros(mask.size, np.int32)
    labels[np.flatnonzero(mask)] = np.repeat(numbers + 1, stops - starts)
    return labels.reshape(mask.shape), count


def find_regions(
    anomaly_map: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_],
    source_height: int,
    source_width: int,
    min_area: float = 0,
) -> tuple[Region, ...]:
    """List the regions of a mask, the highest peak first; at most `MAX_REGIONS`.

    Args:
        anomaly_map: (h, w), covers the source image.
        mask: (h, w), the pixels above the threshold.
        source_height: In pixels; with `source_width`, what boxes, outlines and areas are scaled to.
        source_width: In pixels.
        min_area: Smaller regions are left out, in source pixels.
    """
    height, width = mask.shape
    rows, starts, stops = runs = _runs(mask)
    numbers, count = _components(runs)
    if count == 0:
        return ()
    lengths = stops - starts
    areas = np.bincount(numbers, lengths, count)
    run_peaks = np.maximum.reduceat(anomaly_map[mask], np.cumsum(lengths) - lengths)
    peaks = np.full(count, -np.inf)
    np.maximum.at(peaks, numbers, run_peaks)
    order = np.argsort(-peaks, kind="stable")
    scale = (source_width / width, source_height / height)
    order = order[areas[order] * (scale[0] * scale[1]) >= min_area][:MAX_REGIONS]
    by_number = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[by_number], np.arange(count + 1))
    found = []
    for number in order:
        mine = by_number[bounds[number] : bounds[number + 1]]
        own = (rows[mine], starts[mine], stops[mine])
        found.append(_region(own, float(areas[number]), float(peaks[number]), scale))
    return tuple(found)


def peak_region(anomaly_map: NDArray[np.floating[Any]], source_height: int, source_width: int) -> Region:
    """The surroundings of the highest value: what is shown where no pixel is above the threshold, as a fallback.

    They are the pixels connected to the peak that are above the middle between it and the median of the map; the
    outline is their box.
    """
    row, column = np.unravel_index(int(np.argmax(anomaly_map)), anomaly_map.shape)
    peak = anomaly_map[row, column]
    near = anomaly_map > (float(peak) + float(np.median(anomaly_map))) / 2
    near[row, column] = True  # a flat map has nothing above its middle
    labels, _ = label(near)
    inside = labels == labels[row, column]
    ys, xs = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = np.arange(ys[0], ys[-1] + 1)
    runs = (box, np.full(len(box), xs[0]), np.full(len(box), xs[-1] + 1))
    scale = (source_width / anomaly_map.shape[1], source_height / anomaly_map.shape[0])
    return _region(runs, float(np.count_nonzero(inside)), float(peak), scale, fallback=True)


def _region(runs: Runs, area: float, peak: float, scale: tuple[float, float], *, fallback: bool = False) -> Region:
    rows, starts, stops = runs
    left, top = _scaled(int(starts.min()), scale[0]), _scaled(int(rows[0]), scale[1])
    right, bottom = _scaled(int(stops.max()), scale[0]), _scaled(int(rows[-1]) + 1, scale[1])
    outline = tuple((_scaled(x, scale[0]), _scaled(y, scale[1])) for x, y in _outline(runs))
    width, height = round(right - left, 1), round(bottom - top, 1)
    return Region(left, top, width, height, _scaled(area, scale[0] * scale[1]), peak, outline, fallback)


def _scaled(value: float, factor: float) -> float:
    return round(value * factor, 1)


def _runs(mask: NDArray[np.bool_]) -> Runs:
    """Horizontal runs of a mask, in reading order."""
    height, width = mask.shape
    padded = np.zeros((height, width + 1), np.bool_)  # a False between the end of a row and the next
    padded[:, :width] = mask
    flat = padded.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    first, after = changes[::2], changes[1::2]
    rows, starts = np.divmod(first, width + 1)
    return rows, starts, starts + after - first


def _components(runs: Runs) -> tuple[NDArray[np.intp], int]:
    """The component of each run, numbered from 0 in the order of first runs; and their count.

    Runs of neighbouring rows touch where their columns overlap, or meet at a corner: a run touches a range of the runs
    of the row above, found by bisection.
    """
    rows, starts, stops = runs
    count = len(rows)
    if count == 0:
        return np.zeros(0, np.intp), 0
    stride = int(stops.max()) + 2
    first_at, last_at = rows * stride + starts, rows * stride + stops
    begin = np.searchsorted(last_at, first_at - stride, side="left")  # run above ends at or after my start
    end = np.searchsorted(first_at, last_at - stride, side="right")  # run above starts at or before my end
    links = np.maximum(end - begin, 0)
    lower = np.repeat(np.arange(count), links)
    upper = np.arange(len(lower)) - np.repeat(np.cumsum(links) - links, links) + np.repeat(begin, links)
    roots = _merge(count, lower, upper)
    _, numbers = np.unique(roots, return_inverse=True)
    return numbers, int(numbers.max()) + 1


def _merge(count: int, lower: NDArray[np.intp], upper: NDArray[np.intp]) -> NDArray[np.intp]:
    """The smallest node that each of `count` nodes is connected to by the links (lower, upper).

    Each root is hooked to the smallest root that it is linked to, and paths are halved, until nothing changes (after
    Shiloach and Vishkin, 1982, An O(log n) parallel connectivity algorithm): a few passes over the links.
    """
    parent = np.arange(count)
    while len(lower):
        a, b = parent[lower], parent[upper]
        apart = a != b
        lower, upper, a, b = lower[apart], upper[apart], a[apart], b[apart]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while True:
            above = parent[parent]
            if np.array_equal(above, parent):
                break
            parent = above
    return parent


def _outline(runs: Runs) -> list[tuple[int, int]]:
    """Corners (x, y) of the outer boundary of one 8-connected component, clockwise, in pixels of the map.

    With more than `MAX_CORNERS` of them, the boundary of the blocks of 2 x 2, 4 x 4, ... pixels that hold any of it.
    """
    rows, starts, stops = runs
    top, left = int(rows[0]), int(starts.min())
    height, width = int(rows[-1]) - top + 1, int(stops.max()) - left
    steps = np.zeros((height, width + 1), np.int8)
    steps[rows - top, starts - left] += 1
    steps[rows - top, stops - left] -= 1
    inside = np.cumsum(steps, axis=1, dtype=np.int8)[:, :width].astype(np.bool_)
    block = 1
    while (corners := _walk(inside)) is None:
        block *= 2
        inside = _halved(inside)
    return [(left + min(x * block, width), top + min(y * block, height)) for x, y in corners]


def _halved(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Blocks of 2 x 2 pixels that hold any of the component."""
    height, width = inside.shape
    even = np.pad(inside, ((0, height % 2), (0, width % 2)))
    blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2)
    return np.asarray(blocks.any(axis=(1, 3)))


def _walk(inside: NDArray[np.bool_]) -> list[tuple[int, int]] | None:
    """Follow pixel edges around a component, keeping it on the right; None with more than `MAX_CORNERS` corners.

    Where pixels meet at a corner only, the walk turns left, across it: one closed polygon goes around all of them.
    """
    pitch = inside.shape[1] + 2
    cells = np.pad(inside, 1).tobytes()
    step = (1, pitch, -1, -pitch)  # east, south, west, north; a vertex has the index of the pixel south-east of it
    ahead_left, ahead_right = (-pitch, 0, -1, -pitch - 1), (0, -1, -pitch - 1, -pitch)
    start = cells.index(1)
    at, heading, corners = start, 0, [start]
    while len(corners) <= MAX_CORNERS:
        at += step[heading]
        if cells[at + ahead_left[heading]]:
            heading = (heading - 1) % 4
        elif cells[at + ahead_right[heading]]:
            continue
        else:
            heading = (heading + 1) % 4
        if at == start and heading == 0:
            return [(corner % pitch - 1, corner // pitch - 1) for corner in corners]
        corners.append(at)
    return None
