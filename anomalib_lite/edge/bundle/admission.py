"""Reads an ONNX file before onnxruntime does, and refuses what no model of ours holds.

onnxruntime follows references to other files, loads operators of other libraries and runs loops without end; a bundle
comes over a network or on a stick. What is admitted is a plain graph: one file, standard operators, no branches, no
subgraphs, tensors that are as long as they say, exactly the inputs and outputs that its manifest describes, within a
budget of memory and time (`cost`). What this reader does not know it refuses, since it cannot vouch for it. The numbers
of fields are those of onnx.proto (IR version 13).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from anomalib_lite.edge.bundle import arithmetic, cost, tensors
from anomalib_lite.edge.bundle.files import MAX_BYTES, METADATA_KEY
from anomalib_lite.edge.bundle.messages import ANY, Reader, numbers, refuse, signed, text
from anomalib_lite.edge.bundle.protobuf import CONTENT, FOUR_BYTES, NUMBER
from anomalib_lite.edge.bundle.shapes import Node, Tensor

Shape: TypeAlias = tuple[int | None, ...]  # None: symbolic
Signature: TypeAlias = Mapping[str, tuple[str, Shape]]  # name -> element type, shape

MAX_NODES = 20_000
MAX_IR = 13
STANDARD = ("", "ai.onnx")
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
CHANCE = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
NAMES = arithmetic.TYPES | {1: "float", 11: "double"}  # as ONNX calls them

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
SUBGRAPHS = {
    6: "a subgraph", 11: "subgraphs", 14: "a type", 15: "types", 21: "a reference to a function's attribute",
    22: "a sparse tensor", 23: "sparse tensors",
}  # fmt: skip


@dataclass
class _Found:
    """What was met so far."""

    reader: Reader = field(default_factory=Reader)
    nodes: list[Node] = field(default_factory=list)
    inputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    outputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    stored: dict[str, Tensor] = field(default_factory=dict)


def admit(graph: bytes, inputs: Signature, outputs: Signature, batch: int = 1) -> None:
    """Refuse an ONNX file that is anything but a plain graph with this signature, within the budget of `cost`.

    Args:
        graph: The file.
        inputs: What the manifest describes: names to element types ("uint8") and shapes, None where symbolic.
        outputs: Likewise.
        batch: What stands for the symbolic size where the graph runs.

    Raises:
        ModelError: What was found, and what was expected.
    """
    if not graph:
        refuse("the file is empty")
    if len(graph) > MAX_BYTES:
        refuse(f"{len(graph):,} bytes, more than the {MAX_BYTES:,} allowed")
    if graph[4:8] == b"ORTM":
        refuse("it is also a file of onnxruntime's own format, which would be loaded instead")
    found = _Found()
    _model(memoryview(graph), found)
    _compare("inputs", found.inputs, inputs)
    _compare("outputs", found.outputs, outputs)
    if shadowed := sorted(found.stored.keys() & found.inputs.keys()):
        refuse(f"the input '{shadowed[0]}' has a stored default, so that it could be left out")
    cost.refuse_costly(found.nodes, _tensors(inputs, batch) | found.stored, _tensors(outputs, batch))


def _tensors(described: Signature, batch: int) -> dict[str, Tensor]:
    """Inputs or outputs, with a number in place of the symbolic size."""
    types = {name: np.dtype(arithmetic.TYPES[code]) for code, name in NAMES.items()}
    return {
        name: Tensor(tuple(batch if size is None else size for size in shape), types[element])
        for name, (element, shape) in described.items()
    }


def _model(message: memoryview, found: _Found) -> None:
    found.reader.refuse_parts(message, {20: "training information", 25: "functions of its own"}, "it")
    parts: dict[int, list[Any]] = {}
    for number, value in found.reader.fields(message, MODEL, "model"):
        parts.setdefault(number, []).append(value)
    ir = parts.get(1, [0])[0]
    if not 3 < ir <= MAX_IR:
        refuse(f"ONNX's IR version is {ir}, expected 4 to {MAX_IR}")
    domains = [
        text(dict(found.reader.fields(one, {1: CONTENT, 2: NUMBER}, "opset")).get(1, b"")) for one in parts.get(8, [])
    ]
    if strange := [one for one in domains if one not in STANDARD]:
        refuse(f"it imports operators of '{strange[0]}', which are not in the ONNX standard")
    if len(domains) != 1:
        refuse(f"the standard operator set is imported {len(domains)} times, expected once")
    keys = [
        text(dict(found.reader.fields(one, {1: CONTENT, 2: CONTENT}, "metadata")).get(1, b""))
        for one in parts.get(14, [])
    ]
    if strange := [one for one in keys if one != METADATA_KEY]:
        refuse(f"its metadata have the unknown key '{strange[0]}'")
    if len(keys) > 1:
        refuse("it has two manifests in its metadata, and readers differ in which one they take")
    if 7 not in parts:
        refuse("there is no graph in it")
    _graph(parts[7][0], found)


def _graph(message: memoryview, found: _Found) -> None:
    found.reader.refuse_parts(message, {15: "sparse tensors"}, "it")
    for number, value in found.reader.fields(message, GRAPH, "graph"):
        if number == 1:
            _node(value, found)
        elif number == 5:
            name, stored = tensors.read(value, "the stored tensor", found.reader)
            if name in found.stored:
                refuse(f"the stored tensor '{name}' is given twice")
            found.stored[name] = stored
        elif number in (11, 12):
            name, described = _value(value, found.reader)
            place = found.inputs if number == 11 else found.outputs
            if name in place:
                refuse(f"the {'input' if number == 11 else 'output'} '{name}' is given twice")
            place[name] = described


def _node(message: memoryview, found: _Found) -> None:
    if len(found.nodes) >= MAX_NODES:
        refuse(f"more than {MAX_NODES:,} nodes")
    parts = list(found.reader.fields(message, NODE, "node"))
    operator = text(next((value for number, value in parts if number == 4), b""))
    domain = text(next((value for number, value in parts if number == 7), b""))
    if domain not in STANDARD:
        refuse(f"the operator {operator} is of '{domain}', not of the ONNX standard")
    if operator in CONTROL_FLOW:
        refuse(f"the operator {operator} controls the flow: it can run for ever")
    if operator in CHANCE:
        refuse(f"the operator {operator} draws random numbers: verdicts would differ")
    given, made = (tuple(text(value) for number, value in parts if number == wanted) for wanted in (1, 2))
    attributes = [_attribute(value, operator, found.reader) for number, value in parts if number == 5]
    if len(dict(attributes)) < len(attributes):
        refuse(f"an attribute of {operator} is given twice")
    found.nodes.append(Node(operator, given, made, dict(attributes)))


def _attribute(message: memoryview, operator: str, reader: Reader) -> tuple[str, Any]:
    """Name and value of an attribute: the last field that holds one; None for a list of anything but whole numbers."""
    what = f"an attribute of {operator}"
    reader.refuse_parts(message, SUBGRAPHS, what)
    name, value, several = "", None, list[int]()
    for number, content in reader.fields(message, ATTRIBUTE, "attribute"):
        if number == 1:
            name = text(content)
        elif number == 2:
            value = struct.unpack("<f", content)[0]
        elif number == 3:
            value = signed(content)
        elif number == 4:
            value = text(content)
        elif number in (5, 10):
            value = tensors.read(content, what, reader)[1]
        elif number == 8:
            several += map(signed, numbers(content))
    return name, several or value


def _value(message: memoryview, reader: Reader) -> tuple[str, tuple[str, Shape]]:
    """Name, element type and shape of an input or an output."""
    parts = dict(reader.fields(message, {1: CONTENT, 2: CONTENT, 3: CONTENT, 4: CONTENT}, "value"))
    name = text(parts.get(1, b""))
    kinds = list(reader.walk(parts.get(2, memoryview(b""))))
    tensors = [one for one in kinds if one.number == 1 and one.kind == CONTENT]
    if len(tensors) != 1 or any(one.number not in (1, 6) for one in kinds):
        refuse(f"'{name}' is not a tensor")
    described = dict(reader.fields(parts[2][tensors[0].content], {1: NUMBER, 2: CONTENT}, "type"))
    element = NAMES.get(described.get(1, 0), "unknown")
    if 2 not in described:
        refuse(f"'{name}' has no shape")
    sizes = [one for _, one in reader.fields(described[2], {1: CONTENT}, "shape")]
    shape = tuple(dict(reader.fields(one, {1: NUMBER, 2: CONTENT, 3: CONTENT}, "size")).get(1) for one in sizes)
    return name, (element, shape)


def _compare(what: str, found: Signature, expected: Signature) -> None:
    for name in expected:
        if name not in found:
            refuse(f"its {what} lack '{name}'; the manifest describes {', '.join(expected)}")
    for name, (element, shape) in found.items():
        if name not in expected:
            refuse(f"its {what} have '{name}', which the manifest does not describe")
        if element != expected[name][0]:
            refuse(f"'{name}' is {element}; the manifest describes {expected[name][0]}")
        if shape != expected[name][1]:
            refuse(f"'{name}' has the shape {_shown(shape)}; the manifest describes {_shown(expected[name][1])}")


def _shown(shape: Shape) -> str:
    return " x ".join("N" if size is None else str(size) for size in shape)
