"""A whole image in cells: means, whatever its size and depth."""

from __future__ import annotations

import numpy as np
import pytest

from anomalib_lite.edge.images.thumbnail import SEEN, SIDE, thumbnail


def test_cells_are_means_of_their_pixels() -> None:
    pixels = np.arange(256 * 384, dtype=np.uint16).reshape(256, 384, 1)
    assert thumbnail(pixels)[..., 0] == pytest.approx(pixels.reshape(SIDE, 2, SIDE, 3).mean((1, 3)))


def test_cells_of_uneven_sizes_cover_the_image() -> None:
    pixels = np.random.default_rng(0).integers(-500, 500, (129, 200, 3), np.int16)
    found = thumbnail(pixels)
    assert found[-1, 0] == pytest.approx(pixels[127:129, 0:1].mean((0, 1)))
    assert found[0, 2] == pytest.approx(pixels[0, 3:4].mean(0))


def test_a_small_image_has_its_pixels_repeated() -> None:
    pixels = np.random.default_rng(0).random((2, 64, 1)).astype(np.float32)
    assert np.array_equal(thumbnail(pixels), pixels.repeat(64, 0).repeat(2, 1))


def test_of_a_large_image_lines_are_left_out() -> None:
    pixels = np.zeros((4 * SEEN * SIDE, SEEN * SIDE, 1), np.uint8)
    pixels[::4] = 255
    assert (thumbnail(pixels) == 255).all()
