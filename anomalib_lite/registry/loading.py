"""Entry points -> detectors, readers and problems. One broken plugin never stops the host.

Whatever a plugin does when it is asked what it provides (it raises, exits, prints, returns nonsense) becomes a problem
or a note with its package, version and reason; only asking for it is an error. What nobody can catch is an end of the
process, by os._exit or a crash in native code: ANOMALIB_LITE_PLUGINS, a list of entry-point names separated by commas,
leaves such a plugin out. Empty, or with --no-plugins, it leaves out all.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Self

from anomalib_lite.config import DetectorConfig, nearest, validate
from anomalib_lite.edge.images import readers, series
from anomalib_lite.errors import ConfigError, MissingExtra, PluginError
from anomalib_lite.hookspecs import PROJECT, DetectorInfo, ReaderInfo, WriterInfo, reader_name
from anomalib_lite.registry import vetting
from anomalib_lite.registry.plugin import Note, Problem, Provider, ask, reason

OWN = "anomalib-lite"  # the package that brings the host, and plugins with it
PLUGINS_VARIABLE = "ANOMALIB_LITE_PLUGINS"


@dataclass(frozen=True, kw_only=True)
class Reader(readers.Reader):
    """Opens files of one type. What it needs is imported when the first file is read."""

    suffix: str
    suffixes: tuple[str, ...] = ()  # of all files that it reads, this one among them
    provider: Provider

    @classmethod
    def of(cls, info: ReaderInfo, suffix: str, provider: Provider) -> Self:
        """What a plugin registered, with the defaults of its options.

        The functions raise a PluginError where they cannot be imported.
        """
        what = f"reader of '{suffix}' files ({provider})"

        def later(target: str) -> Callable[..., Any]:
            return lambda *given: resolve(target, what)(*given)

        return cls(
            read=later(info.target),
            options=None if info.config is None else info.config().model_dump(mode="json"),
            gather=None if info.gather is None else _gathering(info.gather, provider),
            sniff=None if info.sniff is None else later(info.sniff),
            guards=info.guards,
            content_types=info.content_types,
            preset=True,
            suffix=suffix,
            suffixes=info.suffixes,
            provider=provider,
        )


@dataclass(frozen=True)
class Registry:
    """What the installed plugins provide."""

    detectors: Mapping[str, DetectorInfo]
    readers: Mapping[str, Reader]  # by suffix
    reader_infos: Mapping[str, ReaderInfo]  # by suffix
    writers: Mapping[str, WriterInfo]
    writer_providers: Mapping[str, Provider]  # writer name -> package
    providers: Mapping[str, Provider]  # detector name -> package
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]
    restriction: str | None  # ANOMALIB_LITE_PLUGINS where it is set

    def detector(self, name: str) -> DetectorInfo:
        """The detector of this name; hyphens and underscores are the same.

        Raises:
            PluginError: No plugin provides it, or the one that would is broken; then raised from what it raised.
        """
        wanted = _normal(name)
        if wanted in self.detectors:
            return self.detectors[wanted]
        broken = self.problems_of(name)
        if broken:
            reasons = {one.reason: f"{one.provider}: {one.reason}" for one in reversed(broken)}  # of a clash, one side
            raise PluginError(f"detector '{name}' cannot be used: {'; '.join(reasons.values())}") from broken[0].error
        installed = ", ".join(sorted(self.detectors)) or "none"
        hint = nearest(wanted, self.detectors)
        if self.restriction is not None:
            hint += f" {PLUGINS_VARIABLE}='{self.restriction}' (or --no-plugins) restricts which plugins are loaded."
        raise PluginError(f"no detector '{name}'. Installed: {installed}.{hint}")

    def writer(self, name: str) -> WriterInfo:
        """The writer of this name; hyphens and underscores are the same.

        Raises:
            PluginError: No plugin provides it.
        """
        found = self.writers.get(_normal(name))
        if found is None:
            broken = "".join(f" {one}." for one in self.problems_of(name))
            there = ", ".join(sorted(self.writers)) or "none"
            raise PluginError(f"no writer '{name}'. Installed: {there}.{broken}{nearest(_normal(name), self.writers)}")
        return found

    def reader(self, name: str) -> ReaderInfo | None:
        """The reader of this name, or of a suffix; None where there is none."""
        wanted, known = _normal(name), self.reader_infos
        return known.get(name.strip()) or next((one for one in known.values() if wanted == reader_name(one)), None)

    def readers_with(self, options: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Reader]:
        """The readers, with options of a configuration: those of each by its name.

        Raises:
            ConfigError: No reader of this name takes options, or one has no meaning.
        """
        given: dict[str, Any] = {}
        for name, values in options.items():
            info = self.reader(name)
            if info is None or info.config is None:
                known = {reader_name(one) for one in self.reader_infos.values() if one.config is not None}
                hint = nearest(_normal(name), known) or f" Known: {', '.join(sorted(known)) or 'none'}."
                raise ConfigError(f"readers.{name}: no reader of this name takes options.{hint}")
            name = reader_name(info)
            where, show = f"options of the reader '{name}'", f"anomalib-lite plugins show {name}"
            prefix = ("readers", name)
            read = validate(info.config, values, where=where, help_command=show, prefix=prefix)
            given |= dict.fromkeys(info.suffixes, read.model_dump(mode="json"))
        return {
            suffix: replace(one, options=given.get(suffix, one.options), preset=suffix not in given)
            for suffix, one in self.readers.items()
        }

    def problems_of(self, name: str) -> list[Problem]:
        """The problems of a detector, or of the entry point of that name."""
        wanted = _normal(name)
        return [one for one in self.problems if wanted in (_normal(one.provider.entry_point), *one.names)]


def load() -> Registry:
    """Import the entry module of every plugin and ask it what it provides. No torch is imported.

    Raises:
        KeyboardInterrupt: The user has waited for long enough.
    """
    points, problems = sorted(_entry_points(), key=lambda point: point.name), list[Problem]()
    restriction = os.environ.get(PLUGINS_VARIABLE)
    if restriction is not None:
        points, problems = _chosen(points, restriction)
    answers = [ask(point) for point in points]
    detectors, clashes = _unique([(info.name, one.provider, info) for one in answers for info in one.detectors])
    known, reader_clashes = _unique(
        _others_first(
            [(suffix, one.provider, info) for one in answers for info in one.readers for suffix in info.suffixes]
        )
    )
    writers, writer_clashes = _unique([(info.name, one.provider, info) for one in answers for info in one.writers])
    problems += [problem for one in answers for problem in one.problems]
    return Registry(
        detectors={name: info for name, (_, info) in detectors.items()},
        readers={suffix: Reader.of(info, suffix, provider) for suffix, (provider, info) in known.items()},
        writers={name: info for name, (_, info) in writers.items()},
        writer_providers={name: provider for name, (provider, _) in writers.items()},
        reader_infos={suffix: info for suffix, (_, info) in known.items()},
        providers={name: provider for name, (provider, _) in detectors.items()},
        problems=(*problems, *clashes, *reader_clashes, *writer_clashes),
        notes=tuple(note for one in answers for note in one.notes),
        restriction=restriction,
    )


@cache
def _gathering(target: str, provider: Provider) -> readers.Gather:
    """Imports `gather` when it is called: one function for all suffixes of a reader, which tells that they are its."""
    what = f"reader ({provider})"
    return lambda paths, options: series.gather_with(resolve(target, what), paths, options)


def described(info: DetectorInfo, options: DetectorConfig) -> DetectorInfo:
    """What a detector is with these options.

    Raises:
        PluginError: `DetectorConfig.describe` raises, or returns what a description cannot be.
    """
    try:
        found: object = options.describe(info)
    except Exception as error:
        raise PluginError(
            f"detector '{info.name}': its options cannot be described: {reason(error, info.target)}"
        ) from error
    if found is info:
        return info  # vetted when it was registered
    if not isinstance(found, DetectorInfo) or (found.name, found.target) != (info.name, info.target):
        raise PluginError(f"detector '{info.name}': describe returned {found!r}, expected its DetectorInfo, replaced.")
    if wrong := vetting.faults(found):
        raise PluginError(f"detector '{info.name}': describe returned what no description can be: {'; '.join(wrong)}.")
    return found


def resolve(target: str, what: str) -> Any:
    """Import "package.module:name".

    Raises:
        PluginError: The module does not import, whatever it raises, or has no such name.
        MissingExtra: It needs what is not installed.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (KeyboardInterrupt, MissingExtra):
        raise
    except BaseException as error:
        raise PluginError(
            f"{what}: '{target}' cannot be imported ({reason(error, target)}). Reinstall the package that provides it."
        ) from error


def _normal(name: str) -> str:
    return name.strip().replace("-", "_")


def _entry_points() -> Iterable[EntryPoint]:
    return entry_points(group=PROJECT)


def _chosen(points: Sequence[EntryPoint], restriction: str) -> tuple[list[EntryPoint], list[Problem]]:
    """The entry points that ANOMALIB_LITE_PLUGINS names, and a problem for each name that is none."""
    names = dict.fromkeys(_normal(name) for name in restriction.split(",") if name.strip())
    installed = [_normal(point.name) for point in points]
    problems = [
        Problem(
            Provider(name, "?", "?"),
            f"{PLUGINS_VARIABLE} names it, but no installed package has a plugin of this name."
            + (nearest(name, installed) or f" Installed: {', '.join(installed) or 'none'}."),
        )
        for name in names
        if name not in installed
    ]
    return [point for point in points if _normal(point.name) in names], problems


def _unique(items: Sequence[tuple[str, Provider, Any]]) -> tuple[dict[str, tuple[Provider, Any]], list[Problem]]:
    """By name; a name that is provided twice belongs to nobody."""
    by_name: dict[str, list[tuple[Provider, Any]]] = {}
    for name, provider, info in items:
        by_name.setdefault(name, []).append((provider, info))
    unique = {name: found[0] for name, found in by_name.items() if len(found) == 1}
    clashes = [
        Problem(provider, f"'{name}' is provided by {_listed(found)}", (name,))
        for name, found in by_name.items()
        if len(found) > 1
        for provider in dict.fromkeys(provider for provider, _ in found)
    ]
    return unique, clashes


def _others_first(items: Sequence[tuple[str, Provider, Any]]) -> list[tuple[str, Provider, Any]]:
    """Without readers of our own package for types that another one reads, too: nobody can uninstall ours alone."""
    taken = {suffix for suffix, provider, _ in items if provider.package != OWN}
    return [one for one in items if one[1].package != OWN or one[0] not in taken]


def _listed(found: Sequence[tuple[Provider, Any]]) -> str:
    packages = list(dict.fromkeys(str(provider) for provider, _ in found))
    return f"{packages[0]} more than once" if len(packages) == 1 else f"{' and by '.join(packages)}: uninstall one"
