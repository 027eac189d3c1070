"""Tensors that an ONNX file holds: whole, inside the file, and as long as they say. Few numbers of one are read."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.bundle import arithmetic
from anomalib_lite.edge.bundle.messages import ANY, Reader, numbers, refuse, signed, text
from anomalib_lite.edge.bundle.protobuf import CONTENT, NUMBER
from anomalib_lite.edge.bundle.shapes import Tensor

MAX_BYTES = 512 * 2**20
MAX_RANK = 16
FLOATS, INTS = (4, 10), (5, 7, 11)  # float_data, double_data; int32_data, int64_data, uint64_data
FIELDS = dict.fromkeys((6, 8, 9, 12, 16), CONTENT) | {2: NUMBER, 14: NUMBER}
FIELDS |= dict.fromkeys((1, *FLOATS, *INTS), ANY)


def read(message: memoryview, what: str, reader: Reader) -> tuple[str, Tensor]:
    """The name of a stored tensor, and the tensor.

    Raises:
        ModelError: It lies elsewhere, is none of plain numbers, or is longer or shorter than it says.
    """
    for one in reader.walk(message):
        if one.number == 13:
            refuse(f"{what} lies in another file ({_location(message[one.content], reader)})")
        if one.number == 14 and one.value:
            refuse(f"{what} is marked as lying elsewhere (data_location {one.value})")
    parts = list(reader.fields(message, FIELDS, "tensor"))
    name = text(next((value for number, value in parts if number == 8), b""))
    kind = next((value for number, value in parts if number == 2), 0)
    if kind not in arithmetic.TYPES:
        refuse(f"{what} '{name}' has the element type {kind}, which is none of plain numbers")
    sizes, dtype = _sizes(parts, f"{what} '{name}'"), np.dtype(arithmetic.TYPES[kind])
    needed = prod(sizes) * dtype.itemsize
    if any(size >= 2**31 for size in sizes) or needed > MAX_BYTES:
        refuse(f"{what} '{name}' claims the size {' x '.join(map(str, sizes))}")
    raw = [value for number, value in parts if number == 9]
    typed = [(number, value) for number, value in parts if number in (*FLOATS, *INTS)]
    if raw and typed:
        refuse(f"{what} '{name}' holds its numbers twice")
    if not typed and sum(map(len, raw)) != needed:
        refuse(f"{what} '{name}' holds {sum(map(len, raw))} bytes where its size needs {needed}")
    few = prod(sizes) <= arithmetic.FEW
    return name, Tensor(sizes, dtype, _numbers(raw, typed, sizes, dtype) if few else None, constant=True)


def _sizes(parts: Sequence[tuple[int, Any]], what: str) -> tuple[int, ...]:
    found: list[int] = []
    for value in (value for number, value in parts if number == 1):
        for size in numbers(value):
            found.append(size)
            if len(found) > MAX_RANK:
                refuse(f"{what} has more than {MAX_RANK} dimensions")
    return tuple(found)


def _numbers(
    raw: Sequence[memoryview], typed: Sequence[tuple[int, Any]], sizes: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any] | None:
    """The numbers of a small tensor; None where they are written in a way that no exporter writes them."""
    if raw or not typed:
        return np.frombuffer(b"".join(raw), dtype.newbyteorder("<")).astype(dtype).reshape(sizes)
    if all(number in INTS for number, _ in typed):
        found = [signed(one) for _, value in typed for one in numbers(value)]
        return np.array(found).astype(dtype).reshape(sizes) if len(found) == prod(sizes) else None
    packed = b"".join(bytes(value) for _, value in typed if not isinstance(value, int))
    kept = np.dtype("<f4" if typed[0][0] == 4 else "<f8")
    matches = len(packed) == prod(sizes) * kept.itemsize and dtype.kind == "f"
    return np.frombuffer(packed, kept).astype(dtype).reshape(sizes) if matches else None


def _location(entry: memoryview, reader: Reader) -> str:
    """What an entry of external_data refers to, and how: nothing of it is opened."""
    pair = {one.number: text(entry[one.content]) for one in reader.walk(entry) if one.kind == CONTENT}
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
