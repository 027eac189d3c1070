"""The plugin API: plugins/README.md says what it is, and nothing of a version disappears or changes."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import anomalib_lite
from anomalib_lite import hookspecs
from anomalib_lite.hookspecs import API_VERSION, PROJECT, DetectorInfo, ReaderInfo
from anomalib_lite.testing import CHECKS, PUBLIC_MODULES

ROOT = Path(__file__).parents[1]
README = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
RECORD = Path(__file__).with_name(f"plugin_api_{API_VERSION}.txt")


def table(first: str, text: str) -> list[list[str]]:
    """The rows, split into cells, of the first table of a text whose first column has this title."""
    lines = text[text.index(f"| {first} |") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def public_modules() -> Iterator[ModuleType]:
    for name in PUBLIC_MODULES:
        yield import_module(f"anomalib_lite.{name}")


def public_names(module: ModuleType) -> list[str]:
    """All but the single checks, which the documentation does not repeat."""
    return [name for name in module.__all__ if name not in CHECKS]


def test_every_hook_is_documented_with_its_arguments() -> None:
    hooks = {name: one for name, one in vars(hookspecs).items() if hasattr(one, f"{PROJECT}_spec")}
    assert hooks
    documented = {name.strip("`"): rest for name, *rest in table("hook", README)}
    assert set(documented) == set(hooks)
    for name, hook in hooks.items():
        arguments, returns, meaning = documented[name]
        assert arguments == (", ".join(f"`{one}`" for one in inspect.signature(hook).parameters) or "none")
        assert returns == f"`{inspect.get_annotations(hook)['return']}`"
        assert meaning == inspect.getdoc(hook)


@pytest.mark.parametrize("info", [DetectorInfo, ReaderInfo], ids=lambda info: info.__name__)
def test_every_field_is_documented_with_its_default(info: type) -> None:
    documented = {
        name.strip("`"): default.strip("`")
        for name, default, _ in table("field", README.split(f"`{info.__name__}`:")[1])
    }
    assert documented == {field.name: _default(field) for field in dataclasses.fields(info)}


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "" if field.default is dataclasses.MISSING else repr(field.default)


def test_every_public_name_is_documented() -> None:
    documented = {module.strip("`"): re.findall(r"`(\w+)`", names) for module, names in table("module", README)}
    expected = {module.__name__: public_names(module) for module in (anomalib_lite, *public_modules())}
    assert documented == expected


@pytest.mark.parametrize("module", list(public_modules()), ids=lambda module: module.__name__)
def test_a_public_module_offers_what_it_names(module: ModuleType) -> None:
    assert module.__all__
    assert all(hasattr(module, name) for name in module.__all__)


def test_a_plugin_that_does_not_say_is_of_the_first_version() -> None:
    fields = [field for info in (DetectorInfo, ReaderInfo) for field in dataclasses.fields(info) if field.name == "api"]
    assert [field.default for field in fields] == [1, 1]  # not API_VERSION, with which everything would agree


def test_the_changelog_tells_of_every_version() -> None:
    told = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Plugin API")[2]
    assert all(f"Version {number}:" in told for number in range(1, API_VERSION + 1))


def test_the_public_names_and_their_arguments_are_those_of_this_version() -> None:
    recorded, there = RECORD.read_text(encoding="utf-8").splitlines(), list(surface())
    gone, new = [[one for one in a if one not in b] for a, b in ((recorded, there), (there, recorded))]
    assert recorded == there, (
        f"the plugin API is not what {RECORD.name} says. What plugins of API {API_VERSION} rely on has to stay, and "
        "nothing may become required: otherwise raise API_VERSION and begin a new record. Tell it in CHANGELOG.md.\n"
        + "\n".join([*(f"- {line}" for line in gone), *(f"+ {line}" for line in new)])
    )


def surface() -> Iterator[str]:
    """A line for each public name, and for each method of a public class."""
    for module in (anomalib_lite, *public_modules()):
        for name in public_names(module):
            value, place = getattr(module, name), f"{module.__name__}.{name}"
            if module is anomalib_lite or not callable(value) or not value.__module__.startswith(PROJECT):
                yield place
            elif inspect.isclass(value):
                yield from _class(place, value)
            else:
                yield f"{place}({_arguments(value)})"


def _class(place: str, owner: type) -> Iterator[str]:
    """How it is made, and its methods; a model's or a protocol's own constructor is nobody's business."""
    if issubclass(owner, BaseModel):
        yield place
        yield from (f"{place}.{option}" for option in owner.model_fields)
    elif dataclasses.is_dataclass(owner) or hasattr(owner, "_fields"):
        yield f"{place}({_arguments(owner)})"
    else:
        yield f"{place}({_arguments(vars(owner)['__init__'])})" if _is_own(owner, "__init__") else place
        yield from (f"{place}.{name}" for name in inspect.get_annotations(owner))
        yield from (
            f"{place}.{name}({_arguments(vars(owner)[name])})" for name in vars(owner) if _is_own(owner, name, "_")
        )


def _is_own(owner: type, name: str, hidden: str = "\0") -> bool:
    method = vars(owner).get(name)
    return inspect.isfunction(method) and method.__module__ == owner.__module__ and not name.startswith(hidden)


def _arguments(called: Any) -> str:
    """`loss, *, steps, schedule=`: what is optional ends in `=`."""
    words = []
    for one in inspect.signature(called).parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(one.name + ("" if one.default is one.empty else "="))
    return ", ".join(word for word in words if word != "self")
