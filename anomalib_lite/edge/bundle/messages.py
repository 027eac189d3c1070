"""Reads the messages of an ONNX file: what this reader does not know it refuses, since it cannot vouch for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from anomalib_lite.edge.bundle import protobuf
from anomalib_lite.edge.bundle.protobuf import NUMBER
from anomalib_lite.errors import ModelError

ANY = -1  # wire type of repeated numbers: packed or not
SHOWN = 300  # characters of what was found: names in a graph are as long as who wrote it liked
ONCE = {  # what readers would merge, or take the first or the last of
    "model": (1, 7), "opset": (1, 2), "metadata": (1, 2), "node": (4, 7), "attribute": (1, 5, 20),
    "tensor": (2, 8, 9, 14), "value": (1, 2), "type": (1, 2), "size": (1, 2),
}  # fmt: skip


def refuse(found: str) -> NoReturn:
    """Raise the ModelError of a graph that is not admitted."""
    said = found if len(found) <= SHOWN else f"{found[:SHOWN]}..."
    raise ModelError(f"the graph is not admitted: {said}. Restore the bundle from its origin, or export it again.")


class Reader:
    """Reads messages, and counts what it reads: each field takes a microsecond, however short it is."""

    def __init__(self) -> None:
        self._count = 0

    def walk(self, message: memoryview) -> Iterator[protobuf.Field]:
        """The fields of a message. All messages of a file together have at most `protobuf.MAX_FIELDS`."""
        for one in protobuf.walk(message):
            self._count += 1
            if self._count > protobuf.MAX_FIELDS:
                refuse(f"it has more than {protobuf.MAX_FIELDS:,} fields")
            yield one

    def refuse_parts(self, message: memoryview, parts: Mapping[int, str], what: str) -> None:
        """Refuse a message that has one of these fields, by its name."""
        for one in self.walk(message):
            if one.number in parts:
                refuse(f"{what} holds {parts[one.number]}")

    def fields(self, message: memoryview, known: Mapping[int, int], what: str) -> Iterator[tuple[int, Any]]:
        """(number, integer or content) of each field; unknown ones, other wire types and repeats are refused."""
        seen: set[int] = set()
        for one in self.walk(message):
            if one.number not in known:
                refuse(f"a {what} has the unknown field {one.number}")
            if known[one.number] not in (one.kind, ANY):
                refuse(f"field {one.number} of a {what} has the wire type {one.kind}")
            if one.number in seen and one.number in ONCE.get(what, ()):
                refuse(f"field {one.number} of a {what} is given twice, and readers differ in which one they take")
            seen.add(one.number)
            yield one.number, one.value if one.kind == NUMBER else message[one.content]


def numbers(value: Any) -> Iterator[int]:
    """A repeated number, packed or not."""
    return iter((value,)) if isinstance(value, int) else protobuf.packed(value)


def signed(value: int) -> int:
    """A number that may be negative."""
    return value - 2**64 if value >= 2**63 else value


def text(value: Any) -> str:
    """Text, whatever its bytes are."""
    return bytes(value).decode("utf-8", "backslashreplace")
