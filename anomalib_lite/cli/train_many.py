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
        show_default=False,
    ),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Write NAME/model for each product, and products.csv, products.json and report.html of all, to this "
        "folder. What lies there of the same plan is continued: remove the folder of a product to train it anew.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Workers: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="Trainings at the same time, which share the cores.", rich_help_panel=options.RUNNING
    ),
]


def train_many(plan: Plan, out: Out, workers: Workers = 1) -> None:
    """Train a model for each product of a plan.

    Wrong rows are all named before anything is trained. A product that fails does not stop the others: its reason is in
    the summary, and the command exits with 3. The same command goes on where it was interrupted.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.engines import Local
    from anomalib_lite.pipeline.train_many import train_many as run
    from anomalib_lite.pipeline.workers import cores
    from anomalib_lite.report.products import HEADINGS

    threads = max(1, cores() // workers) if workers > 1 else 0
    try:
        done = run(
            plan, options.folder(out), engine=Local(workers, threads), threads=threads, plugins=console.plugins(),
            say=console.say, track=console.track,
        )  # fmt: skip
    except KeyboardInterrupt:
        console.say("interrupted; what is trained is kept: run the same command to go on")
        raise typer.Exit(130) from None
    console.table(HEADINGS, [line.cells() for line in done.lines])
    console.out(f"report  {done.out / 'report.html'}")
    if done.failed:
        console.say(f"error: {len(done.failed):,} of {len(done.lines):,} products failed: see the reasons above.")
        raise typer.Exit(3)
