"""anomalib-lite evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import console, options

Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Write metrics.json, results.csv, results.jsonl and report.html to this folder.",
        rich_help_panel=options.OUTPUT,
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the metrics as JSON.", rich_help_panel=options.OUTPUT)
]


def evaluate(
    model: options.Model,
    data: options.Data,
    out: Out = None,
    json: Json = False,
    group: options.Group = None,
    column: options.Column = None,
    good: options.Good = None,
    defective: options.Defective = None,
    all_good: options.AllGood = False,
    provider: options.Provider = "cpu",
) -> None:
    """Measure a model on labelled images.

    Prints how well defects are found and marked, how many good parts are rejected, and how many defects escape.
    Never tunes anything.
    """
    from json import dumps

    from anomalib_lite.edge.model import Model
    from anomalib_lite.output.capture import stdout_for_results
    from anomalib_lite.pipeline.evaluate import evaluate as run

    loaded = Model(model, provider=provider, readers=console.plugins().readers)
    with stdout_for_results():
        done = run(
            loaded,
            data,
            out=out,
            group=group,
            columns=options.columns(column),
            folders=options.folders(good, defective, all_good),
            track=console.track,
        )
    for note in done.notes:
        console.say(note)
    if json:
        typer.echo(dumps(done.metrics, indent=1, allow_nan=False))
    else:
        show(done.metrics)
    if out:
        console.say(f"report  {out / 'report.html'}")


def show(metrics: Mapping[str, Any]) -> None:
    """Print the metrics: all defects, each kind, and the rates at the certified threshold."""
    from anomalib_lite.report.metrics_table import rate

    names = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro")
    rows = [("all", metrics)] + [(kind, values) for kind, values in metrics["per_kind"].items()]
    console.table(
        ("defects", "n", *(name.replace("_", " ") for name in names)),
        [(kind, str(values["n"]), *(console.number(values[name]) for name in names)) for kind, values in rows],
    )
    for name in ("false_reject_rate", "escape_rate", "escape_rate_after_review"):
        typer.echo(f"{name.replace('_', ' '):<26}{rate(metrics[name])}")
    typer.echo(f"{'could not be measured':<26}{metrics['errors']['count']}")
