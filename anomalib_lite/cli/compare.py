"""anomalib-lite compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import console, options, spread
from anomalib_lite.cli.train_many import Threads, Workers

Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Write models, evaluations, comparison.json and report.html to this folder. A comparison that lies there "
        "is continued.",
        rich_help_panel=options.OUTPUT,
    ),
]
Detectors: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAMES", help="The detectors, with commas between them.",
        rich_help_panel=options.SETTINGS,
    ),
]  # fmt: skip
Minutes: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="M", help="Train each detector for so many minutes.", rich_help_panel=options.SETTINGS),
]
Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Train each detector for so many steps.", rich_help_panel=options.SETTINGS),
]
Seed: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Seed of everything random. Default: 0.", rich_help_panel=options.SETTINGS),
]


def compare(
    data: options.Data,
    detectors: Detectors,
    out: Out,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = None,
    group: options.Group = None,
    column: options.Column = None,
    good: options.Good = None,
    defective: options.Defective = None,
    all_good: options.AllGood = False,
    settings: options.Settings = None,
    workers: Workers = 0,
    threads: Threads = 0,
    ray: options.Ray = None,
) -> None:
    """Train and measure several detectors, and say which to take.

    Needs labelled test images. Prints a table, the best first, with how far each is behind and whether the images tell
    it from the best. A detector that cannot be trained is named with the reason, and the others go on.
    """
    from anomalib_lite.pipeline.compare import Comparison
    from anomalib_lite.pipeline.compare import compare as run
    from anomalib_lite.report.comparison import COLUMNS

    asked = Comparison(
        data=data,
        out=options.named(out),
        detectors=[name.strip() for name in detectors.split(",") if name.strip()],
        settings=settings or (),
        overrides=options.overrides({"minutes": minutes, "steps": steps, "seed": seed}, {}, {}),
        group=group,
        columns=options.columns(column),
        folders=options.folders(good, defective, all_good),
    )
    with spread.trainings(ray, workers, threads) as (engine, threads):
        apart = engine if ray or workers > 1 else None
        told: dict[str, Any] = {"plugins": console.plugins(), "say": console.say, "track": console.track}
        done = run(asked, engine=apart, threads=threads, **told)
    console.table(COLUMNS, [line.cells() for line in done.lines])
    for name, reason in done.failed.items():
        console.out(f"failed  {name}: {reason}")
    console.out(done.advice)
    console.out(f"report  {out / 'report.html'}")
