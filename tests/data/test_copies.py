"""Near copies: bursts and other encodings are found under other parts, different parts are not; the work is linear."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from environments import ROOT
from PIL import Image

from anomalib_lite.data import Folders, Sample, find, look, survey, training_samples
from anomalib_lite.data.copies import _neighbours, near_copies, thumbnail

PARTS = ROOT / "data_samples/part/train/good"
RANDOM = np.random.default_rng(0)


def noisy(image: Image.Image, gain: float = 1.0, deviation: float = 4.0) -> Image.Image:
    """The next frame of a burst."""
    pixels = np.asarray(image, float) * gain + RANDOM.normal(0, deviation, np.asarray(image).shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def parts(folder: Path, number: int = 40) -> list[Image.Image]:
    """Photographs of different parts, one each."""
    chosen = {path.name.split("_")[0]: path for path in sorted(PARTS.iterdir())}
    images: list[Image.Image] = [Image.open(path) for path in list(chosen.values())[:number]]
    for index, image in enumerate(images):
        image.save(folder / f"part{index:02}.png")
    return images


def warnings(folder: Path, **how: str | None) -> list[str]:
    dataset = find(folder, group=how.get("group"), folders=Folders())
    return survey(*look(training_samples(dataset))).warnings


@pytest.mark.parametrize(
    "again",
    [
        noisy,
        lambda image: noisy(image, gain=0.93),
        lambda image: noisy(image, deviation=8),
        lambda image: encoded(image, 50),
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.convert("L").convert("RGB"),
        lambda image: image.crop((0, 0, image.width - 1, image.height - 1)),
    ],
    ids=["burst", "darker", "noisier", "JPEG", "smaller", "grey", "cropped"],
)
def test_near_copies_are_named_in_pairs(tmp_path: Path, again: Callable[[Image.Image], Image.Image]) -> None:
    images = parts(tmp_path)
    for index in (3, 8, 21):
        again(images[index]).save(tmp_path / f"zz{index:02}.png")
    (said,) = warnings(tmp_path)
    assert said.startswith("3 images near copies")
    assert all(f"zz{index:02}.png of part{index:02}.png" in said for index in (3, 8, 21))
    assert "the bound is void: give --group REGEX so that they are one part, or remove them" in said


def test_different_parts_are_no_copies(tmp_path: Path) -> None:
    parts(tmp_path, 80)
    assert warnings(tmp_path) == []


def test_copies_within_a_part_are_its_photographs(tmp_path: Path) -> None:
    images = parts(tmp_path)
    for index in (3, 8):
        noisy(images[index]).save(tmp_path / f"part{index:02}_again.png")
    assert len(warnings(tmp_path)) == 1
    assert warnings(tmp_path, group=r"part(\d+)") == []


def test_a_whole_set_of_bursts(tmp_path: Path) -> None:
    for image, name in zip(parts(tmp_path, 12), [f"part{n:02}" for n in range(12)], strict=True):
        for frame in range(4):
            noisy(image).save(tmp_path / f"{name}_{frame}.png")
    (said,) = warnings(tmp_path)
    assert said.startswith("48 images near copies")


def test_parts_that_show_nothing_of_their_own_are_no_copies() -> None:
    """A still camera, smooth parts: they differ by noise alone, and none is more like one than like the others."""
    thumbnails = [
        thumbnail((np.linspace(60, 190, 200)[None, :, None] + RANDOM.normal(0, 4, (200, 200, 1))).astype(np.uint8))
        for _ in range(60)
    ]
    assert near_copies([Sample(Path(str(n)), str(n), group=str(n)) for n in range(60)], thumbnails) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (16, 16), (250, 333), (4000, 3000)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_thumbnail_of_any_image(size: tuple[int, int], kind: type) -> None:
    top = np.iinfo(kind).max
    ramp = np.linspace(0, top, size[1])[None, :, None] * np.ones((size[0], 1, 1))
    seen = thumbnail(ramp.astype(kind)).reshape(16, 16)
    flat = thumbnail(np.full((*size, 3), top // 2, kind))
    assert not flat.any()
    assert np.isfinite(seen).all()
    if size[1] >= 16:
        assert abs(float(seen.mean())) < 0.01
        assert (np.diff(seen.astype(float), axis=1) > 0).all()


def test_flat_images_are_nobodys_copies() -> None:
    thumbnails = [thumbnail(np.full((40, 40, 1), 20 * n, np.uint8)) for n in range(6)]
    assert near_copies([Sample(Path(str(n)), str(n), group=str(n)) for n in range(6)], thumbnails) == []


def vectors(number: int) -> np.ndarray:
    """Thumbnails that share a few directions, as light gives them, a tenth of them twice."""
    random = np.random.default_rng(number)
    seen = random.normal(size=(number, 3)) @ random.normal(size=(3, 256)) + 0.5 * random.normal(size=(number, 256))
    seen[number // 2 : number // 2 + number // 10] = seen[: number // 10] + 0.02 * random.normal(
        size=(number // 10, 256)
    )
    seen -= seen.mean(axis=1, keepdims=True)
    return np.asarray(seen / seen.std(axis=1, keepdims=True), np.float16)


def test_ten_times_as_many_images_take_ten_times_the_comparisons_and_find_the_same_share() -> None:
    compared = {}
    for number in (1000, 10000):
        seen = vectors(number)
        samples = [Sample(Path(str(n)), str(n), group=str(n)) for n in range(number)]
        found = {(int(first.name), int(second.name)) for first, second in near_copies(samples, list(seen))}
        pairs = {(n, n + number // 2) for n in range(number // 10)}
        assert len(found & pairs) >= 0.95 * len(pairs)
        assert found <= pairs
        unlike = seen.astype(np.float32)
        compared[number] = sum(len(first) for first, _ in _neighbours(unlike / np.linalg.norm(unlike, axis=1)[:, None]))
    assert compared[10000] <= 12 * compared[1000]
