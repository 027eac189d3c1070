"""int8: adopted where it is faster and agrees, otherwise said and left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SIZE, call, picture
from gauss import Gauss, GaussConfig
from onnx import TensorProto, helper, numpy_helper

from anomalib_lite.config import ScoreConfig
from anomalib_lite.edge import bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.errors import DataError
from anomalib_lite.graph.exporter import to_onnx
from anomalib_lite.graph.inspector import Inspector
from anomalib_lite.graph.int8 import _smoothing, quantise
from anomalib_lite.pipeline import int8
from anomalib_lite.pipeline.export import export
from anomalib_lite.pipeline.int8 import Trial

GROUP = r"part(\d+)"
GOOD = Trial(speedup=1.5, images=400, changed=2, auroc_float=0.99, auroc_int8=0.989)


@pytest.mark.parametrize(
    ("trial", "objections"),
    [
        (GOOD, 0),
        (Trial(1.2, 200, 1, None, None), 0),  # exactly what is needed, no labels
        (Trial(1.19, 400, 2, 0.99, 0.99), 1),
        (Trial(1.5, 400, 3, 0.99, 0.99), 1),
        (Trial(1.5, 199, 1, None, None), 1),
        (Trial(1.5, 400, 0, 0.99, 0.987), 1),
        (Trial(0.5, 400, 40, 0.99, 0.5), 3),
        (Trial(float("nan"), 400, 0, 0.9, 0.9), 1),
    ],
)
def test_int8_is_adopted_only_where_it_is_worth_it(trial: Trial, objections: int) -> None:
    assert len(trial.objections()) == objections


def convolution() -> bytes:
    """Two filters, their squares summed, then smoothed along both axes."""
    random = np.random.default_rng(0)
    tensors = {
        "filters": random.normal(size=(2, 1, 3, 3)) / 255,
        "sum": np.ones((1, 2, 1, 1)),
        "rows": np.full((1, 1, 3, 1), 1 / 3),
        "columns": np.full((1, 1, 1, 3), 1 / 3),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["pixels"], "transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["pixels", "filters"], ["filtered"], "filter", pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["filtered", "filtered"], ["squares"], "square"),
        helper.make_node("Conv", ["squares", "sum"], ["summed"], "add"),
        helper.make_node("Conv", ["summed", "rows"], ["smooth"], "rows", pads=[1, 0, 1, 0]),
        helper.make_node("Conv", ["smooth", "columns"], ["anomaly_map"], "columns", pads=[0, 1, 0, 1]),
        helper.make_node("ReduceMax", ["anomaly_map", "axes"], ["score"], "maximum", keepdims=0),
    ]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()]
    constants.append(numpy_helper.from_array(np.array([1, 2, 3]), "axes"))
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIZE, SIZE, 1])]
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, ["N", 1, SIZE, SIZE]),
    ]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_operatorsetid("", 18)])
    content: bytes = model.SerializeToString()
    return content


def test_the_int8_graph_is_plain_and_close_and_keeps_the_smoothing() -> None:
    graph, feeds = convolution(), [{"image": picture(seed)[None]} for seed in range(4)]
    int8 = quantise(graph, feeds)
    model = onnx.load_from_string(int8)
    stored = {one.name: one.data_type for one in model.graph.initializer}
    assert TensorProto.INT8 in stored.values()
    assert stored["rows"] == stored["columns"] == TensorProto.FLOAT
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
    framing = Framing(ImageSpec(SIZE, SIZE, 1, "uint8", 255.0))
    before, after = Runtime(graph, framing, ["image"]), Runtime(int8, framing, ["image"])  # admitted, too
    for seed in range(10, 14):
        expected = before.measure(picture(seed)).score
        assert after.measure(picture(seed)).score == pytest.approx(expected, rel=0.1)
    assert quantise(graph, feeds) == int8


def test_the_smoothing_of_an_exported_graph_is_left_alone() -> None:
    spec = ImageSpec(48, 48, 1, "uint8", 255.0)
    wrapped = Inspector(Gauss(GaussConfig(), spec), spec, ScoreConfig(sigma=2), reference=False, valid=False).eval()
    wrapped.fitted.fill_(True)
    graph = to_onnx(wrapped)
    convolutions = [one.name for one in onnx.load_from_string(graph).graph.node if one.op_type == "Conv"]
    assert len(convolutions) == 2
    assert _smoothing(onnx.load_from_string(graph)) == convolutions


@pytest.mark.slow
def test_where_it_is_not_worth_it_the_graph_stays_float(
    inpainting_path: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "MIN_SPEEDUP", 1e9)
    done = export(inpainting_path, tmp_path / "part.zip", int8=parts, group=GROUP)
    assert "not adopted" in done.notes[0]
    assert done.bundle.manifest.graph_sha256 == bundle.load(inpainting_path).manifest.graph_sha256
    calibrations = [one.manifest.calibration for one in (done.bundle, bundle.load(inpainting_path))]
    assert calibrations[0].reject.value == calibrations[1].reject.value
    assert calibrations[0].n == calibrations[1].n


@pytest.mark.slow
def test_where_it_is_adopted_thresholds_and_self_check_are_its_own(
    inpainting_path: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits are lifted, since no machine promises a speed; with the resize of a camera on top."""
    for name, value in (("MIN_SPEEDUP", 0.0), ("MAX_CHANGED", 1.0), ("MAX_AUROC_LOSS", 1.0)):
        monkeypatch.setattr(int8, name, value)
    done = export(inpainting_path, tmp_path / "part.zip", int8=parts, group=GROUP, source_size=(44, 54))
    assert "int8 is adopted" in done.notes[0]
    manifest, before = done.bundle.manifest, bundle.load(inpainting_path).manifest
    assert manifest.calibration.n == before.calibration.n  # the same held-out parts
    assert manifest.calibration.scores != before.calibration.scores
    assert len(manifest.calibration.history) == 1
    assert set(manifest.data.calibrated) == set(before.data.calibrated)
    assert manifest.exported
    assert manifest.exported.int8
    assert manifest.exported.int8["images"] == 32  # 12 held out, 20 to test; none that it was fitted on
    model = Model(tmp_path / "part.zip")
    replayed = replay(model)
    assert replayed
    assert not any(one.flipped for one in replayed)
    assert model.inspect(np.ascontiguousarray(picture(1, size=54)[:44])).verdict is not Verdict.ERROR


@pytest.mark.slow
def test_without_the_parts_that_the_training_knew_it_is_refused(
    inpainting_path: Path, parts: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"trained with known parts.*--group"):
        export(inpainting_path, tmp_path / "part.zip", int8=parts)


@pytest.mark.slow
def test_data_without_the_images_it_was_fitted_on_is_refused(
    inpainting_path: Path, parts: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"fitted on \(0 found\)"):
        export(inpainting_path, tmp_path / "part.zip", int8=parts / "test/good", group=GROUP)
    assert not (tmp_path / "part.zip").exists()


def test_int8_and_data_go_together(
    model_path: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--int8"], ["--data", str(parts)]):
        assert call("export", model_path, "--out", tmp_path / "x.zip", *words) == 2
        assert "go together" in capsys.readouterr().err
