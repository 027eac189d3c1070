"""anomalib-lite bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomalib_lite.cli import options


def bench(
    model: options.Model,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGE...]", help="Images; default: those of the self-check.", show_default=False),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Inspections for each number of threads.")] = 100,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Number of threads; may be repeated. Default: 1, 2, 4, ...", show_default=False),
    ] = None,
) -> None:
    """Measure this machine: file bytes to verdict, decoding and bare graph apart, start, memory; as JSON."""
    import json

    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.bench import bench as run

    readers = console.plugins().readers
    measured = run(model, images or [], runs=runs, threads=threads or [], readers=readers)
    typer.echo(json.dumps(measured, indent=1, allow_nan=False))
