"""Entry points -> detectors, readers and problems. One broken plugin never stops the host."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from anomalib_lite import hookspecs
from anomalib_lite.config import nearest
from anomalib_lite.errors import PluginError
from anomalib_lite.hookspecs import API_VERSION, PROJECT, DetectorInfo, ReaderInfo

PLUGINS_VARIABLE = "ANOMALIB_LITE_PLUGINS"


@dataclass(frozen=True)
class Provider:
    """The package that provides something."""

    entry_point: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True)
class Problem:
    """A plugin, or a part of one, that cannot be used."""

    provider: Provider
    reason: str
    details: str = field(default="", repr=False)  # the traceback, for --debug


@dataclass(frozen=True)
class Registry:
    """What the installed plugins provide."""

    detectors: Mapping[str, DetectorInfo]
    readers: Mapping[str, ReaderInfo]
    providers: Mapping[str, Provider]  # detector name -> package
    problems: tuple[Problem, ...]

    def detector(self, name: str) -> DetectorInfo:
        """The detector of this name; hyphens and underscores are the same.

        Raises:
            PluginError: No plugin provides it, or the one that would is broken.
        """
        wanted = name.replace("-", "_")
        for problem in self.problems:
            if problem.provider.entry_point == wanted:
                raise PluginError(
                    f"detector '{name}': {problem.provider} is broken: {problem.reason}\n{problem.details}".rstrip()
                )
        if wanted not in self.detectors:
            installed = ", ".join(sorted(self.detectors)) or "none"
            raise PluginError(f"no detector '{name}'. Installed: {installed}.{nearest(wanted, self.detectors)}")
        return self.detectors[wanted]


def load() -> Registry:
    """Import the entry module of every plugin and ask it what it provides. No torch is imported.

    The environment variable ANOMALIB_LITE_PLUGINS, a list of entry-point names separated by commas, restricts which
    are loaded; empty, it loads none.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    detectors: list[tuple[Provider, DetectorInfo]] = []
    readers: list[tuple[Provider, ReaderInfo]] = []
    problems: list[Problem] = []
    for point in _entry_points():
        provider = _provider(point)
        try:
            found = _ask(manager, point)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin does, it is a problem of that plugin
            problems.append(Problem(provider, _reason(error), traceback.format_exc()))
            continue
        detectors += [(provider, info) for info in found if isinstance(info, DetectorInfo)]
        readers += [(provider, info) for info in found if isinstance(info, ReaderInfo)]
    named, clashes = _unique(detectors, lambda info: (info.name,))
    by_suffix, reader_clashes = _unique(readers, lambda info: info.suffixes)
    return Registry(
        detectors={name: info for name, (_, info) in named.items()},
        readers={suffix: info for suffix, (_, info) in by_suffix.items()},
        providers={name: provider for name, (provider, _) in named.items()},
        problems=(*problems, *clashes, *reader_clashes),
    )


def resolve(target: str, what: str) -> Any:
    """Import "package.module:name".

    Raises:
        PluginError: The module does not import or has no such name.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{what}: '{target}' cannot be imported ({error}). Reinstall the package that provides it."
        ) from error


def _entry_points() -> Iterable[EntryPoint]:
    points = sorted(entry_points(group=PROJECT), key=lambda point: point.name)
    chosen = os.environ.get(PLUGINS_VARIABLE)
    if chosen is None:
        return points
    names = {name.strip() for name in chosen.split(",")}
    return [point for point in points if point.name in names]


def _provider(point: EntryPoint) -> Provider:
    package = point.dist
    return Provider(point.name, package.name if package else "?", package.version if package else "?")


def _ask(manager: pluggy.PluginManager, point: EntryPoint) -> list[Any]:
    """Everything that the hooks of one plugin return, checked."""
    module = point.load()
    manager.register(module, name=point.name)
    manager.check_pending()
    answers: list[Any] = []
    for hook, kind in (("register_detectors", DetectorInfo), ("register_readers", ReaderInfo)):
        for answer in manager.subset_hook_caller(hook, _others(manager, module))():
            answers += _checked(answer, hook, kind)
    if not answers:
        raise PluginError("it provides nothing: neither register_detectors nor register_readers returns anything")
    return answers


def _others(manager: pluggy.PluginManager, module: object) -> list[object]:
    return [plugin for plugin in manager.get_plugins() if plugin is not module]


def _checked(answer: Any, hook: str, kind: type) -> list[Any]:
    if not isinstance(answer, list) or not all(isinstance(item, kind) for item in answer):
        raise PluginError(f"{hook} returned {answer!r}, expected a list of {kind.__name__}")
    for item in answer:
        if item.api != API_VERSION:
            raise PluginError(
                f"{hook} speaks plugin API {item.api}, this host speaks {API_VERSION}: install a matching version"
            )
    return answer


def _unique(
    items: Iterable[tuple[Provider, Any]], names: Callable[[Any], tuple[str, ...]]
) -> tuple[dict[str, tuple[Provider, Any]], list[Problem]]:
    """By name; a name that two packages provide belongs to neither."""
    by_name: dict[str, list[tuple[Provider, Any]]] = {}
    for provider, info in items:
        for name in names(info):
            by_name.setdefault(name, []).append((provider, info))
    unique = {name: found[0] for name, found in by_name.items() if len(found) == 1}
    clashes = [
        Problem(
            Provider(name, provider.package, provider.version),
            f"'{name}' is provided by {_listed(found)}: uninstall one",
        )
        for name, found in by_name.items()
        if len(found) > 1
        for provider, _ in found
    ]
    return unique, clashes


def _listed(found: Iterable[tuple[Provider, Any]]) -> str:
    return " and by ".join(str(provider) for provider, _ in found)


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it ends the program when imported (exit {error.code})"
    return f"{type(error).__name__}: {error}"
