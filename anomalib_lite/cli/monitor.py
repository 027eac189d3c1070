"""anomalib-lite monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

ALARMED = 1  # exit code

Results: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="RESULTS",
        help="A folder with results.jsonl, as `predict --out` and `watch` write it, or such a file.",
    ),
]
OfModel: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        help="The model that judged them: results are ranked among the good parts that its thresholds rest on, so that "
        "a change from the first part on is seen. Without it, they are compared among themselves.",
        rich_help_panel=options.RUNNING,
    ),
]
PartOfName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Finds the physical part in the name of an image, such as 'part(\\d+)': of several photographs of one "
        "part, the first counts for drift. Needed where the model was calibrated on several of each.",
        rich_help_panel=options.RUNNING,
    ),
]
Decisions: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What people decided on images that were not OK: decisions.jsonl of a review, or a CSV file with the "
        "columns image and decision (good or defect), or such objects as JSON lines. Certifies the rate of rejected "
        "good parts, whenever one looks. Needs --model.",
        rich_help_panel=options.RUNNING,
    ),
]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write a page with a chart to this file.",
        rich_help_panel=options.OUTPUT,
    ),
]


def monitor(
    results: Results,
    model: OfModel = None,
    group: PartOfName = None,
    decisions: Decisions = None,
    out: Out = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Tell whether scores have changed, and since when.

    Follows results in the order of their rows, and exits with 1 where they drift: another light, camera or material.
    Without a change that happens at most once in 20 lines. With --decisions also where more good parts are rejected
    than certified.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.monitor import monitor as run

    done = run(options.named(results), model=model, group=group, decisions=decisions, out=out, overwrite=overwrite)
    console.notes(done.notes)
    console.out(f"parts followed   {done.drift.parts:,}, of {done.rows:,} rows")
    console.out(f"martingale       {done.drift.value:.3g}, at most {done.drift.highest:.3g}; alarm at {done.limit:.0f}")
    if out is not None:
        console.out(f"chart            {out}")
    alarms = [str(done.drift.alarm)] if done.drift.alarm is not None else []
    alarms += [done.live.alarm()] if done.live is not None and done.live.is_broken else []
    for alarm in alarms:
        console.alarm(alarm)
    if done.drift.alarm is None:
        console.out("no drift")
    if alarms:
        raise typer.Exit(ALARMED)
