"""The demo: its choices, its sample parts, and the plain comparison beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import yaml
from conftest import save

from anomalib_lite import config, registry
from anomalib_lite.cli import demo
from anomalib_lite.training.plan import configure

ROOT = Path(__file__).parents[2]


def test_the_choices_are_a_configuration_of_their_detector() -> None:
    request = demo._request(Path("parts"), Path("demo"), None, None, None)
    info, options, configured = configure(request, registry.load())
    chosen = yaml.safe_load(demo.CHOICES.read_text(encoding="utf-8"))
    assert info.name == chosen["detector"]
    assert options.model_dump(mode="json").items() >= chosen["options"].items()
    assert (configured.image.height, configured.image.width) == (256, 256)
    assert configured.training.minutes == chosen["training"]["minutes"]


def test_another_detector_keeps_its_own_options() -> None:
    request = demo._request(Path("parts"), Path("demo"), "gauss", None, None)
    info, options, configured = configure(request, registry.load())
    assert info.name == "gauss"
    assert options == info.config()
    assert configured.image.height == 256


@pytest.mark.parametrize(
    ("minutes", "steps", "budget"),
    [(5.0, None, {"training.minutes": 5.0}), (None, 3, {"training.steps": 3}), (5.0, 3, {"training.steps": 3})],
)
def test_a_budget_replaces_that_of_the_choices(
    minutes: float | None, steps: int | None, budget: dict[str, float]
) -> None:
    overrides = demo._request(Path("parts"), Path("demo"), None, minutes, steps).overrides
    assert {key: value for key, value in overrides.items() if key.startswith("training")} == budget


def test_the_ready_configuration_of_the_parts_is_that_of_the_demo() -> None:
    ready = config.load(ROOT / "configs" / "sample_parts_neighbours.yaml")
    chosen = config.load(demo.CHOICES)
    assert {key: ready[key] for key in ("detector", "options", "image")} == {
        key: chosen[key] for key in ("detector", "options", "image")
    }


def test_the_samples_of_a_checkout_are_taken_as_they_are(tmp_path: Path) -> None:
    assert demo.sample_parts(tmp_path, pytest.fail) == ROOT / "data_samples" / "part"


@pytest.mark.slow
def test_an_installation_renders_them_by_the_scripts_of_the_checkout(
    host_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which render what is committed: `test_data_samples.py`."""
    with ZipFile(host_wheel) as wheel:
        carried = [name for name in wheel.namelist() if name.startswith("anomalib_lite/rendering/")]
        wheel.extractall(tmp_path, carried)
    for path in (tmp_path / name for name in carried):
        assert path.read_bytes() == (ROOT / "data_samples" / path.name).read_bytes()
    script = tmp_path / "anomalib_lite/rendering/render.py"
    subprocess.run([sys.executable, "-I", script, "--help"], check=True, stdout=subprocess.DEVNULL)  # lacks nothing
    ran: list[list[str]] = []
    monkeypatch.setattr(demo, "PACKAGE", tmp_path / "anomalib_lite")
    monkeypatch.setattr(subprocess, "run", lambda words, **options: ran.append(words))
    assert demo.sample_parts(tmp_path / "out", lambda text: None) == tmp_path / "out/samples/part"
    assert ran == [[sys.executable, str(script), "--out", str(tmp_path / "out/samples")]]


def test_the_mean_image_tells_what_is_darker(tmp_path: Path) -> None:
    for name, level in (("train/good/a", 100), ("train/good/b", 110), ("test/good/c", 105), ("test/dent/d", 60)):
        save(tmp_path / f"{name}.png", np.full((16, 16, 1), level, np.uint8))
    assert demo.mean_image_auroc(tmp_path) == 1.0


@pytest.mark.slow
def test_the_wheel_carries_what_the_command_line_reads(host_wheel: Path) -> None:
    names = ZipFile(host_wheel).namelist()
    here = ROOT / "anomalib_lite" / "cli"
    read = [path for path in here.iterdir() if path.is_file() and path.suffix != ".py"]
    assert demo.CHOICES in read
    assert not [path.name for path in read if f"anomalib_lite/cli/{path.name}" not in names]
