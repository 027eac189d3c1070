"""anomalib-lite plugins check: whether a detector keeps the contract."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli.options import Detector

Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change an option of the detector, such as options.sigma=2. May be repeated.",
        show_default=False,
    ),
]
Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Optimiser steps of the fit that has to find planted defects. Default: 120."),
]


def check(detector: Detector, settings: Settings = None, steps: Steps = None) -> None:
    """Check a detector against every rule of the contract.

    Trains it briefly on rendered images and exports it. Exits with 5 where a rule is broken.
    """
    from anomalib_lite import config
    from anomalib_lite.errors import ConfigError, MissingExtra, PluginError

    try:
        from anomalib_lite.testing import run_checks
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train", "checking a detector") from error

    merged = config.load(None, settings or [])
    options = merged.pop("options", {})
    if merged:
        raise ConfigError(f"--set {next(iter(merged))}: the rules are about the detector; give options.NAME=VALUE.")
    outcomes = []
    for outcome in run_checks(detector, options=options, steps=steps):
        typer.echo(f"{'ok' if outcome.is_fine else 'FAILED':8}{outcome}")
        outcomes.append(outcome)
    broken = [outcome.check for outcome in outcomes if not outcome.is_fine]
    if broken:
        raise PluginError(f"'{detector}' breaks {len(broken)} of {len(outcomes)} rules: {', '.join(broken)}.")
    typer.secho(f"'{detector}' keeps all {len(outcomes)} rules", fg="green")
