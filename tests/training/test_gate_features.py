"""What the gate learns from features of whole images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture
from environments import ROOT
from scenes import blurred, wrong_scenes

from anomalib_lite.config import GateConfig
from anomalib_lite.data import Sample, find
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.gate import Gate
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.intake import GATE, Intake
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Glance
from anomalib_lite.errors import ModelError
from anomalib_lite.training.gate_features import Learnt, learnt

RGB = ImageSpec(256, 256, 3, "uint8", 255.0)
INTAKE = Intake(Framing(RGB))

pytestmark = pytest.mark.usefixtures("gate_with_features")


@pytest.fixture(scope="module")
def flanges() -> list[Sample]:
    """Good images of rendered flanges, one of each part."""
    dataset = find(ROOT / "data_samples/part/train", group=r"part(\d+)")
    return list({one.group: one for one in dataset.samples}.values())


@pytest.fixture(scope="module")
def gate(flanges: list[Sample], gate_with_features: None) -> tuple[Glance, float]:
    """What is learnt of 20 parts."""
    made = learnt(GateConfig(), flanges[:20], INTAKE)
    assert made is not None
    return Glance(made.graph, RGB), made.limit


def test_other_parts_are_near_and_wrong_scenes_are_far(gate: tuple[Glance, float], flanges: list[Sample]) -> None:
    glance, limit = gate
    images = [imaging.read(sample.path).pixels for sample in flanges[20:24]]
    assert max(glance.distance(one) for one in images) < limit
    boards = imaging.read(next((ROOT / "data_samples/board/inspected").iterdir())).pixels
    for name, scene in wrong_scenes(images[0], np.random.default_rng(0), boards, picture(1)).items():
        if name not in ("a quarter of the size", "inverted"):  # the gate knows these by size and light
            assert glance.distance(scene) > limit, name


def test_a_part_that_is_moved_or_hardly_blurred_is_near(gate: tuple[Glance, float], flanges: list[Sample]) -> None:
    glance, limit = gate
    pixels = imaging.read(flanges[21].path).pixels
    assert glance.distance(np.pad(pixels, ((8, 0), (12, 0), (0, 0)), "edge")[: len(pixels), : len(pixels[0])]) < limit
    assert glance.distance(blurred(pixels, 0.5)) < limit


@pytest.mark.parametrize(
    ("asked", "number", "intake"),
    [
        (GateConfig(enabled=False), 8, INTAKE),
        (GateConfig.model_validate({"features": False}), 8, INTAKE),
        (GateConfig(), 7, INTAKE),
        (GateConfig(), 8, replace(INTAKE, compares=True)),
        (GateConfig(), 8, Intake(Framing(replace(RGB, channels=4)))),
    ],
)
def test_nothing_is_learnt_where_it_is_off_or_would_mean_nothing(
    asked: GateConfig, number: int, intake: Intake, flanges: list[Sample]
) -> None:
    assert learnt(asked, flanges[:number], intake) is None


def test_images_that_are_all_the_same_have_a_limit(flanges: list[Sample]) -> None:
    same = [replace(one, path=flanges[0].path) for one in flanges[:8]]
    made = learnt(GateConfig(), same, INTAKE)
    assert isinstance(made, Learnt)
    assert Glance(made.graph, RGB).distance(imaging.read(flanges[0].path).pixels) <= made.limit


def test_a_model_carries_graph_and_limit_or_neither(train: Callable[..., Any], parts: Path, tmp_path: Path) -> None:
    train(parts, tmp_path / "model", {"gate.features": "auto"})
    model = Model(tmp_path / "model")
    loaded, gate, shipped = model.bundle, model.bundle.manifest.gate, model.intake.gate
    assert gate is not None
    assert shipped is not None
    assert model.inspect(picture(2000)).verdict == "OK"
    striped = picture(2000)
    striped[:, ::2] -= 12
    alone = replace(gate, limits={"features": gate.limits["features"]})
    objection = Gate(alone, model.framing.spec, shipped.glance).objection(striped)
    assert str(objection).startswith("the image is stranger in structure than any of the training: distance of feat")
    limits = {name: limit for name, limit in gate.limits.items() if name != "features"}
    files = {name: digest for name, digest in loaded.manifest.files.items() if name != GATE}
    for changed in ({"gate": replace(gate, limits=limits)}, {"files": files}):
        manifest = replace(loaded.manifest, **changed)
        with pytest.raises(ModelError, match=r"gate\.onnx and the gate's limit of features belong together"):
            Intake.of(Bundle(loaded.path, manifest, "", loaded.kept), {})
