"""anomalib-lite plugins new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="Of the detector, such as acme_gauss.", show_default=False)],
    reference: Annotated[
        bool, typer.Option("--reference", help="A detector that compares with a golden image.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder to write the package into.")] = Path(),
) -> None:
    """Write a package with a detector that works: code, tests, README, licence, and a workflow that publishes it."""
    from shlex import quote

    from anomalib_lite.registry import scaffold

    folder = scaffold.create(name, out, reference=reference)
    detector = folder.name.replace("-", "_")
    typer.echo(f"written  {folder}")
    typer.echo("next")
    for command in (
        f"cd {quote(str(folder))}",
        "python -m pip install -e '.[test]'",
        "python -m pytest",
        f"anomalib-lite plugins show {detector}",
    ):
        typer.echo(f"  {command}")
