"""Plugins of somebody else: written, built, installed beside the wheel of the host, and used, the host as it was.

The detector that `plugins new` writes without further options goes the same way in `test_plugin_tutorial.py`.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from conftest import picture, save
from environments import ROOT, Environment, build_wheel

pytestmark = [pytest.mark.slow, pytest.mark.long]
SIZE = ("--set", "image.height=48", "--set", "image.width=48", "--set", "gate.features=off")


@pytest.fixture(scope="module")
def environment(host_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The host's wheel beside lent packages; nothing of the checkout."""
    fresh = Environment(tmp_path_factory.mktemp("third_party") / "venv")
    fresh.install("--no-deps", host_wheel)
    fresh.lend()
    modules = "anomalib_lite, anomalib_lite_inpainting"
    found = fresh.run("python", "-c", f"import {modules}\nfor one in ({modules}): print(one.__file__)").out
    assert all(Path(line).is_relative_to(fresh.site_packages) for line in found.splitlines())
    return fresh


def scaffolded(environment: Environment, name: str, out: Path, *options: str) -> Path:
    """A package that the installed host writes, built and installed; its folder."""
    environment.run("anomalib-lite", "plugins", "new", name, "--out", out, *options)
    folder = out / name
    environment.install(build_wheel(folder, out / f"{name}-wheel"))  # its dependencies are there: nothing is fetched
    return folder


def assert_it_keeps_the_rules(environment: Environment, folder: Path, name: str) -> None:
    """Its own tests, which make the checks of `plugins check`."""
    where = environment.run("python", "-c", f"import {name}; print({name}.__file__)", cwd=folder).out
    assert Path(where.strip()).is_relative_to(environment.site_packages)
    tested = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder).out
    assert "passed" in tested
    assert not [word for word in ("failed", "skipped", "xfailed", "warning") if word in tested], tested


def verdicts(environment: Environment, model: Path, *arguments: str | Path) -> list[str]:
    predicted = environment.run("anomalib-lite", "predict", model, *arguments, "--json").out
    return [json.loads(line)["verdict"] for line in predicted.splitlines()]


def test_a_detector_that_compares(environment: Environment, tmp_path: Path) -> None:
    folder = scaffolded(environment, "acme-difference", tmp_path, "--reference")
    assert_it_keeps_the_rules(environment, folder, "acme_difference")
    golden = save(tmp_path / "golden.png", picture(0))
    good = [save(tmp_path / f"good/{number}.png", picture(number)) for number in range(1, 31)]
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([("image", "reference"), *((image.relative_to(tmp_path), golden.name) for image in good)])
    model = tmp_path / "model"
    pairs = tmp_path / "pairs.csv"
    environment.run(
        "anomalib-lite", "train", "acme-difference", pairs, "--out", model, "--max-false-reject", "30%", *SIZE
    )
    assert "verdicts are the same" in environment.run("anomalib-lite", "verify", model).out
    bad = save(tmp_path / "bad.png", picture(99, defect=True))
    assert verdicts(environment, model, bad, "--reference", golden) == ["NG"]


def test_a_detector_on_pretrained_features(environment: Environment, parts: Path, tmp_path: Path) -> None:
    folder = scaffolded(environment, "acme-patches", tmp_path, "--backbone")
    assert_it_keeps_the_rules(environment, folder, "acme_patches")
    listed = environment.run("anomalib-lite", "plugins", "list").out
    assert "acme_patches" in listed
    assert "acme-patches 0.1.0" in listed
    assert "Apache-2.0" in environment.run("anomalib-lite", "plugins", "show", "acme-patches").out
    size = ("--set", "image.height=64", "--set", "image.width=64", "--set", "gate.features=off")
    model = tmp_path / "model"
    group = ("--group", r"part(\d+)", "--max-false-reject", "30%")
    environment.run("anomalib-lite", "train", "acme_patches", parts, "--out", model, *group, *size)
    detector = json.loads((model / "manifest.json").read_text())["detector"]
    assert detector["plugin"] == "acme-patches"
    assert "579344248a" in detector["weights"]
    assert "verdicts are the same" in environment.run("anomalib-lite", "verify", model).out
    assert verdicts(environment, model, parts / "test" / "dent", parts / "test" / "hole").count("NG") >= 8
    wrong = ("--set", "image.height=100", "--set", "image.width=64")
    done = environment.run("anomalib-lite", "train", "acme_patches", parts, "--out", tmp_path / "no", *wrong, code=2)
    assert "image.height=96" in done.err


def test_a_reader(environment: Environment, tmp_path: Path) -> None:
    folder = scaffolded(environment, "acme-maps", tmp_path, "--reader")
    tested = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder).out
    assert "3 passed" in tested
    for number in range(30):
        pixels = picture(number).astype("<f4") / 255
        (tmp_path / "good").mkdir(exist_ok=True)
        (tmp_path / f"good/{number}.pfm").write_bytes(b"Pf\n48 48\n-1\n" + pixels[::-1].tobytes())
    environment.run("anomalib-lite", "plugins", "check", "acme-maps", tmp_path / "good/0.pfm")
    assert "portable float maps" in environment.run("anomalib-lite", "plugins", "show", "acme-maps").out
    model, levels = tmp_path / "model", ("--set", "image.white=1", "--max-false-reject", "30%")
    small = ("--steps", "5", "--set", "options.widths=[8, 8]", "--set", "options.cells=[8]")
    words = ("train", "inpainting", tmp_path / "good", "--out", model, *small, *levels, *SIZE)
    environment.run("anomalib-lite", *words)
    assert "verdicts are the same" in environment.run("anomalib-lite", "verify", model).out
    assert len(verdicts(environment, model, tmp_path / "good")) == 30


def test_an_editable_installation_is_the_checkout(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install("--no-deps", "--editable", ROOT)
    found = environment.run("python", "-c", "import anomalib_lite; print(anomalib_lite.__file__)", cwd=tmp_path).out
    assert Path(found.strip()) == ROOT / "anomalib_lite" / "__init__.py"
