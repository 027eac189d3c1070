"""Reads a configuration, a YAML file and `--set key=value`, and says what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from anomalib_lite.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
MAX_CHARACTERS, MAX_VALUES, MAX_DEPTH = 2**20, 10_000, 32  # of a configuration


def load(path: Path | None, settings: Iterable[str] = (), defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Merge defaults, a YAML file and settings, the later over the earlier.

    Args:
        path: A YAML file, or None.
        settings: `key=value` with dots in the key, the value as YAML: `score.sigma=2`.
        defaults: Dotted keys to values: what the detector prefers.

    Returns:
        Nested mappings, not yet validated.

    Raises:
        ConfigError: The file or a setting cannot be read.
    """
    merged: dict[str, Any] = {}
    for key, value in (defaults or {}).items():
        put(merged, key, value)
    if path is not None:
        _merge(merged, _read_yaml(path))
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {setting}: expected key=value, such as --set score.sigma=2")
        try:
            put(merged, key.strip(), _parsed(text))
        except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
            raise ConfigError(f"--set {setting}: the value is not valid YAML: {_in_words(error)}") from error
    return merged


def validate(
    model: type[M], data: Mapping[str, Any], *, where: str, help_command: str, prefix: tuple[str, ...] = ()
) -> M:
    """Check nested mappings against a model.

    Args:
        model: The pydantic model.
        data: What was merged by `load`.
        where: Named at the head of an error: a file, or "options of 'gauss'".
        help_command: What to run to see the legal keys.
        prefix: Of the keys: the section that `data` is.

    Raises:
        ConfigError: A sentence for each fault, with the nearest legal name for an unknown key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {' '.join(faults(model, error, prefix))} See: {help_command}") from error


def faults(model: type[BaseModel], error: ValidationError, prefix: tuple[str, ...] = ()) -> list[str]:
    """What pydantic found, a sentence for each fault: 'score.sigmma is not an option. Did you mean 'sigma'?'."""
    return [_fault(model, item, prefix) for item in error.errors()]


def nearest(name: str, names: Iterable[str]) -> str:
    """' Did you mean 'x'?' where a legal name is near, otherwise the empty string."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def put(target: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a nested value by its dotted key.

    Raises:
        ConfigError: A part of the key is a value, not a section.
    """
    *sections, last = dotted.split(".")
    for depth, section in enumerate(sections, start=1):
        inner = target.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{dotted}: '{'.'.join(sections[:depth])}' is {inner!r}, not a section. Leave that out, or indent its "
                "options below it."
            )
        target = inner
    target[last] = value


def _read_yaml(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise ConfigError(f"{path}: is not a file. Give an existing YAML file.")
    try:
        with path.open(encoding="utf-8") as file:
            data = _parsed(file.read(MAX_CHARACTERS + 1))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Give an existing YAML file.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, a date that is none
        raise ConfigError(f"{path}: is not valid YAML: {_in_words(error)}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found {type(data).__name__}.")
    return data


def _parsed(text: str) -> Any:
    """What YAML says, where it says it once, and in moderation.

    Raises:
        ValueError: It is too long, too deep, too large with all its aliases written out, or gives a key twice.
        yaml.YAMLError: It is no YAML.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS:,} characters")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep") from None
    level, count = [root] if root is not None else [], 0
    for _ in range(MAX_DEPTH):
        level = [inner for node in level for inner in _within(node)]
        count += len(level)
        if count > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values, those of aliases counted each time")
        if not level:
            return yaml.safe_load(text)
    raise ValueError(f"nested more than {MAX_DEPTH} levels deep")


def _within(node: yaml.Node) -> list[yaml.Node]:
    """The values in a node of YAML."""
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = Counter((key.tag, str(key.value)) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
    if twice := next((name for (_, name), times in keys.items() if times > 1), None):
        raise ValueError(f"the key '{twice}' is given twice{node.start_mark}")
    return [one for pair in node.value for one in pair]


def _merge(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    for key, value in source.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = dict(value) if isinstance(value, Mapping) else value


def _fault(model: type[BaseModel], item: Any, prefix: tuple[str, ...]) -> str:
    location = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*prefix, *item["loc"]))
    location = location.removeprefix(".") or "configuration"
    if item["type"] == "extra_forbidden":
        owner = model
        for part in item["loc"][:-1]:
            inner = owner.model_fields[str(part)].annotation if str(part) in owner.model_fields else None
            sections = [
                one for one in (inner, *get_args(inner)) if isinstance(one, type) and issubclass(one, BaseModel)
            ]
            owner = sections[0] if sections else owner
        return f"{location} is not an option.{nearest(str(item['loc'][-1]), owner.model_fields)}"
    message = item["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{location}: {message[0].lower()}{message[1:]} (found {item['input']!r})."


def share(value: Any) -> Any:
    """A share that is written as a percentage, '1%' or '1 %', as a number; anything else as it is."""
    percent = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*%\s*", value) if isinstance(value, str) else None
    return float(percent[1]) / 100 if percent else value


def _in_words(error: Exception) -> str:
    """What is wrong with a YAML text and where, on one line, and how to write it."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{problem}. Write `key: value` lines, and put a value with signs such as : [ # in quotes."
