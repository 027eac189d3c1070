"""JSON as a stranger may have written it: bounded before it is parsed, and refused where readers would differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

from anomalib_lite.edge.manifest.parsing import finite

MAX_BYTES = 256 * 2**20  # a million training images
MAX_VALUES = 4_000_000  # each takes up to 100 bytes in memory, however short it is written
MAX_DEPTH = 32


def loads(raw: bytes) -> Any:
    """A document.

    Raises:
        ValueError: It is too large or too deep, is no strict JSON in UTF-8, or gives a key twice.
    """
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{len(raw):,} bytes, more than the {MAX_BYTES:,} allowed")
    if (values := sum(map(raw.count, (b",", b"[", b"{")))) > MAX_VALUES:
        raise ValueError(f"about {values:,} values, more than the {MAX_VALUES:,} allowed")
    try:
        document = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_object, parse_float=_number, parse_constant=_constant
        )
    except RecursionError:
        _too_deep()
    _bounded(document)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice!r} is given twice, and readers differ in which one they take")
    return found


def _number(text: str) -> float:
    if not finite(value := float(text)):
        raise ValueError(f"{text[:20]} is more than a number can be")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _bounded(document: Any) -> None:
    """Refuse what is nested so deeply that those who go through it would fail."""
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for one in level for inner in _within(one)]
        if not level:
            return
    _too_deep()


def _within(value: Any) -> Iterator[Any]:
    """The objects and lists in an object or a list."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (one for one in inside if isinstance(one, (dict, list)))


def _too_deep() -> NoReturn:
    raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
