"""Reads an ONNX file before onnxruntime does, and refuses what no model of ours holds.

onnxruntime follows references to other files, loads operators of other libraries and runs loops without end; a bundle
comes over a network or on a stick. What is admitted is a plain graph: one file, standard operators, no branches, no
subgraphs, tensors that are as long as they say, and exactly the inputs and outputs that its manifest describes. What
this reader does not know it refuses, since it cannot vouch for it. The numbers of fields are those of onnx.proto (IR
version 13).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NoReturn, TypeAlias

from anomalib_lite.edge.bundle import protobuf
from anomalib_lite.edge.bundle.files import MAX_BYTES, METADATA_KEY
from anomalib_lite.edge.bundle.protobuf import CONTENT, FOUR_BYTES, NUMBER
from anomalib_lite.errors import ModelError

Shape: TypeAlias = tuple[int | None, ...]  # None: symbolic
Signature: TypeAlias = Mapping[str, tuple[str, Shape]]  # name -> element type, shape

MAX_NODES = 20_000
MAX_IR = 13
STANDARD = ("", "ai.onnx")
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
CHANCE = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
TYPES = {
    1: ("float", 4), 2: ("uint8", 1), 3: ("int8", 1), 4: ("uint16", 2), 5: ("int16", 2), 6: ("int32", 4),
    7: ("int64", 8), 9: ("bool", 1), 10: ("float16", 2), 11: ("double", 8), 12: ("uint32", 4), 13: ("uint64", 8),
}  # fmt: skip
TYPED_DATA = (4, 5, 7, 10, 11)  # float_data, int32_data, int64_data, double_data, uint64_data

ANY = -1  # wire type of repeated numbers: packed or not
# Fields that are read, or known to be harmless, and their wire types.
MODEL = {1: NUMBER, 2: CONTENT, 3: CONTENT, 4: CONTENT, 5: NUMBER, 6: CONTENT, 7: CONTENT, 8: CONTENT, 14: CONTENT}
GRAPH = dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 16), CONTENT)
NODE = dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 9), CONTENT)
ATTRIBUTE = dict.fromkeys((1, 4, 5, 9, 10, 13), CONTENT) | {
    2: FOUR_BYTES,
    3: NUMBER,
    7: ANY,
    8: ANY,
    20: NUMBER,
}
TENSOR = dict.fromkeys((6, 8, 9, 12, 16), CONTENT) | {2: NUMBER, 14: NUMBER}
TENSOR |= dict.fromkeys((1, *TYPED_DATA), ANY)
SUBGRAPHS = {
    6: "a subgraph", 11: "subgraphs", 14: "a type", 15: "types", 21: "a reference to a function's attribute",
    22: "a sparse tensor", 23: "sparse tensors",
}  # fmt: skip
ONCE = {  # what readers would merge, or take the first or the last of
    "model": (1, 7), "opset": (1, 2), "metadata": (1, 2), "node": (4, 7), "attribute": (1, 5, 20),
    "tensor": (2, 8, 9, 14), "value": (1, 2), "type": (1, 2), "size": (1, 2),
}  # fmt: skip


@dataclass
class _Found:
    """What was met so far."""

    nodes: int = 0
    inputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    outputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    initializers: set[str] = field(default_factory=set)


def admit(graph: bytes, inputs: Signature, outputs: Signature) -> None:
    """Refuse an ONNX file that is anything but a plain graph with this signature.

    Args:
        graph: The file.
        inputs: What the manifest describes: names to element types ("uint8") and shapes, None where symbolic.
        outputs: Likewise.

    Raises:
        ModelError: What was found, and what was expected.
    """
    if not graph:
        _refuse("the file is empty")
    if len(graph) > MAX_BYTES:
        _refuse(f"{len(graph):,} bytes, more than the {MAX_BYTES:,} allowed")
    if graph[4:8] == b"ORTM":
        _refuse("it is also a file of onnxruntime's own format, which would be loaded instead")
    found = _Found()
    _model(memoryview(graph), found)
    _compare("inputs", found.inputs, inputs)
    _compare("outputs", found.outputs, outputs)
    if shadowed := sorted(found.initializers & set(found.inputs)):
        _refuse(f"the input '{shadowed[0]}' has a stored default, so that it could be left out")


def _refuse(found: str) -> NoReturn:
    raise ModelError(f"the graph is not admitted: {found}. Restore the bundle from its origin, or export it again.")


def _refuse_parts(message: memoryview, parts: Mapping[int, str], what: str) -> None:
    """Refuse a message that has one of these fields, by its name."""
    for one in protobuf.walk(message):
        if one.number in parts:
            _refuse(f"{what} holds {parts[one.number]}")


def _fields(message: memoryview, known: Mapping[int, int], what: str) -> Iterator[tuple[int, Any]]:
    """(number, integer or content) of each field; unknown ones, other wire types and repeats are refused."""
    seen: set[int] = set()
    for one in protobuf.walk(message):
        if one.number not in known:
            _refuse(f"a {what} has the unknown field {one.number}")
        if known[one.number] not in (one.kind, ANY):
            _refuse(f"field {one.number} of a {what} has the wire type {one.kind}")
        if one.number in seen and one.number in ONCE.get(what, ()):
            _refuse(f"field {one.number} of a {what} is given twice, and readers differ in which one they take")
        seen.add(one.number)
        yield one.number, one.value if one.kind == NUMBER else message[one.content]


def _model(message: memoryview, found: _Found) -> None:
    _refuse_parts(message, {20: "training information", 25: "functions of its own"}, "it")
    parts: dict[int, list[Any]] = {}
    for number, value in _fields(message, MODEL, "model"):
        parts.setdefault(number, []).append(value)
    ir = parts.get(1, [0])[0]
    if not 3 < ir <= MAX_IR:
        _refuse(f"ONNX's IR version is {ir}, expected 4 to {MAX_IR}")
    domains = [_text(dict(_fields(one, {1: CONTENT, 2: NUMBER}, "opset")).get(1, b"")) for one in parts.get(8, [])]
    if strange := [one for one in domains if one not in STANDARD]:
        _refuse(f"it imports operators of '{strange[0]}', which are not in the ONNX standard")
    if len(domains) != 1:
        _refuse(f"the standard operator set is imported {len(domains)} times, expected once")
    keys = [_text(dict(_fields(one, {1: CONTENT, 2: CONTENT}, "metadata")).get(1, b"")) for one in parts.get(14, [])]
    if strange := [one for one in keys if one != METADATA_KEY]:
        _refuse(f"its metadata have the unknown key '{strange[0]}'")
    if len(keys) > 1:
        _refuse("it has two manifests in its metadata, and readers differ in which one they take")
    if 7 not in parts:
        _refuse("there is no graph in it")
    _graph(parts[7][0], found)


def _graph(message: memoryview, found: _Found) -> None:
    _refuse_parts(message, {15: "sparse tensors"}, "it")
    for number, value in _fields(message, GRAPH, "graph"):
        if number == 1:
            _node(value, found)
        elif number == 5:
            name = _tensor(value, "the stored tensor")
            if name in found.initializers:
                _refuse(f"the stored tensor '{name}' is given twice")
            found.initializers.add(name)
        elif number in (11, 12):
            name, described = _value(value)
            place = found.inputs if number == 11 else found.outputs
            if name in place:
                _refuse(f"the {'input' if number == 11 else 'output'} '{name}' is given twice")
            place[name] = described


def _node(message: memoryview, found: _Found) -> None:
    found.nodes += 1
    if found.nodes > MAX_NODES:
        _refuse(f"more than {MAX_NODES:,} nodes")
    parts = list(_fields(message, NODE, "node"))
    operator = _text(next((value for number, value in parts if number == 4), b""))
    domain = _text(next((value for number, value in parts if number == 7), b""))
    if domain not in STANDARD:
        _refuse(f"the operator {operator} is of '{domain}', not of the ONNX standard")
    if operator in CONTROL_FLOW:
        _refuse(f"the operator {operator} controls the flow: it can run for ever")
    if operator in CHANCE:
        _refuse(f"the operator {operator} draws random numbers: verdicts would differ")
    for number, value in parts:
        if number == 5:
            _attribute(value, operator)


def _attribute(message: memoryview, operator: str) -> None:
    _refuse_parts(message, SUBGRAPHS, f"an attribute of {operator}")
    for number, value in _fields(message, ATTRIBUTE, "attribute"):
        if number in (5, 10):
            _tensor(value, f"an attribute of {operator}")


def _tensor(message: memoryview, what: str) -> str:
    """The name of a tensor that is whole, inside this file."""
    for one in protobuf.walk(message):
        if one.number == 13:
            _refuse(f"{what} lies in another file ({_location(message[one.content])})")
        if one.number == 14 and one.value:
            _refuse(f"{what} is marked as lying elsewhere (data_location {one.value})")
    parts = list(_fields(message, TENSOR, "tensor"))
    name = _text(next((value for number, value in parts if number == 8), b""))
    kind = next((value for number, value in parts if number == 2), 0)
    if kind not in TYPES:
        _refuse(f"{what} '{name}' has the element type {kind}, which is none of plain numbers")
    dims = [size for number, value in parts if number == 1 for size in _numbers(value)]
    needed = prod(dims) * TYPES[kind][1]
    if any(size >= 2**31 for size in dims) or needed > MAX_BYTES:
        _refuse(f"{what} '{name}' claims the size {' x '.join(map(str, dims))}")
    raw = [len(value) for number, value in parts if number == 9]
    typed = any(number in TYPED_DATA for number, _ in parts)
    if raw and typed:
        _refuse(f"{what} '{name}' holds its numbers twice")
    if not typed and sum(raw) != needed:
        _refuse(f"{what} '{name}' holds {sum(raw)} bytes where its size needs {needed}")
    return name


def _location(entry: memoryview) -> str:
    """What an entry of external_data refers to, and how: nothing of it is opened."""
    pair = {one.number: _text(entry[one.content]) for one in protobuf.walk(entry) if one.kind == CONTENT}
    place = pair.get(2, "")
    if pair.get(1) != "location":
        return f"{pair.get(1, '')}={place}"
    if place.startswith("*/"):
        return f"an address in memory, {place}"
    if place.startswith(("/", "\\")) or place[1:2] == ":":
        return f"an absolute path, {place}"
    if ".." in place.replace("\\", "/").split("/"):
        return f"a path out of the folder, {place}"
    return f"a relative path, {place}"


def _value(message: memoryview) -> tuple[str, tuple[str, Shape]]:
    """Name, element type and shape of an input or an output."""
    parts = dict(_fields(message, {1: CONTENT, 2: CONTENT, 3: CONTENT, 4: CONTENT}, "value"))
    name = _text(parts.get(1, b""))
    kinds = list(protobuf.walk(parts.get(2, memoryview(b""))))
    tensors = [one for one in kinds if one.number == 1 and one.kind == CONTENT]
    if len(tensors) != 1 or any(one.number not in (1, 6) for one in kinds):
        _refuse(f"'{name}' is not a tensor")
    described = dict(_fields(parts[2][tensors[0].content], {1: NUMBER, 2: CONTENT}, "type"))
    element = TYPES.get(described.get(1, 0), ("unknown", 0))[0]
    if 2 not in described:
        _refuse(f"'{name}' has no shape")
    sizes = [one for _, one in _fields(described[2], {1: CONTENT}, "shape")]
    shape = tuple(dict(_fields(one, {1: NUMBER, 2: CONTENT, 3: CONTENT}, "size")).get(1) for one in sizes)
    return name, (element, shape)


def _numbers(value: Any) -> Iterator[int]:
    """A repeated number, packed or not."""
    return iter((value,)) if isinstance(value, int) else protobuf.packed(value)


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", "backslashreplace")


def _compare(what: str, found: Signature, expected: Signature) -> None:
    for name in expected:
        if name not in found:
            _refuse(f"its {what} lack '{name}'; the manifest describes {', '.join(expected)}")
    for name, (element, shape) in found.items():
        if name not in expected:
            _refuse(f"its {what} have '{name}', which the manifest does not describe")
        if element != expected[name][0]:
            _refuse(f"'{name}' is {element}; the manifest describes {expected[name][0]}")
        if shape != expected[name][1]:
            _refuse(f"'{name}' has the shape {_shown(shape)}; the manifest describes {_shown(expected[name][1])}")


def _shown(shape: Shape) -> str:
    return " x ".join("N" if size is None else str(size) for size in shape)
