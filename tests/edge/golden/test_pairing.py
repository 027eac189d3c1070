"""Pairs of an inspected and a golden image: which are compared, and what of the frame counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalib_lite.edge.golden.goldens import Goldens
from anomalib_lite.edge.golden.pairing import pair, pairs
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError, ImageError

GOLDENS = Path(__file__).parents[3] / "data_samples/board/golden"
DESIGNS = {f"design{number}.jpg": GOLDENS / f"design{number}.jpg" for number in (1, 2)}
SPEC = ImageSpec(256, 256, 3, "uint8", 255.0)


def test_what_the_image_does_not_cover_is_not_valid() -> None:
    golden = imaging.read(DESIGNS["design1.jpg"]).pixels
    moved = np.zeros_like(golden)
    moved[:, :-40] = golden[:, 40:]
    found = pair(Framing(SPEC, align=True), moved[:, :-40].copy(), View(golden))
    valid = found.frames[0].valid
    assert not valid[:, :38].any()
    assert valid[8:-8, 48:-8].all()
    back, inside = found.to_source(np.ones((256, 256), np.float32), valid)
    assert back.shape == inside.shape == (256, 216)


@pytest.mark.parametrize(("columns", "seen"), [(200, False), (250, True)])
def test_an_image_must_cover_the_region_of_interest_and_not_only_the_frame(columns: int, seen: bool) -> None:
    golden = imaging.read(DESIGNS["design1.jpg"]).pixels
    roi = np.zeros(golden.shape[:2], bool)
    roi[:, 180:] = True
    framing = Framing(SPEC, align=True, roi=roi)
    image = golden[:, :columns].copy()
    if seen:
        assert pair(framing, image, View(golden)).frames[0].valid.any()
        return
    pair(Framing(SPEC, align=True), image, View(golden))  # enough of the frame
    with pytest.raises(ImageError, match="of the region of interest, needed are 70%") as caught:
        pair(framing, image, View(golden))
    assert caught.value.code == "alignment_failed"


def disc(radius: float, x: float = 128) -> np.ndarray:
    rows, columns = np.mgrid[:256, :256]
    return np.asarray(np.hypot(rows - 128, columns - x) < radius)


def test_what_an_image_says_is_to_be_inspected_moves_with_it() -> None:
    golden = imaging.read(DESIGNS["design1.jpg"]).pixels
    image = np.roll(golden, -20, axis=1)
    image[:, -20:] = 0
    image[20:40, 20:40] = 255  # a defect outside of the region
    within = View(golden, valid=disc(64, x=120))
    found = pair(Framing(SPEC, align=True), image, within, disc(60, x=100))
    assert np.mean(found.frames[0].valid ^ disc(60, x=120)) < 0.005
    outside = ~disc(66, x=120)
    np.testing.assert_array_equal(found.frames[0].image[outside], golden[outside])  # nor seen beside it
    assert found.image[30, 50].min() > 200  # though it is shown
    _, back = found.to_source(np.ones((256, 256), np.float32), found.frames[0].valid)
    assert np.mean(back ^ disc(60, x=100)) < 0.005
    assert pair(Framing(SPEC, align=True), image, View(golden)).frames[0].valid[30, 50]


@pytest.mark.parametrize(
    ("own", "seen"),
    [(None, 1.0), (disc(60), 1.0), (disc(58, x=130), 1.0), (disc(60) & (np.arange(256) < 150), 0.77), (disc(40), None)],
)
def test_what_the_golden_region_asks_for_an_image_has_to_inspect(own: np.ndarray | None, seen: float | None) -> None:
    golden = View(imaging.read(DESIGNS["design1.jpg"]).pixels, valid=disc(60))
    framing = Framing(SPEC, align=True)
    if seen is None:
        with pytest.raises(ImageError, match="needed are 70%"):
            pair(framing, golden.pixels, golden, own)
        return
    found = pair(framing, golden.pixels, golden, own)
    assert found.seen == pytest.approx(seen, abs=0.02)
    np.testing.assert_array_equal(found.frames[0].valid, disc(60) if own is None else disc(60) & own)


def test_a_golden_image_that_says_nothing_asks_for_all() -> None:
    golden = View(imaging.read(DESIGNS["design1.jpg"]).pixels)
    own = np.arange(256 * 256).reshape(256, 256) % 20 > 0
    assert pair(Framing(SPEC, align=True), golden.pixels, golden, own).seen == own.mean()


def test_a_region_smaller_than_a_pixel_of_the_image_is_no_measurement() -> None:
    golden = imaging.read(DESIGNS["design1.jpg"]).pixels
    small = imaging.resize(golden, golden.shape[0] * 3 // 4, golden.shape[1] * 3 // 4)
    found = pair(Framing(SPEC, align=True), small, View(golden))
    pixel = np.zeros((8, *golden.shape[:2]), bool)
    pixel[np.arange(8), 100, 100 + np.arange(8)] = True
    with pytest.raises(ImageError, match="region of interest") as caught:  # others are kept
        [found.to_source(np.ones(golden.shape[:2], np.float32), one) for one in pixel]
    assert caught.value.code == "wrong_size"


def test_tiles_are_compared_with_tiles_of_the_same_place_alone() -> None:
    framing = Framing(ImageSpec(64, 64, 1, "uint8", 255.0), mode="tile", overlap=8)
    golden = np.arange(200 * 200, dtype=np.uint8).reshape(200, 200, 1)
    assert len(pair(framing, golden, View(golden)).references) == framing.count(200, 200)
    with pytest.raises(ImageError, match="100 x 120 pixels and the golden one 200 x 200") as caught:
        pair(framing, golden[:120, :100].copy(), View(golden))
    assert caught.value.code == "wrong_size"


def test_of_several_golden_images_those_that_cannot_be_aligned_are_passed_over() -> None:
    views = Goldens(DESIGNS).views
    found = pairs(Framing(SPEC, align=True), views[1].pixels, views)
    assert [one.golden is views[1].pixels for one in found] == [True]
    assert found[0].difference == 0


def test_without_any_golden_image_the_remedy_is_named() -> None:
    with pytest.raises(ImageError, match="--reference"):
        pairs(Framing(SPEC, align=True), np.zeros((256, 256, 3), np.uint8), [])


def test_a_pattern_chooses_by_name() -> None:
    goldens = Goldens(DESIGNS, r"design(\d)")
    assert goldens.named("line3/design2_0815.png") == [goldens.views[1]]
    assert goldens.named(None) == goldens.views
    for name in ("design7.png", "label.png"):
        with pytest.raises(ImageError) as caught:
            goldens.named(name)
        assert caught.value.code == "missing"


@pytest.mark.parametrize(
    ("pattern", "said"), [("design(", "regular"), (r"design\d", "captures"), (r"lot(\d)", "finds")]
)
def test_a_pattern_that_means_nothing_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Goldens(DESIGNS, pattern)
