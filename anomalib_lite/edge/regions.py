"""Where an image is anomalous: 8-connected regions of a thresholded map, with boxes and outlines in source pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.growing import grown, halves, in_map
from anomalib_lite.edge.manifest import RegionsRecord

MAX_REGIONS = 100
"""Most regions listed for one image, those of the highest peaks: an image of noise must not make a row of megabytes."""

MAX_CORNERS = 1000
"""Most corners of one outline; a longer one is drawn coarser, around the region."""

Point = tuple[float, float]
Runs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]  # row, first column, column after the last
AS_THEY_ARE = RegionsRecord()


@dataclass(frozen=True, slots=True)
class Region:
    """A connected part of the map above its threshold, in pixels of the source image.

    Box and outline include the margin that the model adds, within the image.
    """

    x: float  # left edge of the bounding box
    y: float  # its top edge
    width: float
    height: float
    area: float  # of what is above the threshold: without margin, holes and what lies between joined parts
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
    rules: RegionsRecord = AS_THEY_ARE,
) -> tuple[Region, ...]:
    """List the regions of a mask, the highest peak first; at most `MAX_REGIONS`.

    Args:
        anomaly_map: (h, w), covers the source image.
        mask: (h, w), the pixels above the threshold.
        source_height: In pixels; with `source_width`, what boxes, outlines and areas are scaled to.
        source_width: In pixels.
        rules: Which parts are one region, which are left out, and the margin around each; in source pixels.
    """
    scale = (source_width / mask.shape[1], source_height / mask.shape[0])
    reach = in_map(rules.merge, scale)
    rows, starts, stops = runs = _runs(mask)
    numbers, count = _joined(runs, mask, reach) if any(reach) else _components(runs)
    if count == 0:
        return ()
    lengths = stops - starts
    areas = np.bincount(numbers, lengths, count)
    run_peaks = np.maximum.reduceat(anomaly_map[mask], np.cumsum(lengths) - lengths)
    peaks = np.full(count, -np.inf)
    np.maximum.at(peaks, numbers, run_peaks)
    order = np.argsort(-peaks, kind="stable")
    order = order[areas[order] * (scale[0] * scale[1]) >= rules.min_area][:MAX_REGIONS]
    by_number = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[by_number], np.arange(count + 1))
    found = []
    for number in order:
        mine = by_number[bounds[number] : bounds[number + 1]]
        own = _widened((rows[mine], starts[mine], stops[mine]), mask.shape, reach, in_map(rules.margin, scale))
        found.append(_region(own, float(areas[number]), float(peaks[number]), scale))
    return tuple(found)


def peak_region(
    anomaly_map: NDArray[np.floating[Any]], source_height: int, source_width: int, rules: RegionsRecord = AS_THEY_ARE
) -> Region:
    """The surroundings of the highest value: what is shown where no region is, as a fallback.

    They are the pixels connected to the peak that are above the middle between it and the median of the map; the
    outline is their box, with the margin of the rules.
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
    runs = _widened(runs, anomaly_map.shape, (0, 0), in_map(rules.margin, scale))
    return _region(runs, float(np.count_nonzero(inside)), float(peak), scale, fallback=True)


def _joined(runs: Runs, mask: NDArray[np.bool_], reach: tuple[int, int]) -> tuple[NDArray[np.intp], int]:
    """The region of each run where parts that lie at most `reach` (columns, rows) apart are one; and their count."""
    labels, _ = label(grown(mask, halves(reach)))
    numbers = labels[runs[0], runs[1]]
    known, compact = np.unique(numbers, return_inverse=True)
    return compact, len(known)


def _widened(runs: Runs, shape: tuple[int, ...], reach: tuple[int, int], margin: tuple[int, int]) -> Runs:
    """What a region is outlined by: its parts joined, and a margin of (columns, rows) around, within the map.

    What joins the parts stays inside the box of these, so that the box is that of the region and its margin.
    """
    rows, starts, stops = runs
    if not any(margin) and _components(runs)[1] == 1:
        return runs
    top, left = int(rows[0]), int(starts.min())
    inside = _filled(runs, top, left, (int(rows[-1]) + 1 - top, int(stops.max()) - left))
    inside = grown(inside, halves(reach)) if any(reach) else inside
    around = [(min(margin[1], top), margin[1]), (min(margin[0], left), margin[0])]
    inside = grown(np.pad(inside, around), ((margin[0], margin[0]), (margin[1], margin[1])))
    top, left = top - around[0][0], left - around[1][0]
    rows, starts, stops = _runs(inside[: shape[0] - top, : shape[1] - left])
    return rows + top, starts + left, stops + left


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
    inside = _filled(runs, top, left, (height, width))
    block = 1
    while (corners := _walk(inside)) is None:
        block *= 2
        inside = _halved(inside)
    return [(left + min(x * block, width), top + min(y * block, height)) for x, y in corners]


def _filled(runs: Runs, top: int, left: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Runs as a mask of a shape, whose first pixel is at (top, left)."""
    rows, starts, stops = runs
    steps = np.zeros((shape[0], shape[1] + 1), np.int8)
    np.add.at(steps, (rows - top, starts - left), 1)
    np.add.at(steps, (rows - top, stops - left), -1)
    return np.cumsum(steps, axis=1, dtype=np.int8)[:, : shape[1]].astype(np.bool_)


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
