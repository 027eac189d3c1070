"""Models of two products on one frozen network, made of the tests' own model without a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import picture, save
from onnx import helper, numpy_helper

from anomalib_lite.config import GateConfig
from anomalib_lite.data import Folders, find
from anomalib_lite.data.survey import look, survey
from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import GRAPH, Bundle
from anomalib_lite.edge.intake import GATE
from anomalib_lite.edge.model import Model
from anomalib_lite.training import gate_features, gating

NETWORK = np.array([[0, 0.01, 0], [0.01, 0.96, 0.01], [0, 0.01, 0]], np.float32)[None, None]  # frozen, of all products
Scene = Callable[..., np.ndarray]


def bar(seed: int, *, defect: bool = False) -> np.ndarray:
    """A gradient from left to right: what the tests' models are trained on. A defect is a small bright spot."""
    return spotted(picture(seed).astype(np.float64), defect)


def ring(seed: int, *, defect: bool = False) -> np.ndarray:
    """A bright ring on a dark ground."""
    y, x = np.mgrid[:48, :48] - 24
    shape = np.where(abs(np.hypot(x, y) - 15) < 4, 190.0, 40.0)[..., None]
    return spotted(shape + picture(seed) - np.linspace(90, 150, 48)[None, :, None], defect)


def spotted(pixels: np.ndarray, defect: bool) -> np.ndarray:
    pixels[22:25, 22:25] += 45 * defect
    return np.asarray(pixels.clip(0, 255).round().astype(np.uint8))


def on_the_network(model: Bundle, scene: Scene, out: Path, folder: Path) -> None:
    """The tests' model on what a frozen network sees of images, for products that look like this."""
    shots = [scene(seed) for seed in range(900, 916)]
    for number, shot in enumerate(shots):
        save(folder / f"part{number:02}.png", shot)
    graph = onnx.load_from_string(model.graph)
    divided = next(node for node in graph.graph.node if node.op_type == "Sub")
    network = helper.make_node("Conv", [divided.input[0], "network"], ["seen"], pads=[1, 1, 1, 1])
    graph.graph.node.insert(3, network)
    divided.input[0] = "seen"
    mean = next(one for one in graph.graph.initializer if one.name == "detector.mean")
    values = np.stack(shots).mean(0).transpose(2, 0, 1)[None].astype(np.float32) / 255
    mean.CopyFrom(numpy_helper.from_array(values, mean.name))
    graph.graph.initializer.append(numpy_helper.from_array(NETWORK, "network"))
    found = find(folder, group=r"part(\d+)", folders=Folders(all_good=True))
    intake = Model(model).intake
    record = gating.learnt(GateConfig(), found.samples, survey(*look(found.samples)), intake.framing, compares=False)
    learnt = gate_features.learnt(GateConfig(), found.samples, intake)
    assert learnt is not None
    record = replace(record, limits={**record.limits, "features": (0.0, learnt.limit)}, weights="packaged")
    bundle.write(out, replace(model.manifest, gate=record, selfcheck=()),
                 {GRAPH: graph.SerializeToString(), GATE: learnt.graph})  # fmt: skip


def draw(model: Path, folder: Path) -> None:
    """`bar` and `ring`, of a bundle of the tests' detector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate_features, "FEWEST", 8)
        for scene in (bar, ring):
            name = scene.__name__
            on_the_network(bundle.load(model), scene, folder / name, folder / f"{name}s")
