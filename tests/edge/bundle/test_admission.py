"""What is refused before onnxruntime sees it: crafted files, each with a reason of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from anomalib_lite.edge.bundle import admission, protobuf
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import ModelError

SIZE = 8
PIXELS: list[str | int] = ["N", SIZE, SIZE, 1]
MAP: list[str | int] = ["N", 1, SIZE, SIZE]


def plain() -> onnx.ModelProto:
    """Cast, subtract a stored mean, transpose, reduce: admitted, and it runs."""
    mean = numpy_helper.from_array(np.full((1, SIZE, SIZE, 1), 100, np.float32), "mean")
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["pixels", "mean"], ["difference"]),
        helper.make_node("Transpose", ["difference"], ["anomaly_map"], perm=[0, 3, 1, 2]),
        helper.make_node("Constant", [], ["axes"], value=numpy_helper.from_array(np.array([1, 2, 3]), "axes")),
        helper.make_node("ReduceMax", ["anomaly_map", "axes"], ["score"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, PIXELS)]
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, MAP),
    ]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [mean])
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_operatorsetid("", 18)])


def load(content: bytes) -> Runtime:
    return Runtime(content, Framing(ImageSpec(SIZE, SIZE, 1, "uint8", 255.0)), ["image"])


Craft = Callable[[onnx.ModelProto], bytes | None]
CRAFTED: dict[str, tuple[Craft, str]] = {}


def crafted(reason: str) -> Callable[[Craft], Craft]:
    """Register a crafted file: a function that changes a sound model in place, or returns other bytes."""

    def register(craft: Craft) -> Craft:
        CRAFTED[craft.__name__] = craft, reason
        return craft

    return register


def tensor(model: onnx.ModelProto) -> onnx.TensorProto:
    first: onnx.TensorProto = model.graph.initializer[0]
    return first


def outside(one: onnx.TensorProto, location: str, *, marked: bool = True) -> None:
    one.ClearField("raw_data")
    one.external_data.add(key="location", value=location)
    if marked:
        one.data_location = TensorProto.EXTERNAL


def branch() -> onnx.GraphProto:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_graph([helper.make_node("Identity", ["mean"], ["y"])], "branch", [], [output])


def written(model: onnx.ModelProto) -> bytes:
    content: bytes = model.SerializeToString()
    return content


def retyped(model: onnx.ModelProto, number: int, field: bytes) -> bytes:
    """The model with another encoding of one of its top-level fields."""
    return protobuf.without(written(model), number) + field


def in_graph(model: onnx.ModelProto, more: bytes) -> bytes:
    """The model with raw bytes appended to its graph."""
    whole = written(model)
    return protobuf.without(whole, 7) + protobuf.field(7, model.graph.SerializeToString() + more)


# External data, in every form and place. Nothing is opened: a link, hard or not, is a relative path here.
@crafted(r"stored tensor lies in another file \(a relative path, weights\.bin\)")
def external_relative(model: onnx.ModelProto) -> None:
    outside(tensor(model), "weights.bin")


@crafted(r"stored tensor lies in another file \(an absolute path, /etc/passwd\)")
def external_absolute(model: onnx.ModelProto) -> None:
    outside(tensor(model), "/etc/passwd")


@crafted(r"an absolute path, C:\\x")
def external_drive(model: onnx.ModelProto) -> None:
    outside(tensor(model), "C:\\x")


@crafted(r"a path out of the folder, \.\./\.\./secret")
def external_parent(model: onnx.ModelProto) -> None:
    outside(tensor(model), "../../secret")


@crafted("a relative path, link.bin")
def external_link(model: onnx.ModelProto) -> None:
    outside(tensor(model), "link.bin")


@crafted("a relative path, hard.bin")
def external_hard_link(model: onnx.ModelProto) -> None:
    outside(tensor(model), "hard.bin")


@crafted(r"an address in memory, \*/_ORT_MEM_ADDR_/\*")
def external_memory(model: onnx.ModelProto) -> None:
    outside(tensor(model), "*/_ORT_MEM_ADDR_/*")


@crafted("offset=4096")
def external_without_location(model: onnx.ModelProto) -> None:
    tensor(model).external_data.add(key="offset", value="4096")


@crafted(r"marked as lying elsewhere \(data_location 1\)")
def external_mark_alone(model: onnx.ModelProto) -> None:
    tensor(model).data_location = TensorProto.EXTERNAL


@crafted(r"marked as lying elsewhere \(data_location 7\)")
def external_unknown_place(model: onnx.ModelProto) -> bytes:
    content = tensor(model).SerializeToString() + b"\x70\x07"
    del model.graph.initializer[:]
    return in_graph(model, protobuf.field(5, content))


@crafted("attribute of Constant lies in another file")
def external_in_attribute(model: onnx.ModelProto) -> None:
    outside(model.graph.node[3].attribute[0].t, "weights.bin")


@crafted("attribute of Transpose lies in another file")
def external_in_list_of_tensors(model: onnx.ModelProto) -> None:
    model.graph.node[2].attribute.append(helper.make_attribute("more", [TensorProto(data_type=1)]))
    outside(model.graph.node[2].attribute[1].tensors[0], "weights.bin", marked=False)


# Operators.
@crafted("imports operators of 'com.microsoft'")
def foreign_import(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_operatorsetid("com.microsoft", 1))


@crafted("operator Cast is of 'evil.example'")
def foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "evil.example"


@crafted("imported 2 times")
def two_operator_sets(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_operatorsetid("ai.onnx", 11))


@crafted("imported 0 times")
def no_operator_set(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


@crafted("operator If controls the flow")
def control_if(model: onnx.ModelProto) -> None:
    node = helper.make_node("If", ["mean"], ["y"], then_branch=branch(), else_branch=branch())
    model.graph.node.append(node)


@crafted("operator Loop controls the flow")
def control_loop(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["y"], body=branch()))


@crafted("operator Scan controls the flow")
def control_scan(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Scan", ["mean"], ["y"], body=branch(), num_scan_inputs=1))


@crafted("operator SequenceMap controls the flow")
def control_sequence_map(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("SequenceMap", ["mean"], ["y"], body=branch()))


@crafted("attribute of Identity holds a subgraph")
def hidden_subgraph(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["mean"], ["y"], body=branch()))


@crafted("attribute of Identity holds subgraphs")
def hidden_subgraphs(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["mean"], ["y"], body=[branch(), branch()]))


@crafted("attribute of Identity holds a reference to a function's attribute")
def function_attribute(model: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["mean"], ["y"])
    node.attribute.add(name="a", ref_attr_name="b", type=onnx.AttributeProto.INT)
    model.graph.node.append(node)


@crafted("attribute of Constant holds a sparse tensor")
def sparse_attribute(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [4])
    model.graph.node.append(helper.make_node("Constant", [], ["y"], sparse_value=sparse))


@crafted("operator RandomNormal draws random numbers")
def random_numbers(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("RandomNormal", [], ["y"], shape=[1]))


@crafted("holds functions of its own")
def own_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["a"], ["b"])
    function = helper.make_function("", "Cast", ["a"], ["b"], [node], [helper.make_operatorsetid("", 18)])
    model.functions.append(function)


@crafted("holds training information")
def training_information(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.name = "step"


@crafted("holds sparse tensors")
def sparse_initializer(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [4])
    model.graph.sparse_initializer.append(sparse)


# Sizes.
@crafted("more than 20,000 nodes")
def too_many_nodes(model: onnx.ModelProto) -> bytes:
    return in_graph(model, protobuf.field(1, b"") * 20_000)


@crafted("536,870,913 bytes, more than the 536,870,912 allowed")
def too_large(model: onnx.ModelProto) -> bytes:
    return bytes(512 * 2**20 + 1)


@crafted("claims the size 65536 x 65536")
def claims_memory(model: onnx.ModelProto) -> None:
    del tensor(model).dims[:]
    tensor(model).dims.extend([65536, 65536])


@crafted("claims the size 18446744073709551615")
def negative_size(model: onnx.ModelProto) -> None:
    del tensor(model).dims[:]
    tensor(model).dims.append(-1)


@crafted("holds 256 bytes where its size needs 400")
def too_little_data(model: onnx.ModelProto) -> None:
    del tensor(model).dims[:]
    tensor(model).dims.extend([10, 10])


@crafted("holds its numbers twice")
def two_kinds_of_data(model: onnx.ModelProto) -> None:
    tensor(model).float_data.extend([0.0] * SIZE * SIZE)


@crafted("element type 8, which is none of plain numbers")
def strings(model: onnx.ModelProto) -> None:
    tensor(model).data_type = TensorProto.STRING


@crafted("tensor has the unknown field 3")
def segment(model: onnx.ModelProto) -> None:
    tensor(model).segment.begin = 1


# Signatures.
@crafted("inputs lack 'image'")
def input_renamed(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "picture"


@crafted("inputs have 'extra', which the manifest does not describe")
def input_added(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))


@crafted("'image' is float; the manifest describes uint8")
def input_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


@crafted("'image' has the shape N x 8 x 9 x 1; the manifest describes N x 8 x 8 x 1")
def input_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9


@crafted("'image' has the shape 1 x 8 x 8 x 1")
def input_fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


@crafted("'image' has no shape")
def input_without_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


@crafted("'image' is not a tensor")
def input_sequence(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("image", TensorProto.UINT8, PIXELS))


@crafted("the input 'image' is given twice")
def input_twice(model: onnx.ModelProto) -> None:
    model.graph.input.append(model.graph.input[0])


@crafted("the input 'image' has a stored default")
def input_with_default(model: onnx.ModelProto) -> None:
    image = numpy_helper.from_array(np.zeros((1, SIZE, SIZE, 1), np.uint8), "image")
    model.graph.initializer.append(image)


@crafted("outputs lack 'score'")
def output_missing(model: onnx.ModelProto) -> None:
    del model.graph.output[0]


@crafted("outputs have 'mean', which the manifest does not describe")
def output_added(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, SIZE, SIZE, 1]))


@crafted("'score' is double; the manifest describes float")
def output_type(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


@crafted("'anomaly_map' has the shape N x 1 x 4 x 4")
def output_shape(model: onnx.ModelProto) -> None:
    model.graph.output[1].CopyFrom(helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, ["N", 1, 4, 4]))


@crafted("the output 'score' is given twice")
def output_twice(model: onnx.ModelProto) -> None:
    model.graph.output.append(model.graph.output[0])


@crafted("the stored tensor 'mean' is given twice")
def tensor_twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(tensor(model))


# Files that are read in more than one way, or not at all.
@crafted("the file is empty")
def empty(model: onnx.ModelProto) -> bytes:
    return b""


@crafted(r"not an ONNX file \(wire type 3\)")
def a_group(model: onnx.ModelProto) -> bytes:
    return written(model) + b"\x0b\x0c"


@crafted(r"not an ONNX file \(field 0\)")
def field_zero(model: onnx.ModelProto) -> bytes:
    return written(model) + b"\x02\x00"


@crafted("ends in the middle of a field")
def truncated(model: onnx.ModelProto) -> bytes:
    return written(model)[:-3]


@crafted("unfinished number")
def unfinished(model: onnx.ModelProto) -> bytes:
    return written(model) + b"\xff" * 11


@crafted("a model has the unknown field 26")
def unknown_field(model: onnx.ModelProto) -> bytes:
    return written(model) + protobuf.field(26, b"")


@crafted("field 7 of a model has the wire type 0")
def graph_is_a_number(model: onnx.ModelProto) -> bytes:
    return retyped(model, 7, b"\x38\x01")


@crafted("field 7 of a model is given twice")
def two_graphs(model: onnx.ModelProto) -> bytes:
    return written(model) + protobuf.field(7, model.graph.SerializeToString())


@crafted("field 2 of a type is given twice")
def two_shapes(model: onnx.ModelProto) -> bytes:
    """Protobuf joins them: the image would have more axes than a reader of the last one sees."""
    image = model.graph.input[0]
    shape = protobuf.field(2, image.type.tensor_type.shape.SerializeToString())
    tensor_type = protobuf.field(1, image.type.tensor_type.SerializeToString() + shape)
    content = protobuf.field(1, b"image") + protobuf.field(2, tensor_type)
    del model.graph.input[:]
    return in_graph(model, protobuf.field(11, content))


@crafted("there is no graph in it")
def no_graph(model: onnx.ModelProto) -> bytes:
    return retyped(model, 7, b"")


@crafted("IR version is 0")
def no_version(model: onnx.ModelProto) -> bytes:
    return retyped(model, 1, b"")


@crafted("IR version is 99")
def newer_version(model: onnx.ModelProto) -> None:
    model.ir_version = 99


@crafted("onnxruntime's own format")
def two_formats(model: onnx.ModelProto) -> bytes:
    """A protobuf message that starts as onnxruntime's flat buffers do, so that it would be loaded as these."""
    return protobuf.field(2, b"..ORTM..") + protobuf.without(written(model), 2)


@crafted("unknown key 'ort_config'")
def session_options(model: onnx.ModelProto) -> None:
    """onnxruntime can be told to take its session options from here."""
    model.metadata_props.add(key="ort_config", value="{}")


@crafted("two manifests in its metadata")
def two_manifests(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="anomalib_lite", value="{}")
    model.metadata_props.add(key="anomalib_lite", value='{"calibration": {}}')


@pytest.fixture
def no_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: Any, **__: Any) -> None:
        pytest.fail("onnxruntime was given a file that should have been refused before")

    monkeypatch.setattr(onnxruntime, "InferenceSession", reached)


def test_a_plain_graph_is_admitted_and_runs() -> None:
    score, _ = load(written(plain())).run({"image": np.full((1, SIZE, SIZE, 1), 130, np.uint8)})
    assert score.tolist() == [30.0]


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_files_are_refused_before_onnxruntime(name: str, no_onnxruntime: None) -> None:
    craft, reason = CRAFTED[name]
    model = plain()
    changed = craft(model)
    content = changed if isinstance(changed, bytes) else written(model)
    with pytest.raises(ModelError, match=reason):
        load(content)


def test_every_crafted_file_has_a_reason_of_its_own() -> None:
    reasons = [reason for _, reason in CRAFTED.values()]
    assert len(reasons) == len(set(reasons)) >= 40


@pytest.mark.parametrize("kind", ["relative", "absolute", "link", "hard link"])
def test_data_that_onnxruntime_would_read_from_disk_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_onnxruntime: None
) -> None:
    """With the files really there: next to the model, and in the working directory."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "weights.bin").write_bytes(np.zeros((SIZE, SIZE), np.float32).tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    names = {"relative": "../secret/weights.bin", "absolute": str(secret / "weights.bin")}
    if kind == "link":
        (folder / "weights.bin").symlink_to(secret / "weights.bin")
    elif kind == "hard link":
        os.link(secret / "weights.bin", folder / "weights.bin")
    monkeypatch.chdir(folder)
    model = plain()
    outside(tensor(model), names.get(kind, "weights.bin"))
    with pytest.raises(ModelError, match="lies in another file"):
        load(written(model))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_have_the_same_signature(data: st.DataObject) -> None:
    """Any byte changed: a ModelError, or a graph that is still a plain one. Never another exception."""
    content = bytearray(written(plain()))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    pixels = ("uint8", (None, SIZE, SIZE, 1))
    outputs = {"score": ("float", (None,)), "anomaly_map": ("float", (None, 1, SIZE, SIZE))}
    with suppress(ModelError):
        admission.admit(bytes(content), {"image": pixels}, outputs)


def test_bundled_exports_are_admitted(model_path: Path) -> None:
    """Here the tests' own; the conformance kit loads an export of every bundled detector through the same door."""
    from anomalib_lite.edge.model import Model

    Model(model_path)
