"""anomalib-lite plugins check: whether a detector keeps the contract."""

from __future__ import annotations

from typing import Annotated

import typer


def check(
    name: Annotated[str, typer.Argument(help="A detector.", show_default=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="An option of the detector: options.cells=[4,8].", show_default=False
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Optimiser steps of the fit that has to find planted defects; default 120."),
    ] = None,
) -> None:
    """Check a detector against every rule of the contract. Exit code 5 where one is broken."""
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
    for outcome in run_checks(name, options=options, steps=steps):
        typer.echo(f"{'ok' if outcome.is_fine else 'FAILED':8}{outcome}")
        outcomes.append(outcome)
    broken = [outcome.check for outcome in outcomes if not outcome.is_fine]
    if broken:
        raise PluginError(f"'{name}' breaks {len(broken)} of {len(outcomes)} rules: {', '.join(broken)}.")
    typer.secho(f"'{name}' keeps all {len(outcomes)} rules", fg="green")
