"""Just enough protobuf to read an ONNX file, and to replace its top-level fields, without the onnx package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from anomalib_lite.errors import ModelError

Buffer: TypeAlias = bytes | memoryview

NUMBER, EIGHT_BYTES, CONTENT, FOUR_BYTES = 0, 1, 2, 5  # wire types


class Field(NamedTuple):
    """One field of a message."""

    number: int
    kind: int  # wire type
    value: int  # of a NUMBER, without sign; 0 otherwise
    content: slice  # where it lies in the message; empty for a NUMBER
    whole: slice  # where the field lies, with its tag


MAX_FIELDS = 1_000_000  # of one message, and of all messages of a graph; a graph of 20,000 nodes has 600,000


def walk(message: Buffer) -> Iterator[Field]:
    """Top-level fields of a message, in order. Nothing is copied.

    Raises:
        ModelError: It is not a protobuf message, or one of more than `MAX_FIELDS`.
    """
    position = count = 0
    while position < len(message):
        start, count = position, count + 1
        if count > MAX_FIELDS:
            raise ModelError(f"the graph has more than {MAX_FIELDS:,} fields. Restore the bundle from its origin.")
        tag, position = _varint(message, position)
        kind, value, content = tag & 7, 0, slice(0, 0)
        if not 0 < tag >> 3 < 2**29:
            raise ModelError(f"the graph is not an ONNX file (field {tag >> 3}). Restore the bundle from its origin.")
        if kind == NUMBER:
            value, position = _varint(message, position)
        elif kind == CONTENT:
            length, position = _varint(message, position)
            content, position = slice(position, position + length), position + length
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            content = slice(position, position + (8 if kind == EIGHT_BYTES else 4))
            position = content.stop
        else:
            raise ModelError(f"the graph is not an ONNX file (wire type {kind}). Restore the bundle from its origin.")
        if position > len(message):
            raise ModelError("the graph ends in the middle of a field. Restore the bundle from its origin.")
        yield Field(tag >> 3, kind, value, content, slice(start, position))


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content (empty for plain numbers) of the top-level fields of a message, in order.

    Raises:
        ModelError: As `walk`.
    """
    for found in walk(message):
        yield found.number, message[found.content]


def packed(content: Buffer) -> Iterator[int]:
    """The numbers of a packed field, without sign."""
    position = 0
    while position < len(content):
        value, position = _varint(content, position)
        yield value


def parts_without(message: bytes, number: int) -> Iterator[memoryview]:
    """What lies between the top-level fields of this number: no part is empty, and nothing is copied.

    Raises:
        ModelError: As `walk`.
    """
    view, start = memoryview(message), 0
    for found in walk(message):
        if found.number == number:
            if start < found.whole.start:
                yield view[start : found.whole.start]
            start = found.whole.stop
    if start < len(message):
        yield view[start:]


def without(message: bytes, number: int) -> bytes:
    """The message less every top-level field of this number; all other bytes are kept as they are."""
    return b"".join(parts_without(message, number))


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field, ready to be appended to a message."""
    return _encoded(number << 3 | 2) + _encoded(len(content)) + content


def _varint(message: Buffer, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
    raise ModelError("the graph is not an ONNX file (unfinished number). Restore the bundle from its origin.")


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
