"""anomalib-lite data check."""

from __future__ import annotations

import typer

from anomalib_lite.cli import options

app = typer.Typer(help="Images, masks and groups.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Images, masks and groups."""


@app.command()
def check(path: options.Data, group: options.Group = None, column: options.Column = None) -> None:
    """Print what is found at PATH, why, and what to mend. Exits with 3 where a line begins with 'problem:'."""
    from anomalib_lite.cli import console
    from anomalib_lite.data import describe, find
    from anomalib_lite.edge.images.opener import Opener

    opener = Opener(console.plugins().readers)
    lines = describe(find(path, group=group, columns=options.columns(column), opener=opener))
    for line in lines:
        typer.echo(line)
    if any(line.startswith("problem") for line in lines):
        raise typer.Exit(3)
