"""Frames and back: what is cut, what counts, and what the joined map covers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.imaging import resize_map
from anomalib_lite.edge.manifest import ImageSpec


def spec(size: int = 64, channels: int = 1) -> ImageSpec:
    return ImageSpec(size, size, channels, "uint8", 255.0)


def ramp(height: int, width: int) -> np.ndarray:
    """An image whose pixels say where they are."""
    return (np.add.outer(np.arange(height), np.arange(width)) % 256).astype(np.uint8)[..., None]


def test_a_region_between_the_nearest_pixels_is_inspected_where_it_is() -> None:
    valid = np.zeros((96, 96), bool)
    valid[3, 4:6] = True
    assert np.argwhere(Framing(spec()).within(valid).region(32, 32)).tolist() == [[1, 1]]
    valid[30:60, 30:60] = True
    assert not Framing(spec()).within(valid).region(32, 32)[1, 1]


def test_stretching_needs_no_mask() -> None:
    framing = Framing(spec())
    frames = framing.frames(ramp(100, 37))
    assert not framing.masks
    assert [frame.image.shape for frame in frames] == [(64, 64, 1)]
    anomaly_map, valid = framing.assemble(frames, [np.ones((64, 64), np.float32)])
    assert anomaly_map.shape == (64, 64)
    assert valid.all()


@given(st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_a_letterbox_keeps_the_aspect_and_masks_the_bars(height: int, width: int) -> None:
    frame = Framing(spec(), "letterbox").frames(ramp(height, width))[0]
    rows, columns = (part.stop - part.start for part in frame.inside)
    assert max(rows, columns) == 64
    assert abs(rows / 64 - height / max(height, width)) <= 1 / 64
    assert frame.valid.sum() == rows * columns
    assert frame.valid[frame.inside].all()


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 24))
@settings(max_examples=60, deadline=None)
def test_cores_partition_the_image_and_the_blend_changes_nothing(height: int, width: int, overlap: int) -> None:
    framing = Framing(spec(), "tile", overlap)
    pixels = ramp(height, width)
    frames = framing.frames(pixels)
    assert len(frames) == framing.count(height, width)
    counted = np.zeros((height, width), int)
    for frame in frames:
        counted[frame.place] += frame.valid[frame.inside]
        assert frame.valid.sum() == frame.valid[frame.inside].sum()
        assert np.array_equal(frame.image[frame.inside], pixels[frame.place])
    assert (counted == 1).all()
    joined, valid = framing.assemble(frames, [frame.image[..., 0].astype(np.float32) for frame in frames])
    assert valid.all()
    assert np.allclose(joined, pixels[..., 0], atol=1e-3)


def test_tiles_at_the_border_see_real_context() -> None:
    frames = Framing(spec(), "tile", 16).frames(ramp(200, 200))
    assert all(frame.region.all() for frame in frames)


def test_the_region_of_interest_is_stretched_over_any_image() -> None:
    roi = np.zeros((2, 2), bool)
    roi[0, 0] = True
    framing = Framing(spec(), roi=roi)
    frame = framing.frames(ramp(300, 90))[0]
    assert frame.valid[:32, :32].all()
    assert frame.valid.sum() == 32 * 32
    anomaly_map, valid = framing.assemble([frame], [np.arange(4096, dtype=np.float32).reshape(64, 64)])
    assert anomaly_map[~valid].max() == anomaly_map[valid].min() == 0


def test_blended_tiles_show_no_seam_even_where_they_disagree() -> None:
    """Each tile adds an offset of its own: pasted cores would show steps as high as the offsets."""
    framing = Framing(spec(), "tile", 16)
    random = np.random.default_rng(0)
    texture = resize_map(random.normal(size=(37, 37)).astype(np.float32), 320, 320)
    frames = framing.frames(ramp(320, 320))
    maps = []
    for frame in frames:
        one = np.zeros((64, 64), np.float32)
        one[frame.inside] = texture[frame.place]
        maps.append(one + np.float32(random.normal(scale=0.2)))
    joined, _ = framing.assemble(frames, maps)
    assert seam_ratio(joined, 320 // len(np.unique([frame.place[0].start for frame in frames]))) <= 1.1


def seam_ratio(anomaly_map: np.ndarray, core: int) -> float:
    """Mean step across core borders, in units of the mean step elsewhere; cores of equal size."""
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(anomaly_map, axis=axis)).mean(axis=1 - axis)
        border = np.arange(len(steps)) % core == core - 1
        ratios.append(steps[border].mean() / steps[~border].mean())
    return float(max(ratios))


def test_other_channels_are_refused_unless_conversion_is_asked_for() -> None:
    from anomalib_lite.errors import ImageError

    with pytest.raises(ImageError, match=r"image\.channels"):
        Framing(spec(channels=3)).frames(ramp(20, 20))
    assert Framing(spec(channels=3), convert=True).frames(ramp(20, 20))[0].image.shape == (64, 64, 3)
