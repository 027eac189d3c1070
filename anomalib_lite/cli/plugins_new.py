"""anomalib-lite plugins new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import console
from anomalib_lite.cli.options import OUTPUT

Name: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of what is new, such as acme-gauss.", show_default=False),
]
Compares: TypeAlias = Annotated[
    bool,
    typer.Option("--reference", help="Write a detector that compares with a golden image.", rich_help_panel=OUTPUT),
]
Looks: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--backbone",
        help="Write a detector on features of a pretrained network: nearest neighbours.",
        rich_help_panel=OUTPUT,
    ),
]
Reads: TypeAlias = Annotated[
    bool,
    typer.Option("--reader", help="Write a reader of another file type in its place.", rich_help_panel=OUTPUT),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Write the package into this folder. Default: the one at hand.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def new(
    name: Name, reference: Compares = False, backbone: Looks = False, reader: Reads = False, out: Out = Path()
) -> None:
    """Write a package with a detector, or a reader, that works.

    With it come tests, a README, a licence, and a workflow that publishes it.
    """
    from shlex import quote

    from anomalib_lite.errors import ConfigError
    from anomalib_lite.registry import scaffold

    if reference + backbone + reader > 1:
        raise ConfigError("--reference, --backbone and --reader are packages of their own: give one of them.")
    kind: scaffold.Kind = "reference" if reference else "backbone" if backbone else "reader" if reader else "image"
    folder = scaffold.create(name, out, kind)
    detector = folder.name.replace("-", "_")
    console.out(f"written  {folder}")
    console.out("next")
    for command in (
        f"cd {quote(str(folder))}",
        "python -m pip install -e '.[test]'",
        "python -m pytest",
        f"anomalib-lite plugins show {detector}",
    ):
        console.out(f"  {command}")
