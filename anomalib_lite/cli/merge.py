"""anomalib-lite merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

Results: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="RESULTS",
        help="The folders that `predict --shard I/N --out` wrote, one of each share, in any order; or the address that "
        "`predict --out s3://bucket/results` wrote to.",
    ),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Write results.csv, results.jsonl, pictures and parts.csv to this folder. Required.",
        rich_help_panel=options.OUTPUT,
    ),
]


Judge: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        help="The model that judged the shares: writes report.html, too. Its pictures, of the worst images and of a "
        "sample of others, are judged again, where the images are here and unchanged.",
        rich_help_panel=options.OUTPUT,
    ),
]


def merge(results: Results, out: Out, model: Judge = None, overwrite: options.Overwrite = False) -> None:
    """Join the results of all shares of `predict --shard`.

    Or those that `predict` wrote to an address. The rows are those of one run, in its order. A share that is missing,
    double, unfinished, or of another model, other images or other options is refused by its name. Reports with pictures
    are in the folders of the shares; with --model there is one of all.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.edge.model import Model
    from anomalib_lite.edge.modelset import load
    from anomalib_lite.errors import ConfigError
    from anomalib_lite.pipeline.keeping import folders
    from anomalib_lite.pipeline.merge import merge as run

    judge = None if model is None else load(model, readers=console.plugins().readers)
    if judge is not None and not isinstance(judge, Model):
        raise ConfigError(
            f"--model {model} is a set, or a joint model, and the report on all shares is about single models: leave "
            "--model out. The rows are joined without it, and each share has a report."
        )
    with folders(results) as shares:
        done = run(shares, out=options.folder(out), overwrite=overwrite, model=judge)
    console.say("  ".join(f"{verdict} {count}" for verdict, count in done.counts.items()))
    if done.parts:
        console.say("parts: " + "  ".join(f"{verdict} {done.parts[verdict]}" for verdict in done.counts))
    console.say(f"results {done.out}")
