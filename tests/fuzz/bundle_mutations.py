"""Mutations of bundles along their structure: the manifest, the graph, the zip; hashes agree wherever they can."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from anomalib_lite.edge.bundle import GRAPH, MANIFEST, layouts  # noqa: F401 - adds rules
from anomalib_lite.edge.bundle.shapes import RULES
from fuzz.bundles import made

Files = dict[str, bytes]
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 255, 2**31, 2**53, 2**63, 10**40, 0.0, 0.5, -0.5, 1e-300, 1e30, 1e308,
    float("nan"), float("inf"), "", "x", "a" * 5000, "\0", "\ud800", "../x", "/etc/passwd", "model.onnx",
    "manifest.json", "(", "(a+)+$", "OK", "ERROR", "uint8", "uint16", "tile", "letterbox", [], [[]], [0], [1, 2], ["x"],
    {}, {"x": 1}, [{}], [None] * 50,
)  # fmt: skip
SIZES = (-(2**63), -9, -1, 0, 1, 2, 3, 16, 255, 4096, 2**16, 2**24, 2**31 - 1, 2**31, 2**40, 2**63 - 1)


def mutated(kind: str, files: Mapping[str, bytes], random: Random) -> tuple[str, bytes]:
    """A mutated bundle as the bytes of a zip, and what was done to it."""
    if kind == "zip":
        name, change = random.choice(list(ZIPS.items()))
        return name, change(dict(files), random)
    document, graph, done = json.loads(files[MANIFEST]), files[GRAPH], []
    for _ in range(random.choice((1, 1, 2, 4))):
        if kind == "manifest":
            name, edit = random.choice(list(EDITS.items()))
            document = edit(document, random)
        else:
            name, change_graph = random.choice(list(GRAPHS.items()))
            try:
                graph = change_graph(graph, random)
            except (ValueError, TypeError, IndexError, OverflowError, struct.error, MemoryError):
                continue  # an earlier change left no such structure
            except Exception as error:
                if type(error).__name__ not in ("DecodeError", "EncodeError"):  # of protobuf
                    raise
                continue
        done.append(name)
    written = made(files, document, graph if kind == "graph" else None)
    if kind == "manifest" and random.random() < 0.2:
        name, text = random.choice(list(TEXTS.items()))
        written[MANIFEST] = text(written[MANIFEST], random)
        done.append(name)
    return " and ".join(done), packed(written)


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as whole:
        for name, content in files.items():
            whole.writestr(name, content)
    return file.getvalue()


# ---- the manifest: values at any depth


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every (object or list, key) of a document."""
    found: list[tuple[Any, Any]] = []
    if isinstance(node, (dict, list)):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            found += [(node, key), *_places(node[key])]
    return found


def _at(document: Any, random: Random) -> tuple[Any, Any]:
    return random.choice(_places(document) or [({"x": 1}, "x")])


def value_changed(document: Any, random: Random) -> Any:
    node, key = _at(document, random)
    node[key] = random.choice(VALUES)
    return document


def number_changed(document: Any, random: Random) -> Any:
    numbers = [(n, k) for n, k in _places(document) if isinstance(n[k], (int, float)) and not isinstance(n[k], bool)]
    if numbers:
        node, key = random.choice(numbers)
        node[key] = random.choice((-node[key], node[key] * 2, node[key] + 1, node[key] / 3, 10**18, -1, 0, 1e300))
    return document


def key_removed(document: Any, random: Random) -> Any:
    node, key = _at(document, random)
    del node[key]
    return document


def moved(document: Any, random: Random) -> Any:
    (node, key), (other, there) = _at(document, random), _at(document, random)
    copy = (
        json.loads(json.dumps(other[there]))
        if there in (other if isinstance(other, dict) else range(len(other)))
        else 1
    )
    node[key] = copy
    return document


def nested(document: Any, random: Random) -> Any:
    node, key = _at(document, random)
    for _ in range(random.choice((1, 5, 40, 400))):
        node[key] = [node[key]] if random.random() < 0.5 else {"x": node[key]}
    return document


EDITS: dict[str, Callable[[Any, Random], Any]] = {
    "a value": value_changed, "a number": number_changed, "a key less": key_removed, "a value moved": moved,
    "nesting": nested,
}  # fmt: skip
TEXTS: dict[str, Callable[[bytes, Random], bytes]] = {
    "a key twice": lambda raw, random: raw.replace(b"{", b'{"files": {}, ', 1),
    "bytes": lambda raw, random: raw[:50] + random.randbytes(3) + raw[53:],
    "an end": lambda raw, random: raw[: random.randrange(len(raw))],
    "brackets": lambda raw, random: b'{"x": ' + b"[" * random.choice((10, 10**5)),
    "a number": lambda raw, random: raw.replace(b": 1", b": 1" + b"0" * random.choice((30, 400, 5000)), 1),
    "UTF-16": lambda raw, random: raw.decode("ascii").encode("utf-16"),
}


# ---- the graph


def _parsed(graph: bytes) -> onnx.ModelProto:
    model: onnx.ModelProto = onnx.ModelProto.FromString(graph)
    return model


def operator_changed(graph: bytes, random: Random) -> bytes:
    model = _parsed(graph)
    random.choice(model.graph.node).op_type = random.choice([*RULES, "If", "LSTM", "Loop", "DFT", "Unknown"])
    return model.SerializeToString()  # type: ignore[no-any-return]


def attribute_changed(graph: bytes, random: Random) -> bytes:
    model = _parsed(graph)
    one = random.choice([a for node in model.graph.node for a in node.attribute])
    if one.ints:
        one.ints[random.randrange(len(one.ints))] = random.choice(SIZES)
    elif one.type == onnx.AttributeProto.INT:
        one.i = random.choice(SIZES)
    elif one.type == onnx.AttributeProto.FLOAT:
        one.f = random.choice((float("nan"), float("inf"), 1e30, 0.0))
    elif one.type == onnx.AttributeProto.STRING:
        one.s = random.choice((b"", b"SAME_UPPER", b"cubic", b"edge", b"\xff"))
    else:
        one.ClearField("type")
    return model.SerializeToString()  # type: ignore[no-any-return]


def wired_otherwise(graph: bytes, random: Random) -> bytes:
    model = _parsed(graph)
    names = [name for node in model.graph.node for name in (*node.input, *node.output)] + ["", "image", "nobody"]
    node = random.choice(model.graph.node)
    side = random.choice((node.input, node.output))
    side[random.randrange(len(side))] = random.choice(names)
    return model.SerializeToString()  # type: ignore[no-any-return]


def sizes_changed(graph: bytes, random: Random) -> bytes:
    """The numbers of a stored tensor of whole numbers: shapes, pads, axes."""
    model = _parsed(graph)
    small = [one for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT64 and sum(one.dims) < 64]
    one = random.choice(small)
    numbers = numpy_helper.to_array(one).copy().ravel()
    numbers[random.randrange(len(numbers))] = random.choice(SIZES)
    one.CopyFrom(numpy_helper.from_array(numbers.reshape(tuple(one.dims)), one.name))
    return model.SerializeToString()  # type: ignore[no-any-return]


def dims_changed(graph: bytes, random: Random) -> bytes:
    model = _parsed(graph)
    one = random.choice(model.graph.initializer)
    change = random.randrange(3)
    if change == 0:
        one.dims.extend([1] * random.choice((1, 10, 10_000)))
    elif change == 1 and one.dims:
        one.dims[0] = random.choice(SIZES)
    else:
        one.data_type = random.randrange(0, 25)
    return model.SerializeToString()  # type: ignore[no-any-return]


def grown(graph: bytes, random: Random) -> bytes:
    """A chain that makes something large of the map, and adds it to the score."""
    model = _parsed(graph)
    stored = {"fuzz_sizes": [1, 1, *random.choices(SIZES[4:], k=2)], "fuzz_axes": [0, 1, 2, 3]}
    operator = random.choice(("Expand", "Tile", "ConstantOfShape", "Reshape", "Pad", "Resize"))
    pads = [0, 0, 0, 0, 0, 0, *random.choices(SIZES[4:], k=2)]
    inputs = {
        "ConstantOfShape": ["fuzz_sizes"], "Pad": ["anomaly_map", "fuzz_pads"],
        "Resize": ["anomaly_map", "", "", "fuzz_sizes"],
    }.get(operator, ["anomaly_map", "fuzz_sizes"])  # fmt: skip
    nodes = [helper.make_node(operator, inputs, ["fuzz_a0"])]
    steps = random.choice((0, 1, 20))
    nodes += [helper.make_node(random.choice(("MatMul", "Mul", "Add")), [f"fuzz_a{n}"] * 2, [f"fuzz_a{n + 1}"])
              for n in range(steps)]  # fmt: skip
    nodes += [helper.make_node("ReduceMax", [f"fuzz_a{steps}", "fuzz_axes"], ["fuzz_most"], keepdims=0)]
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name == "score":
                node.output[place] = "fuzz_score"
    nodes += [helper.make_node("Add", ["fuzz_score", "fuzz_most"], ["score"])]
    model.graph.node.extend(nodes)
    arrays = {name: np.array(one, np.int64) for name, one in (stored | {"fuzz_pads": pads}).items()}
    model.graph.initializer.extend(numpy_helper.from_array(one, name) for name, one in arrays.items())
    return model.SerializeToString()  # type: ignore[no-any-return]


def node_moved(graph: bytes, random: Random) -> bytes:
    model = _parsed(graph)
    nodes = list(model.graph.node)
    change = random.randrange(3)
    one = nodes.pop(random.randrange(len(nodes)))
    if change:
        nodes.insert(random.randrange(len(nodes) + 1), one)
    if change == 2:
        nodes.append(one)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()  # type: ignore[no-any-return]


def bytes_changed(graph: bytes, random: Random) -> bytes:
    at, length = random.randrange(len(graph)), random.choice((0, 1, 2, 16))
    put = random.choice((b"", random.randbytes(2), b"\x08\x01" * random.choice((1, 1000, 300_000)), b"\xff" * 11))
    return graph[:at] + put + graph[at + length :]


GRAPHS: dict[str, Callable[[bytes, Random], bytes]] = {
    "an operator": operator_changed, "an attribute": attribute_changed, "wiring": wired_otherwise,
    "sizes": sizes_changed, "dimensions": dims_changed, "growth": grown, "an order": node_moved, "bytes": bytes_changed,
}  # fmt: skip


# ---- the zip


def _entry(whole: bytes, random: Random, at: int, form: str, *values: int) -> bytes:
    """A number in an entry of the table of contents."""
    starts = [place for place in range(len(whole)) if whole[place : place + 4] == b"PK\1\2"]
    changed = bytearray(whole)
    struct.pack_into(form, changed, random.choice(starts) + at, random.choice(values))
    return bytes(changed)


def _end(whole: bytes, random: Random) -> bytes:
    changed = bytearray(whole)
    at, form = random.choice(((8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H")))
    struct.pack_into(form, changed, whole.rfind(b"PK\5\6") + at, random.choice((0, 1, 7, 0xFFFF)))
    return bytes(changed)


def _flipped(whole: bytes, random: Random) -> bytes:
    changed = bytearray(whole)
    for _ in range(random.choice((1, 4))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


BIG = bytes(70 * 2**20)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ZIPS: dict[str, Callable[[Files, Random], bytes]] = {
    "sound": lambda files, random: packed(files, random.choice(METHODS[:2])),
    "a method": lambda files, random: packed(files, random.choice(METHODS)),
    "one file more": lambda files, random: packed(files | {random.choice(("x", "../x", "a/", "\x1b[2J")): b"x"}),
    "a large file more": lambda files, random: packed(files | {"x": BIG[: random.choice((10**6, len(BIG)))]}),
    "a large file": lambda files, random: packed(files | {random.choice(list(files)): BIG}),
    "one file less": lambda files, random: packed(
        {name: one for name, one in files.items() if name != random.choice(list(files))}
    ),
    "many files": lambda files, random: packed(files | {f"{n}": b"" for n in range(random.choice((10, 2000, 30_000)))}),
    "a stated size": lambda files, random: _entry(packed(files), random, 24, "<I", 0, 1, 10, 2**20, 2**31, 2**32 - 1),
    "a packed size": lambda files, random: _entry(packed(files), random, 20, "<I", 0, 1, 10, 2**20, 2**31, 2**32 - 1),
    "a stated method": lambda files, random: _entry(packed(files), random, 10, "<H", 0, 8, 9, 12, 14, 95, 99),
    "a flag": lambda files, random: _entry(packed(files), random, 8, "<H", 1, 8, 0x20, 0x40, 0x2000, 0xFFFF),
    "an offset": lambda files, random: _entry(packed(files), random, 42, "<I", 0, 1, 1000, 2**31, 2**32 - 1),
    "a checksum": lambda files, random: _entry(packed(files), random, 16, "<I", 0, 1),
    "a name's length": lambda files, random: _entry(packed(files), random, 28, "<H", 0, 1, 200, 0xFFFF),
    "the end": lambda files, random: _end(packed(files), random),
    "a cut": lambda files, random: (whole := packed(files))[: random.randrange(len(whole))],
    "bits": lambda files, random: _flipped(packed(files), random),
    "something before it": lambda files, random: random.randbytes(random.choice((1, 100))) + packed(files),
    "something after it": lambda files, random: packed(files) + random.randbytes(random.choice((1, 100, 70_000))),
}
