"""anomalib-lite plugins list | show."""

from __future__ import annotations

from typing import Annotated

import typer

from anomalib_lite.cli import plugins_new

app = typer.Typer(help="Detectors that are installed.", no_args_is_help=True, rich_markup_mode=None)
app.command("new")(plugins_new.new)


@app.command("list")
def list_plugins() -> None:
    """List detectors, and plugins that cannot be used with the reason."""
    from anomalib_lite import registry
    from anomalib_lite.cli import console

    found = registry.load()
    console.table(
        ("detector", "inputs", "package", "summary"),
        [
            (name, ", ".join(info.inputs), str(found.providers[name]), info.summary)
            for name, info in sorted(found.detectors.items())
        ],
    )
    for problem in found.problems:
        typer.echo(f"problem  {problem.provider.entry_point} ({problem.provider}): {problem.reason}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="A detector.", show_default=False)]) -> None:
    """Show a detector: what it does, and every option with type, default, limits and meaning."""
    from anomalib_lite import registry
    from anomalib_lite.cli import console
    from anomalib_lite.config import Config, describe_options

    found = registry.load()
    info = found.detector(name)
    typer.echo(f"{info.name}: {info.summary}")
    typer.echo(f"package  {found.providers[info.name]}")
    typer.echo(f"inputs   {', '.join(info.inputs)}")
    if info.paper:
        typer.echo(f"paper    {info.paper}")
    for key, value in info.defaults.items():
        typer.echo(f"prefers  {key} = {value}")
    typer.echo(f"\noptions of {info.name}")
    console.options(describe_options(info.config, "options"))
    typer.echo("\noptions of the host")
    console.options(describe_options(Config))
    typer.echo("")
    typer.echo(f"example  anomalib-lite train {info.name} DATA --out MODEL --set options.NAME=VALUE")
