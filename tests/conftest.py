"""What several tests share: a detector of the tests' own, small data, and models trained on them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
import pytest
import torch
from environments import ROOT, build_wheel
from exports import share_operators
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from anomalib_lite.cli import main
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.manifest import Manifest
from anomalib_lite.hookspecs import PLANTED, PROJECT
from anomalib_lite.pipeline import evidence
from anomalib_lite.pipeline.calibrate import Recalibration, calibrate
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.registry import Registry, loading
from anomalib_lite.training import gate_features
from anomalib_lite.training.request import Request

Once: TypeAlias = Callable[[str, Callable[[Path], object]], Path]

SIZE = 48
PARTS = 24  # of which two cameras have good photographs
SEEN = ("top", "side")
# No test measures time; and what CI tries is the same each time, so that it fails for what was changed.
settings.register_profile("project", deadline=None, derandomize=os.environ.get("ANOMALIB_LITE_REQUIRE_ALL") == "1")
settings.load_profile("project")


def picture(seed: int, *, defect: bool = False, size: int = SIZE, channels: int = 1) -> np.ndarray:
    """A grey gradient with noise; a defect is a black square."""
    random = np.random.default_rng(seed)
    pixels = np.linspace(90, 150, size)[None, :, None] + random.normal(0, 4, (size, size, channels))
    if defect:
        top, left = random.integers(4, size - 12, 2)
        pixels[top : top + 8, left : left + 8] = 10
    return pixels.clip(0, 255).round().astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(path)
    return path


def edited(loaded: Bundle, key: str, value: Any) -> Manifest:
    """The manifest of a bundle with another value for a dotted key, as if its file said so; None removes the key."""
    document = loaded.manifest.to_json()
    *sections, last = key.split(".")
    section = document
    for name in sections:
        section = section[name]
    section.pop(last) if value is None else section.__setitem__(last, value)
    return Manifest.from_json(document, loaded.path)


def recalibrate(model: Path, data: Path | None, **asked: Any) -> Trained:
    """What the command `calibrate` does."""
    return calibrate(Recalibration(model=model, data=data, **asked))


def call(*words: str | Path) -> int:
    """Run the command line in this process: its exit code."""
    try:
        main([str(word) for word in words])
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, as a process with OMP_NUM_THREADS=1 does: sums are added in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: started last, they would run alone while other processes have nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def gauss_is_installed() -> Iterator[None]:
    """The tests' own plugin beside the installed ones, for this process."""
    installed = loading._entry_points
    own = EntryPoint("gauss", "gauss", PROJECT)
    patch = pytest.MonkeyPatch()
    patch.setattr(loading, "_entry_points", lambda: [*installed(), own])
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def one_table_of_operators() -> Iterator[None]:
    """Exports share what they look operators up in."""
    with pytest.MonkeyPatch.context() as patch:
        share_operators(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def little_evidence() -> Iterator[None]:
    """One planted defect of each kind is enough where a test is about something else: too few to call a model blind."""
    patch = pytest.MonkeyPatch()
    patch.setattr(evidence, "IMAGES", len(PLANTED))
    patch.setattr(evidence, "FEWEST", 1)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def gate_without_features() -> Iterator[pytest.MonkeyPatch]:
    """Features of a network cost each training a second: tests that are about them ask for `gate_with_features`."""
    patch = pytest.MonkeyPatch()
    patch.setattr(gate_features, "FEWEST", sys.maxsize)
    yield patch
    patch.undo()


@pytest.fixture(scope="module")
def gate_with_features(gate_without_features: pytest.MonkeyPatch) -> Iterator[None]:
    """The gate learns from features, too, as it does for users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate_features, "FEWEST", 8)
        yield


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """once(name, make) -> a folder that make(folder) fills, once for all processes that run these tests together."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # above those of the single processes

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        path, made = root / "once" / name, root / "once" / f"{name}.made"
        path.parent.mkdir(exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not made.exists():
                shutil.rmtree(path, ignore_errors=True)  # what a failure left
                path.mkdir()
                make(path)
                made.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def parts(once: Once) -> Path:
    """MVTec layout: 40 good images of 20 parts to train on; 10 good and 2 x 5 defective ones to test."""
    return once("parts", _draw_parts)


def _draw_parts(root: Path) -> None:
    for part in range(20):
        for shot in range(2):
            save(root / f"train/good/part{part:02}_{shot}.png", picture(100 * part + shot))
    for part in range(20, 30):
        save(root / f"test/good/part{part:02}_0.png", picture(100 * part))
    for number, kind in enumerate(("dent", "hole")):
        for part in range(30 + 5 * number, 35 + 5 * number):
            pixels = picture(100 * part, defect=True)
            save(root / f"test/{kind}/part{part:02}_0.png", pixels)
            save(root / f"ground_truth/{kind}/part{part:02}_0_mask.png", (pixels < 30).astype(np.uint8) * 255)


@pytest.fixture(scope="session")
def train() -> Callable[..., Trained]:
    """Train the tests' detector: train(data, out, overrides, **request)."""

    def run(
        data: Path, out: Path, overrides: dict[str, Any] | None = None, plugins: Registry | None = None, **request: Any
    ) -> Trained:
        request = {"detector": "gauss", "group": r"part(\d+)"} | request
        size = {"image.height": SIZE, "image.width": SIZE, "gate.features": "off"}
        trained = run_training(
            Request(data=data, out=out, overrides=size | (overrides or {}), **request), plugins=plugins
        )
        assert trained is not None
        return trained

    return run


@pytest.fixture(scope="session")
def model_path(train: Callable[..., Trained], parts: Path, once: Once) -> Path:
    """A bundle of the tests' detector on `parts`. Not to be changed: copy it."""
    per_part = {"calibration.per": "part"}
    return once("gauss", lambda folder: train(parts, folder / "model", per_part)) / "model"


@pytest.fixture(scope="session")
def ungated_path(train: Callable[..., Trained], parts: Path, once: Once) -> Path:
    """The same without a gate, for what takes images of other sizes. Not to be changed: copy it."""
    settings = {"calibration.per": "part", "gate.enabled": False}
    return once("ungated", lambda folder: train(parts, folder / "model", settings)) / "model"


@pytest.fixture(scope="session")
def crossfitted_path(train: Callable[..., Trained], parts: Path, once: Once) -> Path:
    """Three siblings of it as one. Not to be changed: copy it."""
    settings = {"calibration.crossfit": 3}
    return once("crossfitted", lambda folder: train(parts, folder / "model", settings)) / "model"


@pytest.fixture(scope="session")
def inpainting_words(parts: Path) -> list[str]:
    """A command line, but for --out, that trains a small network by gradient descent."""
    small = ("image.height=48", "image.width=48", "options.widths=[8, 8]", "options.cells=[8]", "gate.features=off")
    return ["train", "inpainting", str(parts), "--steps", "40", "--seed", "3", "--device", "cpu", "--group",
            r"part(\d+)", *(word for setting in small for word in ("--set", setting))]  # fmt: skip


@pytest.fixture(scope="session")
def inpainting_path(inpainting_words: list[str], once: Once) -> Path:
    """The bundle that those words train, in this process and on one thread. Not to be changed: copy it."""

    def make(folder: Path) -> None:
        with one_thread():
            assert call(*inpainting_words, "--out", folder / "model") == 0

    return once("inpainting", make) / "model"


@pytest.fixture(scope="session")
def two(model_path: Path, once: Once) -> Path:
    """`bar` and `ring`: models of two products on one network. Not to be changed: copy them."""
    import products

    return once("products", lambda folder: products.draw(model_path, folder))


@pytest.fixture(scope="session")
def host_wheel(once: Once) -> Path:
    """The host as users install it."""
    return next(once("wheel", lambda folder: build_wheel(ROOT, folder)).glob("*.whl"))


def shot(view: str, part: int, *, defect: bool = False) -> np.ndarray:
    """What a camera sees of a part; the one at the side sees it brighter."""
    pixels = picture(1000 * part + (view == "side"), defect=defect)
    return pixels if view == "top" else (pixels.astype(np.float64) * 1.5).clip(0, 255).astype(np.uint8)


def _draw_views(root: Path) -> None:
    for part in range(PARTS):
        for view in SEEN:
            save(root / view / f"part{part:02}.png", shot(view, part))
    rows = ["image,group,view,label"]
    for part in range(100, 124):
        for view in SEEN:
            defect = part >= 112 and view == SEEN[part % 2]
            kind = f"at the {view}" if defect else "good"
            save(root / "new" / f"part{part}_{view}.png", shot(view, part, defect=defect))
            save(root / "plain" / f"{part}{view[0]}.png", shot(view, part, defect=defect))
            rows += [f"plain/{part}{view[0]}.png,{part},{view},{kind}"]
    (root / "new.csv").write_text("\n".join(rows))
    (root / "good.csv").write_text("\n".join(row for row in rows if not row.split(",")[3].startswith("at")
                                             and not (row[6:9].isdigit() and int(row[6:9]) >= 112)))  # fmt: skip


@pytest.fixture(scope="session")
def views(once: Once) -> Path:
    """`top` and `side`: 24 good parts, photographed from both. `new`, `new.csv`: 12 good and 12 defective ones."""
    return once("views", _draw_views)


@pytest.fixture(scope="session")
def cameras(train: Callable[..., Trained], views: Path, once: Once) -> Path:
    """A model of each view, `side` by the median of its photographs; `other` of the top, too."""

    def make(folder: Path) -> None:
        for name, view, per, sigma in (("top", "top", "part", 1), ("side", "side", "part-median", 1),
                                       ("other", "top", "part", 3)):  # fmt: skip
            settings = {"calibration.per": per, "calibration.holdout": 0.5, "gate.enabled": False, "score.sigma": sigma}
            train(views / view, folder / name, settings)

    return once("cameras", make)
