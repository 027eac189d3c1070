"""anomalib-lite plugins check: whether a detector, a reader or a writer keeps the contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import console

if TYPE_CHECKING:
    from anomalib_lite.testing.outcome import Outcome

Name: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of a detector, a reader or a writer. `anomalib-lite plugins list` names those that are installed.",
    ),
]
Files: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE", help="For a reader: files of its type, at least one; of a series all."),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change an option of the detector, such as options.sigma=2. May be repeated.",
    ),
]
Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Optimiser steps of the fit that has to find planted defects. Default: 120."),
]


def check(name: Name, files: Files = None, settings: Settings = None, steps: Steps = None) -> None:
    """Check a detector, reader or writer against every rule.

    Trains a detector briefly on rendered images and exports it; reads files with a reader, whole and damaged. Exits
    with 5 where a rule is broken.
    """
    from anomalib_lite import registry
    from anomalib_lite.errors import ConfigError, MissingExtra

    try:
        from anomalib_lite import testing
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train", "checking a plugin") from error
    found = registry.load()
    wanted = name.strip().replace("-", "_")
    of_detector = wanted in found.detectors or not (found.reader(name) or wanted in found.writers)
    if of_detector and files:
        raise ConfigError(f"{files[0]}: files are to check readers on, and '{name}' is none. Leave them out.")
    if not of_detector and (settings or steps):
        raise ConfigError(f"--set and --steps are for detectors, and '{name}' is none. Leave them out.")
    if of_detector:
        _tell(name, _of_detector(name, settings, steps))
    elif found.reader(name):
        _tell(name, testing.run_reader_checks(name, files or []))
    else:
        _tell(name, [_of_writer(name)])


def _of_writer(name: str) -> Outcome:
    from anomalib_lite.testing import check_writer
    from anomalib_lite.testing.outcome import Outcome

    try:
        check_writer(name)
    except Exception as error:  # noqa: BLE001 - whatever a writer raises is what there is to tell
        return Outcome("check_writer", f"{type(error).__name__}: {error}")
    return Outcome("check_writer")


def _of_detector(detector: str, settings: list[str] | None, steps: int | None) -> Iterator[Outcome]:
    from anomalib_lite import config
    from anomalib_lite.errors import ConfigError
    from anomalib_lite.testing import run_checks

    merged = config.load(None, settings or [])
    options = merged.pop("options", {})
    if merged:
        raise ConfigError(f"--set {next(iter(merged))}: the rules are about the detector; give options.NAME=VALUE.")
    return run_checks(detector, options=options, steps=steps)


def _tell(name: str, told: Iterable[Outcome]) -> None:
    """Print what each check says as it comes.

    Raises:
        PluginError: A rule is broken.
    """
    from anomalib_lite.errors import PluginError

    outcomes = []
    for outcome in told:
        console.out(f"{'ok' if outcome.is_fine else 'FAILED':8}{outcome}")
        outcomes.append(outcome)
    broken = [outcome.check for outcome in outcomes if not outcome.is_fine]
    if broken:
        raise PluginError(f"'{name}' breaks {len(broken)} of {len(outcomes)} rules: {', '.join(broken)}.")
    console.out(f"'{name}' keeps all {len(outcomes)} rules")
