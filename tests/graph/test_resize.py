"""The resize inside the graph is Pillow's: bit for bit for 8-bit images."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError
from anomalib_lite.graph.resize import embed_resize, weights


def identity(spec: ImageSpec) -> bytes:
    kind = TensorProto.UINT8 if spec.dtype == "uint8" else TensorProto.UINT16
    shape: list[str | int] = ["N", spec.height, spec.width, spec.channels]
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("image", "same")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["same"])], "graph", ends[:1], ends[1:])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_operatorsetid("", 18)])
    content: bytes = model.SerializeToString()
    return content


def resized(spec: ImageSpec, pixels: np.ndarray) -> np.ndarray:
    graph = embed_resize(identity(spec), spec, *pixels.shape[:2])
    return np.asarray(onnxruntime.InferenceSession(graph).run(None, {"image": pixels[None]})[0][0])


@settings(max_examples=40, deadline=None)
@given(
    source=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    target=st.tuples(st.integers(5, 60), st.integers(5, 60)),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
@example(source=(48, 48), target=(48, 48), channels=1, seed=0)
@example(source=(96, 144), target=(48, 48), channels=3, seed=0)  # weights that fall on halves: ties everywhere
def test_eight_bits_are_pillows_bit_for_bit(
    source: tuple[int, int], target: tuple[int, int], channels: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*source, channels), dtype=np.uint8)
    expected = imaging.resize(pixels, *target)
    assert np.array_equal(resized(ImageSpec(*target, channels, "uint8", 255.0), pixels), expected)


def test_black_and_white_stay_so() -> None:
    for value in (0, 255):
        pixels = np.full((331, 257, 1), value, np.uint8)
        assert (resized(ImageSpec(20, 30, 1, "uint8", 255.0), pixels) == value).all()


def test_sixteen_bits_are_within_one_level() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (201, 155, 1), dtype=np.uint16)
    found = resized(ImageSpec(48, 64, 1, "uint16", 65535.0), pixels).astype(int)
    assert np.abs(found - imaging.resize(pixels, 48, 64).astype(int)).max() <= 1


def test_the_weights_are_those_computed_by_hand() -> None:
    """Two to one: a triangle of two pixels to each side, (1, 3, 3, 1) / 8; cut and scaled up at the border."""
    assert np.allclose(weights(8, 4)[1], [0, 1 / 8, 3 / 8, 3 / 8, 1 / 8, 0, 0, 0])
    assert np.allclose(weights(8, 4)[0], [3 / 7, 3 / 7, 1 / 7, 0, 0, 0, 0, 0])
    assert np.allclose(weights(2, 4)[1], [0.75, 0.25])


def test_only_operators_that_every_runtime_has() -> None:
    model = onnx.load_from_string(embed_resize(identity(ImageSpec(8, 8, 1, "uint8", 255.0)), SPEC, 20, 30))
    operators = {"Cast", "Transpose", "MatMul", "Add", "Mul", "Floor", "Identity"}
    assert {node.op_type for node in model.graph.node} <= operators


SPEC = ImageSpec(8, 8, 1, "uint8", 255.0)


def test_sums_that_would_not_be_exact_are_refused() -> None:
    with pytest.raises(ConfigError, match="63 times"):
        embed_resize(identity(SPEC), SPEC, 8, 8 * 64)
