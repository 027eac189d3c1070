"""One plugin: what it says of itself when it is asked, and everything that can be wrong with that."""

from __future__ import annotations

import reprlib
import time
import traceback
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pluggy

from anomalib_lite import hookspecs
from anomalib_lite.errors import PluginError
from anomalib_lite.hookspecs import PROJECT, DetectorInfo, ReaderInfo, WriterInfo
from anomalib_lite.output.capture import captured
from anomalib_lite.registry import vetting
from anomalib_lite.registry.adapter import ADVICE, adapted

SLOW = 1.0  # seconds
HOOKS = (("register_detectors", DetectorInfo), ("register_readers", ReaderInfo), ("register_writers", WriterInfo))


@dataclass(frozen=True)
class Provider:
    """The package that provides something."""

    entry_point: str
    package: str  # "?" where the entry point is of no installed package
    version: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True)
class Problem:
    """A plugin, or a part of one, that cannot be used."""

    provider: Provider
    reason: str
    names: tuple[str, ...] = ()  # detectors and suffixes that it concerns, where they are known
    error: BaseException | None = field(default=None, repr=False, compare=False)  # what the plugin raised

    def __str__(self) -> str:
        package = "" if self.provider.package == "?" else f" ({self.provider})"
        return f"{self.provider.entry_point}{package}: {self.reason}"


@dataclass(frozen=True)
class Note:
    """What is odd about a plugin, and keeps nobody from using it."""

    provider: Provider
    text: str

    def __str__(self) -> str:
        return f"{self.provider.entry_point} ({self.provider}): {self.text}"


@dataclass
class Answer:
    """What one plugin provides, and what happened when it was asked."""

    provider: Provider
    detectors: list[DetectorInfo] = field(default_factory=list)
    readers: list[ReaderInfo] = field(default_factory=list)
    writers: list[WriterInfo] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def ask(point: EntryPoint) -> Answer:
    """Import the module that an entry point names, and call its hooks. What that prints is held back.

    Raises:
        KeyboardInterrupt: The user has waited for long enough. Anything else that a plugin raises is a problem.
    """
    package: Any = point.dist.metadata if point.dist else {}
    answer = Answer(Provider(point.name, package.get("Name", "?"), package.get("Version", "?")))
    started = time.perf_counter()
    with captured() as written:
        try:
            _listen(point, answer)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit, or what a test framework raises to skip
            answer.problems.append(Problem(answer.provider, reason(error, point.value), error=error))
    seconds = time.perf_counter() - started
    if seconds >= SLOW:
        answer.notes.append(Note(answer.provider, f"slow: every command waits {seconds:.1f} s for its import"))
    said = _line(written.getvalue(), 200)
    if said:
        answer.notes.append(Note(answer.provider, f"prints when it is imported: {said}"))
    return answer


def reason(error: BaseException, module: str) -> str:
    """What was raised, on one line, with the last place in the package of `module` where there is one."""
    package = module.partition(":")[0].partition(".")[0]
    places = [
        f" ({Path(frame.f_code.co_filename).name}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    if isinstance(error, SystemExit):
        said = f"it ends the program with sys.exit({error.code!r})"
    else:
        said = f"{type(error).__name__}: {_message(error)}"
    return said + (places[-1] if places else "")


def _message(error: BaseException) -> str:
    try:
        return _line(str(error), 300)
    except Exception:  # noqa: BLE001 - an exception that cannot be shown is a plugin's, too
        return "its message cannot be shown"


def _line(text: str, limit: int) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else f"{joined[:limit]} ..."


def _listen(point: EntryPoint, answer: Answer) -> None:
    """What the hooks return, checked; each part that cannot be used is a problem of its own.

    The plugin gets a manager of its own: in a shared one, a hook that does not fit would be held against the next.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(point.load(), name=point.name)
    manager.check_pending()
    provides = False
    for hook, kind in HOOKS:
        for returned in getattr(manager.hook, hook)():
            for item in returned if isinstance(returned, list) else [returned]:
                provides = True
                _sort(item, hook, kind, answer)
    if not provides:
        raise PluginError(f"it provides nothing: none of {', '.join(hook for hook, _ in HOOKS)} returns anything")


def _sort(item: Any, hook: str, kind: type[DetectorInfo | ReaderInfo | WriterInfo], answer: Answer) -> None:
    """Put a thing that a hook returned where it belongs."""
    if not isinstance(item, kind):
        wrong = f"{hook} returned {reprlib.repr(item)}, expected a list of {kind.__name__}"
        answer.problems.append(Problem(answer.provider, wrong))
        return
    if item.api == 1:
        answer.notes.append(Note(answer.provider, f"{_named(item)} {ADVICE}"))
        item = adapted(item)
    found = vetting.faults(item)
    if found:
        named = (item.name,) if not isinstance(item, ReaderInfo) and isinstance(item.name, str) else ()
        answer.problems.append(Problem(answer.provider, f"{hook}: {'; '.join(found)}", named))
    elif isinstance(item, DetectorInfo):
        answer.detectors.append(item)
    elif isinstance(item, ReaderInfo):
        answer.readers.append(item)
    else:
        answer.writers.append(item)


def _named(item: DetectorInfo | ReaderInfo | WriterInfo) -> str:
    return f"the reader {', '.join(item.suffixes)}" if isinstance(item, ReaderInfo) else f"'{item.name}'"
