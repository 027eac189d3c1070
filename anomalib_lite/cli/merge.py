"""anomalib-lite merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

Results: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULTS",
        help="The folders that `predict --shard I/N --out` wrote, one of each share, in any order.",
        show_default=False,
    ),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Write results.csv, results.jsonl, pictures and parts.csv to this folder. Required.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]


def merge(results: Results, out: Out, overwrite: options.Overwrite = False) -> None:
    """Join the results of all shares of `predict --shard`.

    The rows are those of one run, in its order. A share that is missing, double, unfinished, or of another model, other
    images or other options is refused by its name. Reports with pictures are in the folders of the shares.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.merge import merge as run

    done = run(results, out=options.folder(out), overwrite=overwrite)
    console.say("  ".join(f"{verdict} {count}" for verdict, count in done.counts.items()))
    if done.parts:
        console.say("parts: " + "  ".join(f"{verdict} {done.parts[verdict]}" for verdict in done.counts))
    console.say(f"results {done.out}")
