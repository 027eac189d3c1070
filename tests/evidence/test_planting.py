"""Defects in images of every type: where they belong, as large as they are said to be, and none that nobody sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import picture

from anomalib_lite.evidence.planting import Defect, Ground, contrasts, sizes
from anomalib_lite.hookspecs import PLANTED


def textured(shape: tuple[int, int, int], dtype: str = "uint8", white: float = 255, black: float = 0) -> np.ndarray:
    """Grain of two sizes at a middle level."""
    random = np.random.default_rng(5)
    coarse = random.normal(0, 0.1, (shape[0] // 4 + 1, shape[1] // 4 + 1, shape[2])).repeat(4, 0).repeat(4, 1)
    level = 0.5 + coarse[: shape[0], : shape[1]] + random.normal(0, 0.02, shape)
    values = black + level.clip(0, 1) * (white - black)
    return (values if dtype == "float32" else values.round()).astype(dtype)


def ground(pixels: np.ndarray, white: float = 255, black: float = 0, allowed: Any = None) -> Ground:
    everywhere = np.ones(pixels.shape[:2], bool)
    return Ground.of(pixels, black, white, everywhere if allowed is None else allowed)


def planted(pixels: np.ndarray, kind: str, size: float = 20, seed: int = 1, **more: Any) -> np.ndarray | None:
    return ground(pixels, **more).with_defect(Defect(kind, size, contrasts(kind)[1]), np.random.default_rng(seed))


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize(
    ("shape", "dtype", "white", "black"),
    [
        ((96, 120, 1), "uint8", 255, 0),
        ((96, 120, 3), "uint8", 255, 0),
        ((97, 63, 1), "uint16", 4095, 0),
        ((96, 96, 1), "int16", 240, -160),
        ((96, 96, 1), "float32", 1.0, -1.0),
        ((64, 64, 5), "uint8", 255, 0),
    ],
)
def test_every_kind_changes_a_place_and_nothing_else(
    kind: str, shape: tuple[int, int, int], dtype: str, white: float, black: float
) -> None:
    before = textured(shape, dtype, white, black)
    kept = before.copy()
    after = planted(before, kind, white=white, black=black)
    assert after is not None
    assert (after.dtype, after.shape) == (before.dtype, before.shape)
    assert (before == kept).all()
    rows, columns = np.nonzero((after != before).any(2))
    assert len(rows)
    assert max(np.ptp(rows), np.ptp(columns)) <= 1.4 * 20 + 2
    assert np.isfinite(after).all()
    again = planted(before, kind, white=white, black=black)
    assert again is not None
    assert (again == after).all()


@pytest.mark.parametrize(("kind", "sign"), [("dark spot", -1), ("bright spot", 1)])
def test_spots_are_darker_and_brighter_by_their_contrast(kind: str, sign: int) -> None:
    before = np.full((100, 100, 1), 100, np.uint8)
    after = ground(before).with_defect(Defect(kind, 30, 0.4), np.random.default_rng(0))
    assert after is not None
    changed = after[after != before]
    assert np.median(changed) == 100 + sign * 40
    assert len(changed) == pytest.approx(np.pi * 15**2 * 0.85, rel=0.25)


@pytest.mark.parametrize("kind", ["blur", "swap", "warp"])
def test_what_needs_texture_is_not_planted_without(kind: str) -> None:
    assert planted(np.full((100, 100, 1), 100, np.uint8), kind) is None


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3, 1), (3, 200, 1), (8, 8, 3), (16, 5, 1)])
def test_tiny_images_get_a_defect_that_fits_or_none(kind: str, shape: tuple[int, int, int]) -> None:
    before = textured(shape)
    after = planted(before, kind, size=sizes(before)[1])
    assert after is None or (after.shape == before.shape and (after != before).any())


def test_black_and_white_images_can_have_a_spot() -> None:
    assert planted(np.zeros((64, 64, 1), np.uint8), "bright spot") is not None
    assert planted(np.full((64, 64, 1), 255, np.uint8), "dark spot") is not None
    assert planted(np.full((64, 64, 1), 255, np.uint8), "bright spot") is None  # nothing is brighter than white


def test_defects_lie_where_is_inspected_and_on_the_object() -> None:
    pixels = textured((128, 128, 1))
    allowed = np.zeros((128, 128), bool)
    allowed[:, 96:] = True
    before_background = np.full((128, 128, 1), 20, np.uint8)
    before_background[40:90, 40:90] = textured((50, 50, 1))
    for seed in range(12):
        inside = planted(pixels, "dark spot", 8, seed, allowed=allowed)
        assert inside is not None
        assert np.nonzero(inside != pixels)[1].mean() > 92
        on_it = planted(before_background, "bright spot", 8, seed)
        assert on_it is not None
        y, x = (np.nonzero(on_it != before_background)[axis].mean() for axis in (0, 1))
        assert 36 < y < 94
        assert 36 < x < 94


def test_sizes_grow_with_the_image() -> None:
    assert sizes(picture(0, size=48)) == pytest.approx((2, 14.4))
    assert sizes(np.zeros((2000, 3000, 1))) == pytest.approx((30, 600))
