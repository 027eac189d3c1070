"""From JSON to dataclasses and back: whatever is missing or of another type is named by its key: `image.white`.

A field may say in its metadata: `key`, what it is called in JSON; `expected`, what is told of any fault inside it; and
`absent`, that JSON lacks it where it has its default, so that models without what is newer stay as they were.
A class may have `rules`, what its values must be beyond their types, and `DERIVED`, properties that JSON holds, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin, get_type_hints

Json: TypeAlias = Any


class Rule(NamedTuple):
    """What a value must be beyond its type."""

    key: str
    value: object
    holds: bool
    expected: str


class Missing(Exception):  # noqa: N818
    """A key is not there, or is not the object or the list that it must be."""


class Unsound(Exception):  # noqa: N818
    """A key has a value that makes no sense."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(key)
        self.key, self.value, self.expected = key, value, expected


def parsed(kind: Any, value: Json, key: str = "") -> Any:
    """A JSON value as a type: a dataclass, Mapping, tuple, Literal, X | None, or a plain type.

    Keys that a dataclass does not have are passed over: a later version of the same schema may add some.

    Raises:
        Missing: A key is not there and has no default.
        Unsound: A value is of another type, or breaks a rule.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _object(kind, value, key)
    if origin in (Union, UnionType):
        return None if value is None and NoneType in inner else parsed(_some(inner, value), value, key)
    if origin is Literal:
        return _checked(value, any(value == one for one in inner), key, ", ".join(map(str, inner)))
    if origin is tuple:
        return _sequence(inner, value, key)
    if origin is Mapping:
        _built(value, dict, key)
        return {name: parsed(inner[1], one, _joined(key, name)) for name, one in value.items()}
    holds, words = PLAIN[kind]
    return _checked(value, holds(value), key, words)


def finite(value: object) -> bool:
    """Whether it is a number that a float can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _whole(value: object) -> bool:
    """Whether it is a whole number that every reader of JSON holds exactly."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


PLAIN: dict[Any, tuple[Callable[[object], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (_whole, "a whole number"),
    float: (finite, "a number"),
    str: (lambda value: isinstance(value, str), "text"),
}


def plain(value: Any) -> Json:
    """The same as JSON: dataclasses as objects, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        derived = getattr(value, "DERIVED", ())
        named = {_name(field): getattr(value, field.name) for field in fields(value) if not _is_absent(field, value)}
        return {name: plain(one) for name, one in (named | {name: getattr(value, name) for name in derived}).items()}
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (tuple, list)) else value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _object(kind: Any, value: Json, key: str) -> Any:
    _built(value, dict, key)
    hints, values = _hints(kind), {}
    for field in fields(kind):
        name = _name(field)
        if name not in value:
            if field.default is MISSING and field.default_factory is MISSING:
                raise Missing(_joined(key, name))
            continue
        values[field.name] = _field(field, hints[field.name], value[name], _joined(key, name))
    found = kind(**values)
    for rule in found.rules() if hasattr(found, "rules") else ():
        _checked(rule.value, rule.holds, _joined(key, rule.key), rule.expected)
    return found


def _field(field: Field[Any], kind: Any, value: Json, key: str) -> Any:
    expected = field.metadata.get("expected")
    if expected is None:
        return parsed(kind, value, key)
    try:
        return parsed(kind, value, key)
    except (Missing, Unsound):
        raise Unsound(key, value, expected) from None


def _sequence(inner: tuple[Any, ...], value: Json, key: str) -> tuple[Any, ...]:
    """A list of one type, or of as many values as the tuple has types."""
    _built(value, list, key)
    if inner[-1] is ...:
        return tuple(parsed(inner[0], one, _joined(key, str(place))) for place, one in enumerate(value))
    _checked(value, len(value) == len(inner), key, f"a list of {len(inner)}")
    return tuple(
        parsed(kind, one, _joined(key, str(place))) for place, (kind, one) in enumerate(zip(inner, value, strict=True))
    )


def _some(inner: tuple[Any, ...], value: Json) -> Any:
    """The one type beside None; of a dataclass and another type, the dataclass for objects."""
    kinds = [one for one in inner if one is not NoneType]
    (kind,) = kinds if len(kinds) == 1 else (one for one in kinds if is_dataclass(one) == isinstance(value, dict))
    return kind


def _built(value: Json, kind: type, key: str) -> None:
    if not isinstance(value, kind):
        raise Missing(f"{key} as {'an object' if kind is dict else 'a list'}")


def _checked(value: Json, holds: bool, key: str, expected: str) -> Json:
    if not holds:
        raise Unsound(key, value, expected)
    return value


def _is_absent(field: Field[Any], value: Any) -> bool:
    if "absent" not in field.metadata:
        return False
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(getattr(value, field.name) == default)


def _name(field: Field[Any]) -> str:
    return str(field.metadata.get("key", field.name))


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
