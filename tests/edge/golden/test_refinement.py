"""Refinement of a pose: it goes to where the images correlate best, and nowhere that nothing tells of."""

from __future__ import annotations

import numpy as np
import pytest

from anomalib_lite.edge.golden.refinement import furthest, maximised

cv2 = pytest.importorskip("cv2")


def texture(height: int = 200, width: int = 240) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1, (height, width)).astype(np.float32)
    return np.asarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 20, 230, cv2.NORM_MINMAX), np.uint8)


def everywhere(image: np.ndarray) -> np.ndarray:
    return np.ones_like(image)


@pytest.mark.parametrize("rigid", [True, False])
def test_a_pose_two_pixels_off_is_found_under_another_light(rigid: bool) -> None:
    golden = texture()
    matrix = np.vstack([cv2.getRotationMatrix2D((120, 100), 0.7, 1.004), [0, 0, 1]])
    matrix[:2, 2] += 1.3, -1.1
    if not rigid:
        matrix[2, :2] = 3e-5, -2e-5
    image = cv2.warpPerspective(golden, matrix, (240, 200), borderMode=cv2.BORDER_REPLICATE)
    image = np.clip(image * 0.7 + 31, 0, 255).round().astype(np.uint8)
    found = maximised(np.eye(3), image, golden, everywhere(golden), rigid=rigid)
    assert furthest(found @ matrix, golden.shape) < 0.1 < furthest(matrix, golden.shape)


def test_stripes_tell_nothing_of_where_they_lie_along_themselves() -> None:
    golden = np.tile(texture()[:1], (200, 1))
    found = maximised(np.eye(3), np.roll(golden, 1, 1), golden, everywhere(golden), rigid=True)
    assert found[:2, 2] == pytest.approx([-1, 0], abs=0.1)
    assert found[:2, :2] == pytest.approx(np.eye(2), abs=1e-3)


@pytest.mark.parametrize("blank", ["image", "golden", "counted"])
def test_where_there_is_nothing_to_go_by_the_pose_stays(blank: str) -> None:
    given = {"image": texture(), "golden": texture(), "counted": everywhere(texture())}
    given[blank] = np.zeros_like(given[blank])
    pose = np.array([[1, 0, 2.0], [0, 1, 1], [0, 0, 1]])
    assert np.array_equal(maximised(pose, given["image"], given["golden"], given["counted"], rigid=False), pose)
