"""anomalib-lite monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

DRIFT = 1  # exit code

Results: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="RESULTS",
        help="A folder with results.jsonl, as `predict --out` and `watch` write it, or such a file.",
        show_default=False,
    ),
]
OfModel: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="The model that judged them: results are ranked among the good parts that its thresholds rest on, so that "
        "a change from the first part on is seen. Without it, they are compared among themselves.",
        show_default=False,
        rich_help_panel=options.RUNNING,
    ),
]
PartOfName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="REGEX",
        help="Finds the physical part in the name of an image, such as 'part(\\d+)': of several photographs of one "
        "part, the first counts for drift. Needed where the model was calibrated on several of each.",
        show_default=False,
        rich_help_panel=options.RUNNING,
    ),
]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write a page with a chart to this file.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]


def monitor(
    results: Results,
    model: OfModel = None,
    group: PartOfName = None,
    out: Out = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Tell whether scores have changed, and since when.

    Follows results in the order of their rows, and exits with 1 where they drift: another light, camera or material.
    Without a change that happens at most once in 20 lines.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.monitor import monitor as run

    done = run(options.named(results), model=model, group=group, out=out, overwrite=overwrite)
    console.notes(done.notes)
    console.out(f"parts followed   {done.drift.parts:,}, of {done.rows:,} rows")
    console.out(f"martingale       {done.drift.value:.3g}, at most {done.drift.highest:.3g}; alarm at {done.limit:.0f}")
    if out is not None:
        console.out(f"chart            {out}")
    if done.drift.alarm is not None:
        console.alarm(str(done.drift.alarm))
        raise typer.Exit(DRIFT)
    console.out("no drift")
