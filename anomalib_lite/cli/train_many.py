"""anomalib-lite train-many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

Plan: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="PLAN",
        help="A CSV file with a row for each product: name, detector, data; and, where wanted, config, group, session, "
        "golden as in `train`, and settings in columns such as training.steps. Paths are relative to its folder.",
    ),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Write NAME/model for each product, and products.csv, products.json and report.html of all, to this "
        "folder. What lies there of the same plan is continued: remove the folder of a product to train it anew.",
        rich_help_panel=options.OUTPUT,
    ),
]
Workers: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Trainings at the same time; 0 is one on this machine, and on a cluster one for each --threads cores.",
        rich_help_panel=options.RUNNING,
    ),
]
Threads: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Threads of one training; 0 shares the cores of this machine among --workers, and is 1 on a cluster.",
        rich_help_panel=options.RUNNING,
    ),
]


def train_many(
    plan: Plan, out: Out, workers: Workers = 0, threads: Threads = 0, ray: options.Ray = None,
) -> None:  # fmt: skip
    """Train a model for each product of a plan.

    Wrong rows are all named before anything is trained. A product that fails does not stop the others: its reason is in
    the summary, and the command exits with 3. The same command goes on where it was interrupted.
    """
    from anomalib_lite.cli import console, spread
    from anomalib_lite.pipeline.train_many import train_many as run
    from anomalib_lite.report.products import HEADINGS

    try:
        with spread.trainings(ray, workers, threads, apart=True) as (engine, threads):
            done = run(
                plan, options.folder(out), engine=engine, threads=threads, plugins=console.plugins(), say=console.say,
                track=console.track,
            )  # fmt: skip
    except KeyboardInterrupt:
        console.say("interrupted; what is trained is kept: run the same command to go on")
        raise typer.Exit(130) from None
    console.table(HEADINGS, [line.cells() for line in done.lines])
    console.out(f"report  {done.out / 'report.html'}")
    if done.failed:
        console.say(f"error: {len(done.failed):,} of {len(done.lines):,} products failed: see the reasons above.")
        raise typer.Exit(3)
