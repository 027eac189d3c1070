"""What can be configured for a detector: every option in words, an example file, and a JSON Schema for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import yaml
from pydantic import BaseModel, create_model
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, to_jsonable_python

from anomalib_lite import config as configuration
from anomalib_lite.config import Config
from anomalib_lite.errors import PluginError
from anomalib_lite.hookspecs import DetectorInfo

DRAFT = "http://json-schema.org/draft-07/schema#"  # what editors understand
RENAMED = {"$defs": "definitions", "dependentRequired": "dependencies", "dependentSchemas": "dependencies"}
MAPPINGS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")  # names -> schemas
LISTS = ("allOf", "anyOf", "oneOf")
SINGLE = ("items", "additionalItems", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
LIMITS = {
    "ge": ">=",
    "gt": ">",
    "le": "<=",
    "lt": "<",
    "min_length": "length >=",
    "max_length": "length <=",
    "multiple_of": "a multiple of",
    "pattern": "matching",
}


class Option(NamedTuple):
    """One option, in words."""

    name: str  # dotted: "score.sigma"
    kind: str  # "float or null", "stretch | letterbox | tile"
    default: str  # as it is written in YAML; "required" where there is none
    limits: str  # ">= 0, <= 64"
    meaning: str


def describe_options(model: type[BaseModel], prefix: str = "", values: Mapping[str, Any] | None = None) -> list[Option]:
    """Every option of a model and of its sections.

    Args:
        model: The pydantic model.
        prefix: Of the names.
        values: What stands for the defaults: a model dumped as JSON.
    """
    described: list[Option] = []
    for name, field in model.model_fields.items():
        dotted = f"{prefix}.{name}" if prefix else name
        known = values is not None or not field.is_required()
        default = values[name] if values is not None else to_jsonable_python(_default(field)) if known else None
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            described += describe_options(field.annotation, dotted, default)
            continue
        written = _written(default) if known else "required"
        limits = ", ".join(limit for one in field.metadata if (limit := _limits(one)))
        meaning = " ".join((field.description or "").split())
        described.append(Option(dotted, _kind(field.annotation), written, limits, meaning))
    return described


def options_of(info: DetectorInfo) -> list[Option]:
    """The detector's own options.

    Raises:
        PluginError: A default cannot be written to a file.
    """
    return describe_options(info.config, "options", _defaults(info))


def options_of_host(info: DetectorInfo) -> list[Option]:
    """The host's options, with the defaults that the detector prefers."""
    values = Config.model_validate(configuration.load(None, defaults={"detector": info.name, **info.defaults}))
    described = describe_options(Config, values=values.model_dump(mode="json"))
    return [one for one in described if one.name not in ("detector", "options")]


def example(info: DetectorInfo) -> str:
    """A configuration file with all of the detector's options, at their defaults, and what it prefers of the host's.

    Raises:
        PluginError: A default cannot be written to a file.
    """
    preferred = {"calibration.max_false_reject": 0.01, **info.defaults}
    found = {"options": _defaults(info)} | to_jsonable_python(configuration.load(None, defaults=preferred))
    sections = {name: found[name] for name in Config.model_fields if name in found}
    comments = {one.name: one for one in (*options_of(info), *options_of_host(info))}
    lines = [f"detector: {info.name}"]
    for section, values in sections.items():
        lines += [f"{section}:"] if values else []
        for name, value in values.items():
            line = f"  {name}: {_written(value, quoted=True)}"
            known = comments.get(f"{section}.{name}")
            lines.append(f"{line}  # {', '.join(filter(None, (known.kind, known.limits)))}" if known else line)
    return "\n".join(lines)


def json_schema(info: DetectorInfo) -> dict[str, Any]:
    """A JSON Schema, draft-07, of a whole configuration file for this detector.

    What the models check beyond single values (two options that contradict each other) is not in it.

    Raises:
        PluginError: An option is of a type that has no JSON Schema.
    """
    model = create_model("Configuration", __base__=Config, options=(info.config, info.config()))
    try:
        found = model.model_json_schema(schema_generator=_Plain)
    except PydanticInvalidForJsonSchema as error:
        raise PluginError(f"detector '{info.name}': its options have no JSON Schema: {error.message}") from error
    del found["required"]  # the detector, which the command line names
    for name in Config.model_fields:
        found["properties"][name].pop("default", None)  # of whole sections: each option has its own
    found["properties"]["detector"] = {"const": info.name, "description": info.summary}
    schema: dict[str, Any] = {"$schema": DRAFT} | _draft_07(found) | {"title": f"Configuration of {info.name}"}
    for key, value in info.defaults.items():
        _property(schema, key)["default"] = to_jsonable_python(value)
    return schema


class _Plain(GenerateJsonSchema):
    """Without titles, which repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _draft_07(node: Any) -> Any:
    """A schema of draft 2020-12, which pydantic writes, in the words of draft-07."""
    if not isinstance(node, dict):
        return node
    converted: dict[str, Any] = {}
    for key, value in node.items():
        name: str = RENAMED.get(key) or key
        if key in MAPPINGS:
            converted[name] = {inner: _draft_07(one) for inner, one in value.items()}
        elif key in LISTS:
            converted[key] = [_draft_07(one) for one in value]
        elif key == "prefixItems":
            converted["items"] = [_draft_07(one) for one in value]
        elif key in SINGLE:
            converted["additionalItems" if key == "items" and "prefixItems" in node else key] = _draft_07(value)
        elif key == "$ref":
            converted[key] = value.replace("#/$defs/", "#/definitions/")
        elif key != "default" or _is_json(value):
            converted[name] = value
    if "$ref" in converted and len(converted) > 1:  # draft-07 reads nothing beside a reference
        converted["allOf"] = [*converted.get("allOf", []), {"$ref": converted.pop("$ref")}]
    return converted


def _is_json(value: Any) -> bool:
    """Whether there is JSON for it: not for an infinite default."""
    try:
        return bool(json.dumps(value, allow_nan=False))
    except ValueError:
        return False


def _property(schema: dict[str, Any], dotted: str) -> dict[str, Any]:
    """The schema of an option of the host."""
    node = schema
    for part in dotted.split("."):
        reference = node.get("$ref", "").removeprefix("#/definitions/")
        node = (schema["definitions"][reference] if reference else node)["properties"][part]
    return node


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _defaults(info: DetectorInfo) -> dict[str, Any]:
    try:
        values: dict[str, Any] = info.config().model_dump(mode="json")
    except PydanticSerializationError as error:
        raise PluginError(f"detector '{info.name}': a default cannot be written to a file ({error}).") from error
    return values


def _written(value: Any, *, quoted: bool = False) -> str:
    """A value as YAML on one line; text without quotes unless it is to be read again."""
    if isinstance(value, str) and not quoted:
        return value
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6).removesuffix("...\n").strip()


def _kind(annotation: Any) -> str:
    """A type in words: 'list of int', 'stretch | letterbox | tile', 'float or null'."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in (None, type(None)):
        return "null"
    if origin is Annotated:
        limits = ", ".join(limit for one in inner[1:] if (limit := _limits(one)))
        return _kind(inner[0]) + (f" ({limits})" if limits else "")
    if origin is Literal:
        return " | ".join(_written(one) for one in inner)
    if origin is tuple and inner[-1:] != (...,):
        return f"list of {len(inner)}: {', '.join(_kind(one) for one in inner)}"
    if origin in (tuple, list, set, frozenset):
        return f"list of {_kind(inner[0])}"
    if origin is dict or annotation is dict:
        return "mapping"
    if inner:
        return " or ".join(_kind(one) for one in inner)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " | ".join(_written(one.value) for one in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"mapping of {', '.join(annotation.model_fields)}"
    name = str(getattr(annotation, "__name__", annotation))
    return {"Path": "path", "str": "text", "Any": "anything"}.get(name, name)


def _limits(constraint: Any) -> str:
    """A constraint of a field, or of a type, in words."""
    inner = getattr(constraint, "metadata", [constraint])  # a Field inside Annotated holds several
    return ", ".join(
        f"{sign} {value}"
        for one in inner
        for name, sign in LIMITS.items()
        if (value := getattr(one, name, None)) is not None
    )
