"""anomalib-lite rescore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Write the new model to this folder. Default: to MODEL.", rich_help_panel=options.OUTPUT
    ),
]
Score: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="What changes: score.reduction (max or top), score.top_share, score.sigma, score.least. May be repeated.",
        rich_help_panel=options.SETTINGS,
    ),
]


def rescore(
    model: options.Model,
    data: options.Data,
    settings: Score = None,
    out: Out = None,
    overwrite: options.Overwrite = False,
    group: options.Group = None,
    session: options.Session = None,
    column: options.Column = None,
    good: options.Good = None,
    defective: options.Defective = None,
    all_good: options.AllGood = False,
    threads: options.Threads = 0,
) -> None:
    """Change how the anomaly map becomes the score, without a fit.

    The graph is exported anew from the weights that the model keeps, and calibrated on those good images of DATA that
    it was not fitted on. The earlier calibration stays on record. Choose by defects of one data set, and report on
    another.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.rescore import Rescoring
    from anomalib_lite.pipeline.rescore import rescore as run

    asked = Rescoring(
        model=options.named(model),
        data=data,
        settings=settings or (),
        out=options.folder(out, zipped=True) if out else None,
        group=group,
        session=session,
        columns=options.columns(column),
        folders=options.folders(good, defective, all_good),
        overwrite=overwrite,
        threads=threads,
    )
    done = run(asked, plugins=console.plugins(), track=console.track)
    console.notes(done.notes)
    console.calibrated(done)
    console.evidence(done.evidence, done.calibration)
    console.out(f"model   {out or model}  ({done.bundle.model_id})")
