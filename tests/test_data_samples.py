"""The committed sample images: what the script renders, small, plausible to calibrate on, and not too easy."""

from __future__ import annotations

import csv
import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[1] / "data_samples"
PART, BOARD = SAMPLES / "part", SAMPLES / "board"
KINDS = ["burr", "chip", "dent", "scratch", "stain"]


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def auroc(good: list[float], defective: list[float]) -> float:
    pairs = np.subtract.outer(np.array(defective), np.array(good))
    return float(np.mean(pairs > 0) + 0.5 * np.mean(pairs == 0))


def best_correlation(image: NDArray[np.uint8], golden: NDArray[np.uint8]) -> float:
    """The largest correlation of the green channels over all shifts, around the frame."""
    a, b = ((p[..., 1] - p[..., 1].mean()) / p[..., 1].std() for p in (image, golden))
    return float(np.fft.irfft2(np.fft.rfft2(a) * np.conj(np.fft.rfft2(b))).max() / a.size)


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", SAMPLES / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_script_renders_the_committed_images(render: ModuleType, tmp_path: Path) -> None:
    render.render_all(tmp_path)
    committed = {p.relative_to(SAMPLES) for d in (PART, BOARD) for p in d.rglob("*") if p.is_file()}
    assert {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()} == committed
    for path in sorted(committed):
        if path.suffix == ".csv":
            assert (tmp_path / path).read_bytes() == (SAMPLES / path).read_bytes()
        else:
            rendered, kept = read(tmp_path / path), read(SAMPLES / path)
            assert np.mean(rendered != kept) < 1e-3, path  # another processor may round a pixel otherwise


def test_together_they_are_below_8_megabytes() -> None:
    assert sum(p.stat().st_size for p in SAMPLES.rglob("*") if p.is_file()) < 8_000_000


def test_difference_from_the_mean_good_image_is_a_poor_detector() -> None:
    mean = np.mean([read(p).astype(np.float64) for p in sorted((PART / "train/good").iterdir())], axis=0)
    differences = {
        kind: [np.abs(read(p) - mean) for p in (PART / "test" / kind).iterdir()] for kind in ["good", *KINDS]
    }
    for measure in (np.max, np.mean):
        scores = {kind: [float(measure(d)) for d in values] for kind, values in differences.items()}
        assert auroc(scores["good"], [s for kind in KINDS for s in scores[kind]]) <= 0.85


def test_no_part_is_in_two_folders_and_parts_are_photographed_one_to_three_times() -> None:
    folders: dict[str, set[str]] = {}
    shots: Counter[str] = Counter()
    for path in [*(PART / "train").rglob("*.jpg"), *(PART / "test").rglob("*.jpg")]:
        found = re.search(r"part(\d+)", path.name)
        assert found
        folders.setdefault(found[1], set()).add(str(path.parent))
        shots[found[1]] += 1
    assert all(len(where) == 1 for where in folders.values())
    assert set(shots.values()) == {1, 2, 3}
    assert 120 <= len(list((PART / "train/good").iterdir())) <= 160


@pytest.mark.parametrize("kind", KINDS)
def test_every_defective_image_has_a_mask(kind: str) -> None:
    images = sorted((PART / "test" / kind).iterdir())
    assert len(images) == 10
    assert {p.name for p in (PART / "ground_truth" / kind).iterdir()} == {f"{p.stem}_mask.png" for p in images}
    for path in images:
        mask = read(PART / "ground_truth" / kind / f"{path.stem}_mask.png")
        assert set(np.unique(mask)) == {0, 255}
        assert 25 <= np.count_nonzero(mask) <= 600


def test_boards_pair_with_their_golden_sample() -> None:
    with (BOARD / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = Counter(row["label"] for row in rows)
    assert labels == {"good": 36, "missing_copper": 6, "open": 6, "short": 6, "spur": 6}
    goldens = {row["reference"]: read(BOARD / row["reference"]) for row in rows}
    for row in rows:
        likeness = {name: best_correlation(read(BOARD / row["image"]), golden) for name, golden in goldens.items()}
        assert max(likeness, key=lambda name: likeness[name]) == row["reference"]
        assert bool(row["mask"]) == (row["label"] != "good")
        assert row["label"] == "good" or row["split"] == "test"
        if row["mask"]:
            assert 8 <= np.count_nonzero(read(BOARD / row["mask"])) <= 120


@pytest.mark.slow
def test_a_small_defect_on_a_large_part_is_lost_by_resizing(render: ModuleType) -> None:
    defective, mask = render.render_large_part(3)
    sound, empty = render.render_large_part(3, defect_pixels=0)
    assert defective.shape == (2048, 2448, 3)
    assert not empty.any()
    ys, xs = np.nonzero(mask)
    assert 11 <= np.ptp(ys) + 1 <= 14
    assert 11 <= np.ptp(xs) + 1 <= 14
    small = [np.asarray(Image.fromarray(i).resize((256, 256), Image.Resampling.BILINEAR)) for i in (defective, sound)]
    contrast = np.abs(defective.astype(np.int64) - sound).max()
    assert np.abs(small[0].astype(np.int64) - small[1]).max() < contrast / 4 + 1


def test_trays_have_the_defect_that_they_are_asked_for() -> None:
    from render_assembly import LOGICAL, STRUCTURAL, render_assembly, sound

    pixels, mask = render_assembly(7)
    assert not mask.any()
    assert np.array_equal(pixels, render_assembly(7)[0])
    assert not np.array_equal(pixels, render_assembly(8)[0])
    for kind in LOGICAL | STRUCTURAL:
        wrong, marked = render_assembly(7, kind)
        assert 50 <= np.count_nonzero(marked) <= 12_000, kind
        away = np.abs(wrong.astype(int) - pixels).max(2)[~marked]
        assert away.max() < 12, "what is not marked is as it was, but for shadows"
    for number in range(20):
        tray, random = sound(number), np.random.default_rng(number)
        parts = Counter(one.kind for parts in tray.compartments for one in parts)
        assert parts == {"screw": 3, "washer": 2, "nut": 3, "label": 2}
        for kind, more in {"missing": -1, "double": 1, "swapped": 0, "wrong_colour": 0, "wrong_place": 0}.items():
            wrong_tray = LOGICAL[kind](tray, random)
            assert sum(map(len, wrong_tray.compartments)) == sum(parts.values()) + more
            assert wrong_tray != tray
