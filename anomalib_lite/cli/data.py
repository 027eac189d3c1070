"""anomalib-lite data check."""

from __future__ import annotations

import typer

from anomalib_lite.cli import options
from anomalib_lite.cli.help import Command, Group

app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Check images, masks and groups before a training."""


@app.command(cls=Command)
def check(data: options.Data, group: options.Group = None, column: options.Column = None) -> None:
    """Print what is found at DATA, and what to mend.

    Says which images are taken as good and which as defective, and why. Exits with 3 where a line begins with
    'problem:'.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.data import describe, find
    from anomalib_lite.edge.images.opener import Opener

    opener = Opener(console.plugins().readers)
    lines = describe(find(data, group=group, columns=options.columns(column), opener=opener))
    for line in lines:
        typer.echo(line)
    if any(line.startswith("problem") for line in lines):
        raise typer.Exit(3)
