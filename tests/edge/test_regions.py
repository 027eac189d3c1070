"""Labels, boxes and outlines of regions, against scipy and against areas computed by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from anomalib_lite.edge import regions
from anomalib_lite.edge.manifest import RegionsRecord
from anomalib_lite.edge.regions import Region

EIGHT = np.ones((3, 3))
Mask = NDArray[np.bool_]

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


def mask_of(*rows: str) -> Mask:
    return np.array([[cell == "#" for cell in row] for row in rows])


def find(mask: Mask, values: NDArray[Any] | None = None, **options: Any) -> tuple[Region, ...]:
    anomaly_map = mask.astype(np.float32) if values is None else values
    return regions.find_regions(anomaly_map, mask, *mask.shape, **options)


def signed_area(outline: tuple[tuple[float, float], ...]) -> float:
    """Positive where the outline is clockwise as seen, y pointing down."""
    x, y = np.array(outline).T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def random_mask(density: float, shape: tuple[int, int] = (300, 401)) -> Mask:
    return np.random.default_rng(int(density * 1000)).random(shape) < density


# ---- labels


@settings(max_examples=300)
@given(masks)
def test_labels_are_scipy_s(mask: Mask) -> None:
    labels, count = regions.label(mask)
    expected, expected_count = ndimage.label(mask, EIGHT)
    assert count == expected_count
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("density", [0.01, 0.3, 0.4, 0.5, 0.7, 1.0])
def test_labels_of_noise_are_scipy_s(density: float) -> None:
    mask = random_mask(density)
    labels, count = regions.label(mask)
    expected, expected_count = ndimage.label(mask, EIGHT)
    assert count == expected_count
    pairs = np.unique(np.stack([labels.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == count + (not mask.all())  # one to one


def test_a_long_snake_is_one_component() -> None:
    mask = np.zeros((401, 401), bool)
    mask[::2] = True
    mask[1::4, -1] = mask[3::4, 0] = True
    for turned in (mask, mask.T, mask[::-1, ::-1]):
        assert regions.label(turned)[1] == 1


def test_no_pixel_no_region() -> None:
    labels, count = regions.label(np.zeros((3, 4), bool))
    assert count == 0
    assert not labels.any()
    assert find(np.zeros((3, 4), bool)) == ()


# ---- regions


def test_a_region_by_hand() -> None:
    mask = mask_of(
        ".....",
        ".##..",
        ".###.",
        ".....",
    )
    values = np.arange(20, dtype=np.float32).reshape(4, 5)
    (found,) = find(mask, values)
    assert found == Region(
        x=1, y=1, width=3, height=2, area=5, peak=13.0, outline=((1, 1), (3, 1), (3, 2), (4, 2), (4, 3), (1, 3))
    )


def test_boxes_areas_and_outlines_are_in_source_pixels() -> None:
    mask = mask_of("..", ".#")
    (found,) = regions.find_regions(mask.astype(np.float32), mask, 30, 25)
    assert (found.x, found.y, found.width, found.height) == (12.5, 15, 12.5, 15)
    assert found.area == pytest.approx(12.5 * 15, abs=0.05)
    assert found.outline == ((12.5, 15), (25, 15), (25, 30), (12.5, 30))


def test_pixels_that_meet_at_a_corner_are_one_region_with_one_outline() -> None:
    (found,) = find(mask_of("#.", ".#"))
    assert found.area == 2
    assert found.outline == ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (1, 2), (1, 1), (0, 1))


def test_a_hole_is_not_in_the_area_but_inside_the_outline() -> None:
    (found,) = find(mask_of("###", "#.#", "###"))
    assert found.area == 8
    assert found.outline == ((0, 0), (3, 0), (3, 3), (0, 3))


def test_the_highest_peak_comes_first_and_small_regions_can_be_left_out() -> None:
    mask = mask_of("##..#", "....#", "#....")
    values = np.where(mask, [[1, 2, 0, 0, 9], [0, 0, 0, 0, 3], [5, 0, 0, 0, 0]], 0).astype(np.float32)
    assert [one.peak for one in find(mask, values)] == [9, 5, 2]
    assert [one.peak for one in find(mask, values, rules=RegionsRecord(min_area=2))] == [9, 2]


def test_at_most_a_hundred_regions_are_listed() -> None:
    mask = np.zeros((41, 41), bool)
    mask[::2, ::2] = True
    values = np.random.default_rng(0).random(mask.shape)
    found = find(mask, values)
    assert len(found) == regions.MAX_REGIONS
    assert [one.peak for one in found] == sorted(values[mask], reverse=True)[: regions.MAX_REGIONS]


@settings(max_examples=300)
@given(masks, st.integers(0, 2**32 - 1))
def test_every_region_is_scipy_s(mask: Mask, seed: int) -> None:
    values = np.random.default_rng(seed).permutation(mask.size).reshape(mask.shape).astype(np.float32)
    expected, count = ndimage.label(mask, EIGHT)
    found = {one.peak: one for one in find(mask, values)}
    assert len(found) == count
    for number, (rows, columns) in enumerate(ndimage.find_objects(expected), start=1):
        component = expected == number
        region = found[values[component].max()]
        assert (region.x, region.y) == (columns.start, rows.start)
        assert (region.width, region.height) == (columns.stop - columns.start, rows.stop - rows.start)
        assert region.area == np.count_nonzero(component)
        assert signed_area(region.outline) == np.count_nonzero(ndimage.binary_fill_holes(component))


@given(masks)
def test_outlines_turn_at_each_corner_along_pixel_edges(mask: Mask) -> None:
    for region in find(mask):
        corners = np.array(region.outline)
        sides = np.roll(corners, -1, axis=0) - corners
        assert (np.count_nonzero(sides, axis=1) == 1).all()
        assert (np.sum(sides * np.roll(sides, -1, axis=0), axis=1) == 0).all()
        assert tuple(corners.min(axis=0)) == (region.x, region.y)
        assert tuple(corners.max(axis=0)) == (region.x + region.width, region.y + region.height)


def test_an_outline_with_too_many_corners_is_drawn_coarser_around_the_region() -> None:
    mask = random_mask(0.6, (333, 257))
    largest = max(find(mask), key=lambda one: one.area)
    assert 4 <= len(largest.outline) <= regions.MAX_CORNERS
    labels, _ = ndimage.label(mask, EIGHT)
    component = labels == np.bincount(labels[mask]).argmax()
    assert signed_area(largest.outline) >= np.count_nonzero(component)
    corners = np.array(largest.outline)
    assert tuple(corners.min(axis=0)) == (largest.x, largest.y)
    assert tuple(corners.max(axis=0)) == (largest.x + largest.width, largest.y + largest.height)


def test_json_round_trip() -> None:
    found = find(mask_of("##.", ".##", "#.."))
    line = json.dumps([one.to_json() for one in found], allow_nan=False)
    assert tuple(Region.from_json(one) for one in json.loads(line)) == found


# ---- the peak


def test_the_peak_gets_the_box_of_what_is_high_around_it() -> None:
    anomaly_map = np.zeros((10, 12), np.float32)
    anomaly_map[2, 3], anomaly_map[3, 4], anomaly_map[3, 5] = 4, 3, 2  # the middle between peak and median is 2
    anomaly_map[8, 8] = 3.9  # high, but elsewhere
    region = regions.peak_region(anomaly_map, 20, 36)
    assert region == Region(9, 4, 6, 4, 12, 4.0, ((9, 4), (15, 4), (15, 8), (9, 8)), fallback=True)
    assert Region.from_json(region.to_json()) == region


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_the_peak_of_a_flat_map_is_one_pixel(value: float) -> None:
    region = regions.peak_region(np.full((4, 4), value, np.float32), 4, 4)
    assert (region.x, region.y, region.width, region.height, region.area) == (0, 0, 1, 1, 1)
    assert region.peak == value


@given(hnp.arrays(np.float32, (6, 7), elements=st.floats(-100, 100, width=32)))
def test_the_peak_is_in_its_box(anomaly_map: NDArray[np.float32]) -> None:
    region = regions.peak_region(anomaly_map, 6, 7)
    y, x = np.unravel_index(int(anomaly_map.argmax()), anomaly_map.shape)
    assert region.x <= x < region.x + region.width
    assert region.y <= y < region.y + region.height
    assert region.peak == anomaly_map.max()


# ---- what the model says of regions: margin, merge


@settings(max_examples=200, deadline=None)
@given(masks, st.integers(0, 4))
def test_regions_are_those_whose_pixels_lie_no_further_apart_than_asked(mask: Mask, merge: int) -> None:
    near = [(y, x) for y in range(-merge - 1, merge + 2) for x in range(-merge - 1, merge + 2)]
    open_, groups = set(map(tuple, np.argwhere(mask).tolist())), 0
    while open_:
        groups, front = groups + 1, [open_.pop()]
        while front:
            y, x = front.pop()
            touched = {(y + dy, x + dx) for dy, dx in near} & open_
            open_ -= touched
            front += touched
    assert len(find(mask, rules=RegionsRecord(merge=merge))) == min(groups, regions.MAX_REGIONS)


@settings(max_examples=200, deadline=None)
@given(masks, st.integers(0, 4), st.integers(0, 4))
def test_boxes_are_those_of_the_parts_and_the_margin_within_the_image(mask: Mask, merge: int, margin: int) -> None:
    bare = find(mask, rules=RegionsRecord(merge=merge))
    wide = find(mask, rules=RegionsRecord(merge=merge, margin=margin))
    height, width = mask.shape
    assert sum(one.area for one in wide) == mask.sum()
    for one, two in zip(bare, wide, strict=True):
        assert (one.area, one.peak) == (two.area, two.peak)
        assert two.x == max(0, one.x - margin)
        assert two.y == max(0, one.y - margin)
        assert two.x + two.width == min(width, one.x + one.width + margin)
        assert two.y + two.height == min(height, one.y + one.height + margin)
        x, y = np.array(two.outline).T
        assert (x.min(), y.min(), x.max(), y.max()) == (two.x, two.y, two.x + two.width, two.y + two.height)
        assert signed_area(two.outline) >= two.area


def test_lengths_are_pixels_of_the_image_and_not_of_the_map() -> None:
    mask = np.zeros((20, 20), bool)
    mask[10, 5] = mask[10, 8] = True  # in an image twice as wide 4 pixels apart
    apart, joined = (
        regions.find_regions(mask.astype(np.float32), mask, 20, 40, RegionsRecord(merge=merge, margin=6))
        for merge in (2, 4)
    )
    assert [(one.x, one.y, one.width, one.height) for one in apart] == [(4, 4, 14, 13), (10, 4, 14, 13)]
    assert [(one.x, one.width, one.area) for one in joined] == [(4, 20, 4)]


def test_the_peak_of_an_image_without_regions_has_the_margin_too() -> None:
    values = np.zeros((20, 20), np.float32)
    values[10, 10] = 1
    found = regions.peak_region(values, 20, 20, RegionsRecord(margin=3))
    assert (found.x, found.y, found.width, found.height, found.area) == (7, 7, 7, 7, 1)
