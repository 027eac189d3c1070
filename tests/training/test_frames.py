"""The frames of training: tiles of images and of their golden ones, and how much of them is kept."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalib_lite.config import ImageConfig
from anomalib_lite.data import Sample, look
from anomalib_lite.edge.golden.goldens import Goldens
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.intake import Intake
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.engines import room
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.training import frames as training_frames
from anomalib_lite.training.frames import CACHE_BYTES, TrainingFrames
from anomalib_lite.training.sizing import GOLDEN_TILE, LARGE, _cut

BOARDS = sorted((Path(__file__).parents[2] / "data_samples/board/golden").glob("*.jpg"))
TILES = Framing(ImageSpec(64, 64, 1, "uint8", 255.0), "tile", 8)
HELD = 100 * 120 + 9 * 64 * 64  # bytes of an image, of which its nine tiles are parts, and of their masks


def samples(folder: Path, count: int, height: int = 100, width: int = 120) -> list[Sample]:
    random = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8)).save(folder / f"{number}.png")
    return [Sample(folder / f"{number}.png", f"{number}.png", "good", group=str(number)) for number in range(count)]


def training(
    chosen: Sequence[Sample], framing: Framing, goldens: Goldens | None = None, limit: int | None = CACHE_BYTES
) -> TrainingFrames:
    intake = Intake(framing, goldens=goldens or Goldens({}), compares=goldens is not None)
    looked, _ = look(chosen)
    return TrainingFrames(chosen, intake, {sample.path: facts[0] for sample, facts in looked}, limit)


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    seen: list[Path] = []
    read = imaging.read

    def noted(path: Path, *rest: Any, **more: Any) -> imaging.Opened:
        seen.append(path)
        return read(path, *rest, **more)

    monkeypatch.setattr(imaging, "read", noted)
    return seen


def test_images_are_decoded_once_as_long_as_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = decodings(monkeypatch)
    frames = training(samples(tmp_path, 8), TILES, limit=4 * HELD + 1000)
    assert len(frames) == 8 * 9
    assert frames.images == [number for number in range(8) for _ in range(9)]
    order = np.random.default_rng(1).permutation(len(frames))
    for index in order:
        frames[int(index)]
    decoded.clear()
    for index in range(len(frames)):
        frames[index]
    assert 2 <= len(decoded) <= 4  # each of the others once, unless it was among the last two


def test_where_little_memory_is_free_little_of_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free", lambda: 4 * (2 * HELD + 1000))
    frames = training(samples(tmp_path, 5), TILES, limit=None)
    for index in range(len(frames)):
        frames[index]
    assert sorted(frames._kept) == [0, 1]


def test_what_was_kept_is_let_go_and_can_still_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = training(samples(tmp_path, 3), TILES)
    before, kept = frames[0].image.copy(), weakref.ref(frames[0].image)
    frames.forget()
    assert kept() is None
    decoded = decodings(monkeypatch)
    for _ in range(2):
        assert (frames[0].image == before).all()
        assert frames[20].image is not None
    assert len(decoded) == 2  # the two that were asked for last are at hand
    assert not frames._kept


def test_what_is_kept_is_counted_with_the_images_that_tiles_are_parts_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = decodings(monkeypatch)
    frames = training(samples(tmp_path, 5), TILES, limit=2 * HELD)
    for index in range(len(frames)):
        frames[index]
    held = {id(training_frames._base(part)): training_frames._base(part).nbytes
            for cut in frames._kept.values() for frame in cut for part in frame if part is not None}  # fmt: skip
    assert sum(held.values()) == 2 * HELD
    decoded.clear()
    frames[0], frames[9], frames[18]
    assert len(decoded) == 1


def test_each_image_has_the_tiles_of_its_own_golden_image(tmp_path: Path) -> None:
    large = Image.open(BOARDS[0])
    large.save(tmp_path / "large.png")
    Image.open(BOARDS[1]).crop((0, 0, 200, 160)).save(tmp_path / "small.png")
    goldens = Goldens({name: tmp_path / name for name in ("large.png", "small.png")})
    good = [Sample(tmp_path / name, name, "good", group=name) for name in ("small.png", "large.png")]
    framing = Framing(ImageSpec(128, 128, 3, "uint8", 255.0), "tile", 16, align=True)
    frames = training(good, framing, goldens)
    counts = [frames.images.count(number) for number in range(2)]
    assert counts == [framing.count(160, 200), framing.count(*large.size[::-1])]
    for index in range(len(frames)):
        image, reference, valid = frames[index]
        assert image.shape == (128, 128, 3)
        assert reference is not None
        assert valid is not None


def test_images_without_any_golden_image_to_compare_with_are_left_out(tmp_path: Path) -> None:
    Image.open(BOARDS[0]).save(tmp_path / "golden.png")
    Image.fromarray(np.full((256, 256, 3), 90, np.uint8)).save(tmp_path / "blank.png")
    goldens = Goldens({"golden.png": tmp_path / "golden.png"})
    framing = Framing(ImageSpec(256, 256, 3, "uint8", 255.0), align=True)
    blank, golden = (Sample(tmp_path / name, name, "good", group=name) for name in ("blank.png", "golden.png"))
    frames = training([blank, golden], framing, goldens)
    assert frames.images == [1]
    assert len(frames.left_out) == 1
    with pytest.raises(DataError, match="none of 1 training images can be compared"):
        training([blank], framing, goldens)


@pytest.mark.parametrize(
    ("asked", "golden", "positional", "expected"),
    [
        ({}, 0, False, ("stretch", None)),
        ({}, LARGE, False, ("stretch", None)),
        ({}, LARGE + 1, False, ("tile", GOLDEN_TILE)),
        ({}, LARGE + 1, True, ("stretch", None)),
        ({"width": 640}, LARGE + 1, False, ("stretch", None)),
        ({"mode": "stretch"}, LARGE + 1, False, ("stretch", None)),
        ({"mode": "tile"}, 64 * 64, False, ("tile", GOLDEN_TILE)),
        ({"mode": "tile", "height": 320}, LARGE + 1, False, ("tile", 320)),
        ({"mode": "tile"}, 0, False, ("tile", None)),
    ],
)
def test_large_golden_images_are_cut_into_tiles_unless_a_size_is_asked_for(
    asked: dict[str, Any], golden: int, positional: bool, expected: tuple[str, int | None]
) -> None:
    cut = _cut(ImageConfig(**asked), golden, positional=positional)
    assert (cut.mode, cut.height) == expected


def test_tiles_without_a_core_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"image\.overlap=256 leaves no core in tiles of 512 pixels"):
        _cut(ImageConfig(overlap=256), LARGE + 1, positional=False)
