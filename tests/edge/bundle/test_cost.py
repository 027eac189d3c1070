"""What a graph takes is counted before it runs: sizes as onnxruntime makes them, and a budget that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from anomalib_lite.edge.bundle import admission, cost, layouts, shapes  # noqa: F401 - layouts adds rules
from anomalib_lite.edge.bundle.cost import MAX_MEMORY, MAX_WORK
from anomalib_lite.edge.bundle.shapes import ALIKE, COMPARISONS, ELEMENTWISE, REDUCTIONS, RULES
from anomalib_lite.errors import ModelError

MAP: list[str | int] = ["N", 1, 8, 8]


def floats(*sizes: int) -> NDArray[Any]:
    return np.random.default_rng(0).random(sizes, np.float32)


def whole(*values: int) -> NDArray[Any]:
    return np.array(values, np.int64)


Case = tuple[str, Sequence[NDArray[Any] | None], dict[str, Any], int]  # operator, inputs, attributes, outputs
ZERO, SCALE = np.array(0, np.uint8), np.array(0.5, np.float32)
BYTES = np.ones((1, 3, 9, 7), np.uint8)
IMAGE, KERNEL = floats(2, 4, 9, 7), floats(6, 4, 3, 2)
CASES: list[Case] = [
    ("Constant", (), {"value": numpy_helper.from_array(floats(2, 3))}, 1),
    ("Constant", (), {"value_ints": [1, 2]}, 1),
    ("ConstantOfShape", (whole(2, 3),), {}, 1),
    ("Shape", (IMAGE,), {"start": 1, "end": -1}, 1),
    ("Size", (IMAGE,), {}, 1),
    ("Range", (np.array(1), np.array(10), np.array(3)), {}, 1),
    ("Reshape", (IMAGE, whole(0, -1, 7)), {}, 1),
    ("Flatten", (IMAGE,), {"axis": 2}, 1),
    ("Transpose", (IMAGE,), {"perm": [0, 2, 3, 1]}, 1),
    ("Transpose", (IMAGE,), {}, 1),
    ("Squeeze", (floats(1, 3, 1), whole(-1)), {}, 1),
    ("Squeeze", (floats(1, 3, 1),), {}, 1),
    ("Unsqueeze", (floats(3, 4), whole(0, -1)), {}, 1),
    ("Concat", (IMAGE, IMAGE), {"axis": -1}, 1),
    ("Split", (floats(7, 2), whole(3, 4)), {}, 2),
    ("Split", (floats(7, 2),), {"num_outputs": 2}, 2),
    ("Slice", (IMAGE, whole(1, -1), whole(100, -100), whole(2, 3), whole(2, -1)), {}, 1),
    ("Slice", (IMAGE, whole(1), whole(2)), {}, 1),
    ("Gather", (IMAGE, whole(1, 0, 2)), {"axis": 2}, 1),
    ("Gather", (IMAGE, np.array(1)), {"axis": -1}, 1),
    ("GatherElements", (floats(3, 3), np.array([[0, 1]])), {"axis": 1}, 1),
    ("GatherND", (IMAGE, np.array([[0, 1], [1, 2]])), {}, 1),
    ("Expand", (floats(3, 1), whole(2, 1, 4)), {}, 1),
    ("Tile", (floats(3, 2), whole(2, 3)), {}, 1),
    ("Pad", (IMAGE, whole(0, 0, 1, 2, 0, 0, 3, 4)), {"mode": "edge"}, 1),
    ("Pad", (IMAGE, whole(1, 2, 3, 4), None, whole(-1, 2)), {}, 1),
    ("Resize", (IMAGE, None, np.array([1, 1, 2.5, 0.6], np.float32)), {}, 1),
    ("Resize", (IMAGE, None, None, whole(20, 3)), {"axes": [2, 3], "mode": "linear"}, 1),
    ("DepthToSpace", (IMAGE,), {"blocksize": 2}, 1),
    ("SpaceToDepth", (floats(1, 2, 4, 6),), {"blocksize": 2}, 1),
    ("OneHot", (whole(1, 0), np.array(5), floats(2)), {"axis": 0}, 1),
    ("TopK", (IMAGE, whole(3)), {"axis": 1}, 2),
    ("GridSample", (IMAGE, floats(2, 5, 6, 2)), {}, 1),
    ("NonZero", (np.ones((2, 3), np.float32),), {}, 1),
    ("Where", (np.ones((3, 1), bool), floats(4), floats(3, 4)), {}, 1),
    ("Cast", (IMAGE,), {"to": TensorProto.UINT8}, 1),
    ("CastLike", (IMAGE, whole(1)), {}, 1),
    ("Conv", (IMAGE, KERNEL), {"pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]}, 1),
    ("Conv", (IMAGE, floats(8, 2, 3, 3)), {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]}, 1),
    ("Conv", (IMAGE, KERNEL), {"auto_pad": "VALID"}, 1),
    ("Conv", (floats(1, 2, 8), floats(3, 2, 3)), {}, 1),
    ("ConvTranspose", (IMAGE, floats(4, 5, 3, 3)), {"strides": [2, 2], "output_padding": [1, 1], "pads": [1] * 4}, 1),
    ("ConvTranspose", (IMAGE, floats(4, 5, 3, 3)), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, 1),
    ("ConvInteger", (BYTES, np.ones((4, 3, 3, 3), np.uint8), ZERO), {}, 1),
    ("QLinearConv", (BYTES, SCALE, ZERO, np.ones((4, 3, 3, 3), np.uint8), SCALE, ZERO, SCALE, ZERO), {}, 1),
    ("MaxPool", (IMAGE,), {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}, 2),
    ("AveragePool", (IMAGE,), {"kernel_shape": [3, 3], "pads": [1] * 4}, 1),
    ("LpPool", (IMAGE,), {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}, 1),
    ("GlobalMaxPool", (IMAGE,), {}, 1),
    ("GlobalAveragePool", (IMAGE,), {}, 1),
    ("GlobalLpPool", (IMAGE,), {}, 1),
    ("MatMul", (floats(2, 1, 3, 4), floats(5, 4, 6)), {}, 1),
    ("MatMul", (floats(4), floats(5, 4, 6)), {}, 1),
    ("MatMul", (floats(3, 4), floats(4)), {}, 1),
    ("MatMulInteger", (np.ones((2, 3), np.uint8), np.ones((3, 4), np.uint8)), {}, 1),
    ("QLinearMatMul", (np.ones((2, 3), np.uint8), SCALE, ZERO, np.ones((3, 4), np.uint8), SCALE, ZERO, SCALE, ZERO),
     {}, 1),
    ("Gemm", (floats(4, 3), floats(5, 4), floats(5)), {"transA": 1, "transB": 1}, 1),
    ("Einsum", (floats(2, 3), floats(3, 4)), {"equation": "ij, jk -> ki"}, 1),
    ("ArgMax", (IMAGE,), {"axis": -1, "keepdims": 0}, 1),
    ("ArgMin", (IMAGE,), {}, 1),
    ("LayerNormalization", (IMAGE, floats(7)), {}, 1),
    ("DynamicQuantizeLinear", (IMAGE,), {}, 3),
    ("Dropout", (IMAGE,), {}, 1),
    ("LRN", (IMAGE,), {"size": 3}, 1),
    ("BatchNormalization", (IMAGE, *[floats(4)] * 4), {}, 1),
    ("InstanceNormalization", (IMAGE, floats(4), floats(4)), {}, 1),
    ("GroupNormalization", (IMAGE, floats(4), floats(4)), {"num_groups": 2}, 1),
    ("CumSum", (IMAGE, np.array(1)), {}, 1),
    ("ScatterElements", (floats(3, 3), np.array([[0, 1]]), floats(1, 2)), {"axis": 1}, 1),
    ("ScatterND", (floats(4, 2), np.array([[1], [3]]), floats(2, 2)), {}, 1),
    ("QuantizeLinear", (IMAGE, SCALE, ZERO), {}, 1),
    ("DequantizeLinear", (BYTES, SCALE, ZERO), {}, 1),
    ("Clip", (IMAGE, np.array(0, np.float32), np.array(1, np.float32)), {}, 1),
    ("Mod", (whole(7, 8), whole(3)), {}, 1),
    ("PRelu", (IMAGE, floats(4, 1, 1)), {}, 1),
    ("BitShift", (np.ones(3, np.uint8), np.ones(1, np.uint8)), {"direction": "LEFT"}, 1),
    *[(name, (whole(1, 2), whole(3)), {}, 1) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")],
    ("BitwiseNot", (whole(1, 2),), {}, 1),
    *[(name, (np.ones((3, 1), bool), np.ones(2, bool)), {}, 1) for name in ("And", "Or", "Xor")],
    ("Not", (np.ones(3, bool),), {}, 1),
    *[(name, (floats(3, 1), floats(1, 4)), {}, 1)
      for name in ("Add", "Sub", "Mul", "Div", "Pow", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")],
    *[(name, (floats(3, 1), floats(1, 4), floats(2, 1, 1)), {}, 1) for name in ("Max", "Min", "Sum", "Mean")],
    *[(name, (IMAGE, whole(1, -1)), {"keepdims": keep}, 1) for name in REDUCTIONS for keep in (0, 1)],
    ("ReduceSum", (IMAGE,), {"noop_with_empty_axes": 1}, 1),
]  # fmt: skip
LISTED = {operator for operator, *_ in CASES}
CASES += [(name, (IMAGE,), {}, 1) for name in (*ELEMENTWISE, *COMPARISONS, *ALIKE) if name not in LISTED]


def built(case: Case, fed: bool) -> onnx.ModelProto:
    """A graph of one node whose inputs are stored, or fed where they decide on no size."""
    operator, given, attributes, outputs = case
    names = [f"i{number}" if one is not None else "" for number, one in enumerate(given)]
    stored = [numpy_helper.from_array(one, name) for one, name in zip(given, names, strict=True) if one is not None]
    made = [f"o{number}" for number in range(outputs)]
    node = helper.make_node(operator, names, made, **attributes)
    fed_names = names[:1] if fed and given and given[0] is not None else []
    inputs = [helper.make_tensor_value_info(name, stored[0].data_type, given[0].shape) for name in fed_names]  # type: ignore[union-attr]
    graph = helper.make_graph(
        [node], "graph", inputs, [onnx.ValueInfoProto(name=one) for one in made],
        [one for one in stored if one.name not in fed_names],
    )  # fmt: skip
    opset = 24 if operator == "Swish" else 22
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_operatorsetid("", opset)])


def counted(model: onnx.ModelProto) -> dict[str, shapes.Tensor]:
    """What the count says of each result."""
    found, bare = admission._Found(), onnx.ModelProto.FromString(model.SerializeToString())
    del bare.graph.output[:], bare.metadata_props[:]
    content = bare.SerializeToString()
    admission._model(memoryview(content), found)
    known = dict(found.stored) | {
        one.name: shapes.Tensor(
            tuple(size.dim_value for size in one.type.tensor_type.shape.dim),
            np.dtype(helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)),
        )
        for one in model.graph.input
    }
    for node in found.nodes:
        made = shapes.result(node, [known[name] if name else None for name in node.inputs]).outputs
        known |= dict(zip(node.outputs, made, strict=True))
    return known


@pytest.mark.parametrize("fed", [False, True], ids=["stored", "fed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_sizes_are_those_that_onnxruntime_makes(case: Case, fed: bool) -> None:
    if fed and case[0] in ("ConstantOfShape", "Range"):
        fed = False  # their first input decides on the size
    model = built(case, fed)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        pytest.skip("this onnxruntime does not have it")
    made = session.run(None, {one.name: case[1][0] for one in session.get_inputs()})
    found = counted(model)
    for name, one in zip((f"o{number}" for number in range(case[3])), made, strict=True):
        said = found[name]
        if case[0] == "DynamicQuantizeLinear" and name != "o0":
            continue  # two numbers, counted as more
        assert said.sizes == one.shape
        assert said.dtype == one.dtype
        if said.numbers is not None:
            np.testing.assert_allclose(said.numbers, one, rtol=1e-6)


def test_every_rule_has_a_case() -> None:
    assert {operator for operator, *_ in CASES} == set(RULES)


@pytest.mark.parametrize("name", ["model_path", "inpainting_path"])
def test_the_sizes_of_a_whole_model_are_those_that_onnxruntime_makes(name: str, request: pytest.FixtureRequest) -> None:
    """Every result in it, and the budget is far away."""
    path: Path = request.getfixturevalue(name)
    model = onnx.load(path / "model.onnx")
    names = [one for node in model.graph.node for one in node.output if one]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=one) for one in names)
    for size in (one.type.tensor_type.shape.dim[0] for one in model.graph.input):
        size.dim_value = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {one.name: np.ones(one.shape, np.uint8) for one in session.get_inputs()}
    made = dict(zip(names, session.run(None, feed), strict=True))
    found = counted(model)
    assert {name: found[name].sizes for name in names} == {name: np.shape(one) for name, one in made.items()}
    assert {name: found[name].dtype for name in names} == {name: np.asarray(one).dtype for name, one in made.items()}


# ---- the budget


def crafted(*nodes: onnx.NodeProto, score: str, **stored: NDArray[Any]) -> bytes:
    """A graph that does something beside its work, and adds it to the score."""
    base = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["anomaly_map"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMax", ["anomaly_map", "axes"], ["largest"], keepdims=0),
        *nodes,
        helper.make_node("ReduceMax", [score], ["more"], keepdims=0),
        helper.make_node("Add", ["largest", "more"], ["score"]),
    ]
    kept = [numpy_helper.from_array(one, name) for name, one in {"axes": whole(1, 2, 3), **stored}.items()]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 8, 8, 1])]
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, MAP),
    ]
    graph = helper.make_graph(base, "graph", inputs, outputs, kept)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_operatorsetid("", 18)])
    content: bytes = model.SerializeToString()
    return content


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def rewired(graph: bytes, name: str) -> bytes:
    """The graph whose last node adds this, as it is, to the score."""
    model = onnx.ModelProto.FromString(graph)
    model.graph.node[-1].input[1] = name
    content: bytes = model.SerializeToString()
    return content


ONE = np.zeros(1, np.float32)
MATRIX = np.zeros((1, 1), np.float32)
KB = [2**16, 2**14]  # a gigabyte of floats
COSTLY: dict[str, tuple[bytes, str]] = {
    "an Expand": (
        crafted(node("Expand", "one sizes", "a"), score="a", one=ONE, sizes=whole(2**31)), "bytes at once"
    ),
    "sizes that are computed": (
        crafted(node("Mul", "sizes sizes", "b"), node("Expand", "one b", "a"), score="a", one=ONE, sizes=whole(2**16)),
        "bytes at once",
    ),
    "sizes of the image": (
        crafted(node("Shape", "image", "s"), node("Mul", "s by", "b"), node("Expand", "one b", "a"), score="a",
                one=ONE, by=whole(1, 100, 10000, 100)), "bytes at once",
    ),
    "several that are alive": (
        crafted(*[node("Expand", "one sizes", f"a{n}") for n in range(8)],
                node("Sum", " ".join(f"a{n}" for n in range(8)), "a"), score="a", one=MATRIX, sizes=whole(*KB)),
        "bytes at once",
    ),
    "constants, which are kept": (
        crafted(*[one for n in range(8) for one in (node("Expand", "one sizes", f"a{n}"),
                                                    node("ReduceMax", f"a{n}", f"m{n}", keepdims=0))],
                node("Sum", " ".join(f"m{n}" for n in range(8)), "a"), score="a", one=MATRIX, sizes=whole(*KB)),
        "bytes at once",
    ),
    "a Tile": (crafted(node("Tile", "one times", "a"), score="a", one=ONE, times=whole(2**40)), "bytes at once"),
    "a Pad": (crafted(node("Pad", "one wide", "a"), score="a", one=ONE, wide=whole(0, 2**40)), "bytes at once"),
    "a Range": (
        crafted(node("Range", "a0 a1 a2", "a"), score="a", a0=np.array(0.0), a1=np.array(1e12), a2=np.array(1.0)),
        "bytes at once",
    ),
    "a Resize": (
        crafted(node("Resize", "anomaly_map none scales", "a"), score="a", none=np.zeros(0, np.float32),
                scales=np.array([1, 1, 1e4, 1e4], np.float32)), "bytes at once",
    ),
    "an outer product": (
        crafted(node("Expand", "one sizes", "b"), node("Transpose", "b", "c"), node("MatMul", "b c", "a"), score="a",
                one=MATRIX, sizes=whole(10**6, 1)), "bytes at once",
    ),
    "products": (
        crafted(node("Expand", "largest sizes", "a0"), *[node("MatMul", f"a{n} a{n}", f"a{n + 1}") for n in range(60)],
                score="a60", sizes=whole(8192, 8192)), "multiplications",
    ),
    "an Einsum": (
        crafted(node("Expand", "one sizes", "b"), node("Einsum", "b b b b", "a", equation="a,b,c,d->a"), score="a",
                one=ONE, sizes=whole(1000)), "bytes at once",
    ),
    "a pool over everything": (
        crafted(node("ConstantOfShape", "sizes", "b"),
                node("MaxPool", "b", "a", kernel_shape=[3001, 3001], pads=[1500] * 4), score="a",
                sizes=whole(1, 1, 2048, 2048)), "multiplications",
    ),
    "sizes that depend on the image": (
        crafted(node("Cast", "largest", "n", to=TensorProto.INT64), node("Expand", "one n", "a"), score="a", one=ONE),
        "known only at run time",
    ),
    "an operator that nobody counts": (
        crafted(node("StringNormalizer", "one", "a"), score="a", one=ONE), "is not known, so that memory and time",
    ),
    "text": (crafted(node("Cast", "pixels", "a", to=TensorProto.STRING), score="a"), "do not fit"),
    "what nothing makes": (crafted(node("Neg", "nobody", "a"), score="a"), "which nothing before it makes"),
    "another score than described": (
        rewired(crafted(node("Unsqueeze", "anomaly_map zero", "a"), score="a", zero=whole(0)), "a"),
        "the output 'score' is described as",
    ),
    "an output that nothing makes": (
        crafted(node("Identity", "pixels", "a"), score="a").replace(b"anomaly_map", b"anomaly_maq", 1),
        "which nothing before it makes",
    ),
    "too many results": (crafted(node("Neg", "pixels", "a b"), score="a"), "has 2 results, expected at most 1"),
    "a negative size": (crafted(node("Pad", "one wide", "a"), score="a", one=ONE, wide=whole(0, -9)), "negative size"),
    "ever more dimensions": (
        crafted(*[node("Unsqueeze", f"a{n} zero", f"a{n + 1}") for n in range(20)], score="a20", a0=ONE, zero=whole(0)),
        "more than 16 dimensions",
    ),
}  # fmt: skip

SIGNATURE: tuple[Any, Any] = ({"image": ("uint8", (None, 8, 8, 1))},
                  {"score": ("float", (None,)), "anomaly_map": ("float", (None, 1, 8, 8))})  # fmt: skip


@pytest.mark.parametrize("name", COSTLY)
def test_a_graph_beyond_the_budget_is_refused_before_it_runs(name: str) -> None:
    graph, message = COSTLY[name]
    with pytest.raises(ModelError, match=message):
        admission.admit(graph, *SIGNATURE)


def test_what_runs_within_the_budget_is_admitted_and_counted_with_the_batch() -> None:
    graph = crafted(node("Tile", "pixels times", "a"), score="a", times=whole(1, 1, 1, 1024))
    expanded = 1024 * 8 * 8 * 4
    assert expanded * 2**15 > MAX_MEMORY
    admission.admit(graph, *SIGNATURE, 1)
    with pytest.raises(ModelError, match="bytes at once"):
        admission.admit(graph, *SIGNATURE, 2**15)
    assert MAX_WORK > 10**12
