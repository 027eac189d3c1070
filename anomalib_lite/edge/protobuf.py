"""Just enough protobuf to read and replace top-level fields of an ONNX file without the onnx package."""

from __future__ import annotations

from collections.abc import Iterator

from anomalib_lite.errors import ModelError


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Top-level fields of a message, in order.

    Yields:
        The field number, its raw bytes with the tag, and its content (empty for plain numbers).

    Raises:
        ModelError: It is not a protobuf message.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        kind, content = tag & 7, b""
        if kind == 0:
            _, position = _varint(message, position)
        elif kind == 2:
            length, position = _varint(message, position)
            content, position = message[position : position + length], position + length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise ModelError(f"the graph is not an ONNX file (wire type {kind}). Restore the bundle from its origin.")
        if position > len(message):
            raise ModelError("the graph ends in the middle of a field. Restore the bundle from its origin.")
        yield tag >> 3, message[start:position], content


def without(message: bytes, number: int) -> bytes:
    """The message less every top-level field of this number; all other bytes are kept as they are."""
    return b"".join(raw for found, raw, _ in fields(message) if found != number)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field, ready to be appended to a message."""
    return _encoded(number << 3 | 2) + _encoded(len(content)) + content


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ModelError("the graph is not an ONNX file (unfinished number). Restore the bundle from its origin.")


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
