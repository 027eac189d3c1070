"""Bent parts and long strips: local corrections by tiles are right, or refused, and follow no defect."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from test_alignment import board, corner_error

from anomalib_lite.edge.golden.alignment import Alignment, align
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.golden.warping import warped
from anomalib_lite.errors import ImageError

cv2 = pytest.importorskip("cv2")


def bow(shape: tuple[int, ...], pixels: float) -> np.ndarray:
    """A displacement (h, w, 2) that no plane has: a bow across, an S down."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return pixels * np.stack([0.8 * (x**2 - 1 / 3) + 0.3 * y**3, 0.8 * x * y - 0.4 * (y**2 - 1 / 3)], 2)


def bent(golden: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """What of `golden` belongs at x is seen at x + bend(x), in noise."""
    places = np.stack(np.meshgrid(np.arange(golden.shape[1]), np.arange(golden.shape[0])), 2).astype(np.float32)
    from_where = places.copy()
    for _ in range(4):
        there = cv2.remap(bend.astype(np.float32), from_where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        from_where = places - there
    seen = cv2.remap(golden, from_where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).reshape(golden.shape)
    noise = np.random.default_rng(0).normal(0, 2, golden.shape)
    return np.asarray(np.clip(seen + noise, 0, 255).round(), np.uint8)


def wrong(found: Alignment, bend: np.ndarray) -> float:
    """How far 19 of 20 places of the frame are from where they belong, in pixels."""
    height, width = bend.shape[:2]
    y, x = (grid.ravel() for grid in np.mgrid[8 : height - 8 : 24j, 8 : width - 8 : 24j].astype(int))
    golden = found.to_golden(np.stack([x, y], 1) + bend[y, x])
    return float(np.percentile(np.linalg.norm(golden - np.stack([x, y], 1), axis=1), 95))


def test_what_is_bent_is_straightened() -> None:
    golden = board()
    bend = bow(golden.shape, 5.0)
    flat, straight = (align(View(bent(golden, bend)), View(golden), bends=one) for one in (False, True))
    assert wrong(straight, bend) < 0.3 < 0.8 < wrong(flat, bend)
    differ = [np.abs(one.pixels.astype(int) - golden)[one.valid].mean() for one in (flat, straight)]
    assert differ[1] < 0.8 * differ[0]


def test_what_is_flat_stays_flat() -> None:
    golden = board()
    flat = np.zeros((*golden.shape[:2], 2))
    found = align(View(bent(golden, flat)), View(golden), bends=True)
    assert found.bend is not None
    assert wrong(found, flat) < 0.1
    assert found.bend.largest < 0.3


def test_a_displaced_component_is_not_followed() -> None:
    golden = board()
    bend = bow(golden.shape, 2.0)
    image = bent(golden, bend)
    found = align(View(image), View(golden), bends=True)
    image[90:150, 110:170] = np.roll(image, 3, 1)[90:150, 110:170]
    changed = align(View(image), View(golden), bends=True)
    places = np.stack(np.meshgrid(np.arange(20, 240, 10.0), np.arange(20, 240, 10.0)), 2).reshape(-1, 2)
    assert np.abs(found.to_golden(places) - changed.to_golden(places)).max() < 0.4


def test_what_is_bent_further_is_refused() -> None:
    golden = board()
    with pytest.raises(ImageError, match=r"bent by .* at most 3\.8|look alike") as caught:
        align(View(bent(golden, bow(golden.shape, 30.0))), View(golden), bends=True)
    assert caught.value.code == "alignment_failed"


def test_a_map_returns_through_the_bend() -> None:
    golden = board()
    bend = bow(golden.shape, 2.5)
    found = align(View(bent(golden, bend)), View(golden), bends=True)
    change = np.zeros((128, 128), np.float32)
    change[10, 118] = 1.0  # centre at (236.5, 20.5) of the golden image
    y, x = np.unravel_index(int(found.to_source(change, 0.0).argmax()), (256, 256))
    assert np.abs(np.array([x, y]) - np.array([236.5, 20.5]) - bend[20, 236]).max() < 1.2


@cache
def strip(height: int, width: int) -> np.ndarray:
    """Printed matter: boxes and discs of every grey."""
    random, image = np.random.default_rng(3), np.full((height, width), 200, np.uint8)
    for _ in range(height * width // 4000):
        x, y, wide, high, grey = (int(one) for one in random.integers(0, (width, height, 40, 40, 256)))
        cv2.rectangle(image, (x, y), (x + wide, y + high), grey, -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1))


@pytest.mark.parametrize("shape", [(140, 36_000), (34_000, 150), (60, 9_000)])
def test_strips_of_any_length_are_aligned_to_half_a_pixel(shape: tuple[int, int]) -> None:
    golden, turn = strip(*shape), 0.3 * min(shape) / max(shape)
    matrix = np.array([[1.002, -turn, 2.7], [turn, 1.001, -1.6], [0, 0, 1]])
    image = warped(golden, matrix, shape)
    found = align(View(image[..., None]), View(golden[..., None]))
    assert corner_error(found.homography, matrix, shape) < 0.5


def test_a_strip_that_stretches_is_refused_unless_strips_do() -> None:
    golden = strip(220, 20_000)
    x = np.linspace(-1, 1, 20_000)
    bend = np.broadcast_to(np.stack([1.5 * np.sin(3 * x), 0 * x], 1), (220, 20_000, 2))
    image = View(bent(golden, bend)[..., None])
    with pytest.raises(ImageError, match=r"or more from where they belong.*options\.bend") as caught:
        align(image, View(golden[..., None]))
    assert caught.value.code == "alignment_failed"
    assert wrong(align(image, View(golden[..., None]), bends=True), bend) < 0.5


def test_a_long_strip_that_hardly_shows_anything_is_refused() -> None:
    golden = np.zeros((33_000, 300, 1), np.uint8)
    golden[10:20, 10:30] = 200
    with pytest.raises(ImageError, match="tiles of it were found") as caught:
        align(View(np.roll(golden, 1, 1)), View(golden))
    assert caught.value.code == "alignment_failed"
