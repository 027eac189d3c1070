"""anomalib-lite bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

Images: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(metavar="IMAGE", help="Images to inspect. Default: those of the self-check."),
]
Runs: TypeAlias = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Inspections for each number of threads.", rich_help_panel=options.RUNNING),
]
Threads: TypeAlias = Annotated[
    list[int] | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Number of threads. May be repeated. Default: 1, 2, 4 and so on, as far as there are processors.",
        rich_help_panel=options.RUNNING,
    ),
]


def bench(model: options.Model, images: Images = None, runs: Runs = 100, threads: Threads = None) -> None:
    """Measure how fast a model is on this machine.

    Prints JSON: the time from the bytes of a file to its verdict, decoding and the bare graph apart; the start; memory.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.bench import bench as run

    readers = console.plugins().readers
    measured = run(model, images or [], runs=runs, threads=threads or [], readers=readers)
    console.json(measured)
