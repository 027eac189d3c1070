"""What several graphs compute alike of an image, as one graph, and what is left of each: its head.

Two nodes are alike where operator, attributes, stored numbers and all that they read are, down to the input. What is
handed on are tensors of numbers for each image; sizes and constants are computed again in each head, so that every size
in it is known without the other graph. One graph with an output for each product would not do: onnxruntime computes
all outputs, whichever are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference

from anomalib_lite.errors import ExportError

HANDED = "shared"  # begins the names of what is handed on


class Part(NamedTuple):
    """A piece of a graph."""

    graph: bytes
    inputs: tuple[str, ...]
    outputs: Mapping[str, tuple[int, ...]]  # name -> sizes for one image
    stored: int  # bytes of weights


@dataclass
class _Graph:
    """A graph, and what tells its values from those of others."""

    model: ModelProto
    made: dict[str, NodeProto] = field(default_factory=dict)  # value -> the node that makes it
    keys: dict[str, str] = field(default_factory=dict)  # value -> digest of all that it is made of
    values: dict[str, ValueInfoProto] = field(default_factory=dict)
    stored: dict[str, TensorProto] = field(default_factory=dict)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Read an ONNX file."""
        model = shape_inference.infer_shapes(onnx.load_from_string(content), data_prop=True)
        del model.metadata_props[:]
        found, graph = cls(model), model.graph
        found.stored = {one.name: one for one in graph.initializer}
        found.values = {one.name: one for one in (*graph.value_info, *graph.output)}
        found.keys = {one.name: _digest("input", one.SerializeToString(deterministic=True)) for one in graph.input}
        found.keys |= {name: _digest(f"{one.data_type} {one.dims}", _raw(one)) for name, one in found.stored.items()}
        for node in graph.node:
            given = "".join(found.keys[name] if name else "-" for name in node.input)
            attributes = sorted(one.SerializeToString(deterministic=True) for one in node.attribute)
            key = _digest(node.op_type, node.domain.encode(), given.encode(), *attributes)
            for place, name in enumerate(node.output):
                found.made[name], found.keys[name] = node, _digest(str(place), key.encode())
        return found

    @property
    def outputs(self) -> list[str]:
        """Names of what it gives."""
        return [one.name for one in self.model.graph.output]

    def shareable(self) -> set[str]:
        """The keys of what can be handed on: tensors of numbers for each image, whose other sizes are known."""
        inner = [name for name in self.made if name in self.values and name not in self.outputs]
        return {self.keys[name] for name in inner if _is_of_images(self.values[name])}

    def needed(self, wanted: Iterable[str], stop: Collection[str]) -> tuple[list[NodeProto], list[str]]:
        """The nodes that make these values, in their order, and what they read that is of `stop` instead."""
        nodes: set[int] = set()
        read: dict[str, None] = {}
        waiting = list(wanted)
        while waiting:
            name = waiting.pop()
            if self.keys[name] in stop:
                read[name] = None
            elif name in self.made and id(self.made[name]) not in nodes:
                nodes.add(id(self.made[name]))
                waiting += [one for one in self.made[name].input if one]
        return [one for one in self.model.graph.node if id(one) in nodes], list(read)

    def part(self, nodes: Sequence[NodeProto], names: Mapping[str, str], outputs: Iterable[str]) -> Part:
        """Some of its nodes as a graph, in which values have other names.

        Raises:
            ExportError: It is not valid.
        """
        read, made = {name for node in nodes for name in node.input}, {name for node in nodes for name in node.output}
        given = [one for one in self.model.graph.input if one.name in read]
        given += [_renamed(self.values[name], new) for name, new in names.items() if name not in made]
        made_here = [_renamed(self.values[name], names.get(name, name)) for name in outputs]
        stored = [one for name, one in self.stored.items() if name in read]
        graph = helper.make_graph([_with_names(one, names) for one in nodes], "model", given, made_here, stored)
        model = helper.make_model(
            graph,
            opset_imports=self.model.opset_import,
            producer_name="anomalib-lite",
            ir_version=self.model.ir_version,
        )
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
            raise ExportError(f"a part of the graph is not valid ({error}): report this with the model.") from error
        weights = sum(len(_raw(one)) for one in stored if len(one.dims) > 1)
        sizes = {one.name: _sizes(one) for one in made_here}
        return Part(model.SerializeToString(deterministic=True), tuple(one.name for one in given), sizes, weights)


class Sharing:
    """Divides graphs of which the first part is the same."""

    def __init__(self, graphs: Iterable[bytes], again: Iterable[bytes]) -> None:
        """Find what they share. One graph at a time is in memory.

        Args:
            graphs: ONNX files, as `exporter.to_onnx` makes them.
            again: The same once more.
        """
        found: set[str] | None = None
        for content in graphs:
            keys = _Graph.of(content).shareable()
            found = keys if found is None else found & keys
        self._alike, read = found or set(), set[str]()
        for content in again:
            graph = _Graph.of(content)
            read |= {graph.keys[name] for name in graph.needed(graph.outputs, self._alike)[1]}
        self._names = {key: f"{HANDED}.{place}" for place, key in enumerate(sorted(read))}

    def shared(self, content: bytes) -> Part:
        """What all compute, made of any of them. Without stored weights nothing is gained by it.

        Raises:
            ExportError: It is no valid graph.
        """
        graph = _Graph.of(content)
        names = {name: self._names[key] for name, key in graph.keys.items() if key in self._names}
        one_each = {self._names[graph.keys[name]]: name for name in names}
        wanted = list(one_each.values())
        return graph.part(graph.needed(wanted, ())[0], {name: names[name] for name in wanted}, wanted)

    def head(self, content: bytes) -> Part:
        """What is left of one of them. Errors as of `shared`."""
        graph = _Graph.of(content)
        nodes, read = graph.needed(graph.outputs, self._alike)
        return graph.part(nodes, {name: self._names[graph.keys[name]] for name in read}, graph.outputs)


def _is_of_images(value: ValueInfoProto) -> bool:
    kind = value.type.tensor_type
    first, *others = kind.shape.dim or [None]
    known = first is not None and bool(first.dim_param) and len(others) > 0 and all(one.dim_value > 0 for one in others)
    return known and kind.elem_type == TensorProto.FLOAT


def _sizes(value: ValueInfoProto) -> tuple[int, ...]:
    return tuple(one.dim_value for one in value.type.tensor_type.shape.dim[1:])


def _with_names(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    return copy


def _renamed(value: ValueInfoProto, name: str) -> ValueInfoProto:
    copy = ValueInfoProto()
    copy.type.CopyFrom(value.type)
    copy.name = name
    return copy


def _raw(tensor: TensorProto) -> bytes:
    return bytes(numpy_helper.to_array(tensor).tobytes())


def _digest(text: str, *parts: bytes) -> str:
    digest = hashlib.sha256(text.encode())
    for one in parts:
        digest.update(len(one).to_bytes(8, "little") + one)
    return digest.hexdigest()
