"""anomalib-lite data check."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import operating, options
from anomalib_lite.cli.help import Command, Group

Lot: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--lot", rich_help_panel=options.SETTINGS,
        help="Score the images to train on by each other, too: names those that do not belong among them.",
    ),
]  # fmt: skip

app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Check images, masks and groups before a training."""


@app.command(cls=Command)
def check(
    data: options.Data,
    group: options.Group = None,
    session: options.Session = None,
    column: options.Column = None,
    good: options.Good = None,
    defective: options.Defective = None,
    all_good: options.AllGood = False,
    max_false_reject: options.MaxFalseReject = None,
    per: operating.Per = None,
    row: operating.Row = None,
    confidence: options.Confidence = None,
    holdout: operating.Holdout = None,
    crossfit: operating.Crossfit = None,
    lot: Lot = False,
    config: options.ConfigFile = None,
    set_: options.Settings = None,
) -> None:
    """Print what `train` would do with DATA, and what to mend.

    Takes the options of `train` that decide on it. Where a line begins with 'problem:', `train` would refuse, and the
    exit code is the same.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.check import Check
    from anomalib_lite.pipeline.check import check as run

    operating.refuse_row_and_rate(row, max_false_reject)
    rates = {"max_false_reject": max_false_reject, "confidence": confidence, "holdout": holdout}
    asked = Check(
        data=data,
        config=config,
        settings=set_ or [],
        overrides=options.overrides({}, rates, {"crossfit": crossfit, "per": operating.unit(per), "row": row}),
        group=group,
        session=session,
        columns=options.columns(column),
        folders=options.folders(good, defective, all_good),
        lot=lot,
    )
    done = run(asked, plugins=console.plugins(), track=console.track)
    for line in done.lines:
        console.out(line)
    if done.exit_code:
        raise typer.Exit(done.exit_code)
