"""Alignment: known poses are found to a fraction of a pixel, and what cannot be aligned says so."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from anomalib_lite.edge.golden import alignment, views
from anomalib_lite.edge.golden.alignment import align
from anomalib_lite.edge.golden.light import match_light
from anomalib_lite.edge.golden.matching import alignment_failed
from anomalib_lite.edge.golden.reach import ANY, SMALL
from anomalib_lite.edge.golden.views import View, scaling, transformed
from anomalib_lite.edge.images import imaging
from anomalib_lite.errors import ImageError

cv2 = pytest.importorskip("cv2")
ROOT = Path(__file__).parents[3]
GOLDENS = sorted((ROOT / "data_samples/board/golden").glob("*.jpg"))


def board(number: int = 0) -> np.ndarray:
    return imaging.read(GOLDENS[number]).pixels


@cache
def golden_view(number: int) -> View:
    """Kept with its features, as a model keeps its own."""
    return View(board(number))


def pose(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """+-10 degrees, +-10 % of scale, shifts of +-5 % of the side."""
    height, width = shape[:2]
    matrix = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), random.uniform(-10, 10), random.uniform(0.9, 1.1)
    )
    matrix[:, 2] += random.uniform(-0.05, 0.05, 2) * min(height, width)
    return np.vstack([matrix, [0, 0, 1]])


def seen(golden: np.ndarray, matrix: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The golden image in another pose, with gamma 0.7 to 1.4 and noise."""
    height, width, channels = golden.shape
    moved = cv2.warpPerspective(golden, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    shade = 255 * (moved.reshape(height, width, channels) / 255) ** random.uniform(0.7, 1.4)
    return np.asarray(np.clip(shade + random.normal(0, 2, shade.shape), 0, 255).round(), np.uint8)


def corner_error(found: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> float:
    bottom, right = shape[0] - 1, shape[1] - 1
    corners = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], float)
    return float(np.linalg.norm(transformed(found @ matrix, corners) - corners, axis=1).max())


@pytest.mark.parametrize("seed", range(8))
def test_a_known_pose_is_found_to_half_a_pixel(seed: int) -> None:
    random = np.random.default_rng(seed)
    golden = board(seed % len(GOLDENS))
    matrix = pose(golden.shape, random)
    found = align(View(seen(golden, matrix, random)), View(golden))
    assert corner_error(found.homography, matrix, golden.shape) < 0.5
    assert found.residual < 1
    assert 0.7 <= found.overlap <= 1


@pytest.mark.slow
def test_no_pose_is_wrong_and_nearly_all_are_found() -> None:
    failed = 0
    for seed in range(200):
        random = np.random.default_rng(1000 + seed)
        golden = golden_view(seed % len(GOLDENS))
        matrix = pose(golden.pixels.shape, random)
        try:
            found = align(View(seen(golden.pixels, matrix, random)), golden)
        except ImageError as error:
            failed += error.code == "alignment_failed"
            continue
        assert corner_error(found.homography, matrix, golden.pixels.shape) < 1
    assert failed <= 4


def bars() -> np.ndarray:
    """A part of hardly any features: smooth dark bars on white."""
    golden = np.full((240, 320), 240, np.uint8)
    cv2.rectangle(golden, (0, 30), (130, 60), 20, -1)
    cv2.line(golden, (130, 45), (190, 105), 20, 30)
    cv2.circle(golden, (250, 190), 32, 20, -1)
    return np.asarray(cv2.GaussianBlur(golden, (0, 0), 2))[..., None]


@pytest.mark.parametrize("seed", range(4))
def test_a_part_of_hardly_any_features_is_aligned_by_correlation(seed: int) -> None:
    random, golden = np.random.default_rng(seed), bars()
    matrix = cv2.getRotationMatrix2D((160, 120), random.uniform(-2, 2), random.uniform(0.98, 1.02))
    matrix[:, 2] += random.uniform(-8, 8, 2)
    matrix = np.vstack([matrix, [0, 0, 1]])
    found = align(View(seen(golden, matrix, random)), View(golden))
    assert found.inliers == 0
    there = np.array([[20, 45], [130, 45], [190, 105], [250, 190]], float)  # where there is something to see
    wrong = np.linalg.norm(transformed(found.homography @ matrix, there) - there, axis=1)
    assert wrong.max() < 1.5


@pytest.mark.parametrize("side", [32, 40, 60])
def test_a_small_part_of_hardly_any_features_is_aligned(side: int) -> None:
    golden = np.full((side, side), 240, np.uint8)
    cv2.circle(golden, (side // 3, side // 2), side // 6, 20, -1)
    cv2.rectangle(golden, (side // 2, 4), (side - 6, side // 3), 90, -1)
    golden = cv2.GaussianBlur(golden, (0, 0), 1)[..., None]
    found = align(View(np.roll(golden, 1, 1)), View(golden))
    assert found.homography[:2, 2] == pytest.approx([-1, 0], abs=0.3)


def test_stripes_do_not_slide_along_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = np.full((320, 320), 240, np.uint8)
    for left, top in ((20, 0), (70, 0), (125, 18), (205, 0), (255, 0)):
        golden[top:, left : left + 28] = 20
    golden = cv2.GaussianBlur(golden, (0, 0), 1)
    image = golden.copy()
    cv2.circle(image, (110, 200), 8, 20, -1)
    slid = np.array([[1, 0, 0], [0, 1, 40.0], [0, 0, 1]])  # the end of the bar in the middle falls out of the frame
    monkeypatch.setattr(alignment, "first_guesses", lambda image, golden: [slid])
    views = View(image[..., None]), View(golden[..., None])
    found = align(*views)
    assert corner_error(found.homography, np.eye(3), golden.shape) < 0.5  # the smallest movement explains it
    assert align(*views, SMALL).rival is None  # which knows that no camera moves so far
    with pytest.raises(ImageError) as caught:
        alignment._by_any_means(*views, ANY, alignment_failed("no small movement explains it"))
    assert caught.value.code == "alignment_failed"


def test_a_large_change_does_not_draw_the_pose_away() -> None:
    random, golden = np.random.default_rng(7), board()
    matrix = pose(golden.shape, random)
    image = seen(golden, matrix, random)
    image[140:230, 20:130] = cv2.GaussianBlur(random.integers(0, 256, (90, 110, 3)).astype(np.uint8), (0, 0), 2)
    found = align(View(image), View(golden))
    assert corner_error(found.homography, matrix, golden.shape) < 0.25


def test_equal_images_are_not_touched() -> None:
    golden = board()
    found = align(View(golden.copy()), View(golden))
    assert np.array_equal(found.pixels, golden)
    assert found.valid.all()
    assert np.array_equal(found.homography, np.eye(3))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_image_is_found(turns: int) -> None:
    golden = board()
    found = align(View(np.ascontiguousarray(np.rot90(golden, turns))), View(golden))
    assert np.abs(found.pixels.astype(float) - golden)[found.valid].mean() < 2


@pytest.mark.parametrize(
    "image",
    [
        np.full((256, 256, 3), 128, np.uint8),
        np.random.default_rng(0).normal(128, 4, (256, 256, 3)).astype(np.uint8),
        board(1),
        np.ascontiguousarray(board()[:, ::-1]),
        board()[:20, :20],
        np.ascontiguousarray(board()[:120]),
    ],
    ids=["blank wall", "noisy wall", "another product", "mirrored", "tiny", "half of the board"],
)
def test_what_cannot_be_aligned_says_so(image: np.ndarray) -> None:
    with pytest.raises(ImageError) as caught:
        align(View(image), View(board()))
    assert caught.value.code == "alignment_failed"


def test_another_size_and_aspect_are_aligned() -> None:
    golden = board()
    image = cv2.copyMakeBorder(
        cv2.resize(golden, (288, 288), interpolation=cv2.INTER_AREA), 0, 0, 30, 10, cv2.BORDER_REPLICATE
    )
    found = align(View(image), View(golden))
    expected = scaling((288, 288), (256, 256)) @ np.array([[1, 0, -30], [0, 1, 0], [0, 0, 1]])
    corners = np.array([[40, 10], [300, 10], [300, 270], [40, 270]], float)
    assert np.abs(transformed(found.homography, corners) - transformed(expected, corners)).max() < 0.5


def test_sixteen_bits_stay_sixteen_bits() -> None:
    golden = board()[..., :1].astype(np.uint16) * 16
    random = np.random.default_rng(3)
    matrix = pose(golden.shape, random)
    moved = cv2.warpPerspective(golden, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE)[..., None]
    found = align(View(moved), View(golden))
    assert found.pixels.dtype == np.uint16
    assert corner_error(found.homography, matrix, golden.shape) < 0.5


def test_a_map_returns_to_where_it_was_seen() -> None:
    golden = board()
    random = np.random.default_rng(5)
    matrix = pose(golden.shape, random)
    found = align(View(seen(golden, matrix, random)), View(golden))
    change = np.zeros((128, 128), np.float32)  # half of the golden resolution
    change[60, 40] = 1.0  # centre at (80.5, 120.5) of the golden image
    back = found.to_source(change, 0.0)
    y, x = np.unravel_index(int(back.argmax()), back.shape)
    expected = transformed(matrix, np.array([[80.5, 120.5]]))[0]
    assert np.hypot(x - expected[0], y - expected[1]) < 1.5


def test_light_that_changes_slowly_is_taken_out_and_a_defect_is_not() -> None:
    random = np.random.default_rng(0)
    golden = cv2.GaussianBlur(random.integers(0, 256, (200, 240, 1)).astype(np.uint8), (0, 0), 3)[..., None]
    golden = cv2.normalize(golden, None, 40, 180, cv2.NORM_MINMAX).reshape(200, 240, 1)
    slope = np.linspace(0.8, 1.2, 240)[None, :, None]
    dark = np.clip(golden * slope + 10, 0, 255).round().astype(np.uint8)
    dark[90:98, 100:108] = 255
    matched = match_light(dark, golden, np.ones((200, 240), bool))
    wrong = np.abs(matched.astype(int) - golden)[..., 0]
    inside = wrong[90:98, 100:108]
    assert wrong.mean() < 4 < np.abs(dark.astype(int) - golden).mean()
    assert inside.mean() > 60


def test_without_opencv_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from anomalib_lite.errors import MissingExtra

    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"anomalib-lite\[reference\]"):
        views.opencv()
