"""anomalib-lite evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import console, options, spread
from anomalib_lite.cli.bundle_set import OneProduct, single

if TYPE_CHECKING:
    from anomalib_lite.pipeline.evaluate import Evaluated
    from anomalib_lite.pipeline.evaluate_joint import EvaluatedParts

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
    product: OneProduct = None,
    out: Out = None,
    overwrite: options.Overwrite = False,
    json: Json = False,
    group: options.Group = None,
    column: options.Column = None,
    good: options.Good = None,
    defective: options.Defective = None,
    all_good: options.AllGood = False,
    strict: options.Strict = False,
    provider: options.Provider = "cpu",
    threads: options.Threads = 0,
    workers: options.Workers = 0,
    ray: options.Ray = None,
) -> None:
    """Measure a model on labelled images.

    Prints how well defects are found and marked, how many good parts are rejected, and how many defects escape.
    Never tunes anything.
    """
    from anomalib_lite.edge.joint import Joint
    from anomalib_lite.output.capture import stdout_for_results
    from anomalib_lite.pipeline.evaluate import evaluate as run
    from anomalib_lite.pipeline.evaluate_joint import evaluate as run_joint

    loaded = single(model, product, provider=provider, threads=threads, readers=console.plugins().readers)
    asked: dict[str, Any] = {
        "out": options.folder(out) if out else None,
        "group": group,
        "columns": options.columns(column),
        "folders": options.folders(good, defective, all_good),
        "overwrite": overwrite,
        "workers": workers,
        "track": console.track,
    }
    with spread.judging(loaded, ray, workers) as judging, stdout_for_results():
        asked["judging"] = judging
        done = run_joint(loaded, data, **asked) if isinstance(loaded, Joint) else run(loaded, data, **asked)
    _tell(done, json=json)
    console.exit_unmeasured(len(done.errors), done.measured, strict=strict)


def _tell(done: Evaluated | EvaluatedParts, *, json: bool) -> None:
    """Print the metrics; on standard error, what must be known of them and where the report is."""
    console.notes(done.notes)
    if json:
        console.json(done.metrics)
    elif done.measured:
        (show if "image_auroc" in done.metrics else _show_parts)(done.metrics)
    console.errors(done.errors)
    if done.out:
        console.say(f"report  {done.out / 'report.html'}")


def show(metrics: Mapping[str, Any]) -> None:
    """Print the metrics: all defects, each kind, and the rates at the certified threshold."""
    from anomalib_lite.report import metrics_table

    names = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro")
    rows = [("all", metrics)] + [(kind, values) for kind, values in metrics["per_kind"].items()]
    console.table(
        ("defects", "n", *(name.replace("_", " ") for name in names)),
        [(kind, str(values["n"]), *(console.number(values[name]) for name in names)) for kind, values in rows],
    )
    said = metrics_table.rates(metrics) | {"Could not be measured": str(metrics["errors"]["count"])}
    width = max(map(len, said))
    for what, value in said.items():
        console.out(f"{what[0].lower()}{what[1:]:<{width}} {value}")


def _show_parts(metrics: Mapping[str, Any]) -> None:
    """Print the metrics of a joint model: how well it tells parts, and each member alone; the certified rates."""
    from anomalib_lite.report import metrics_table

    names = list(metrics["alone"])
    rows = [("all", metrics), *metrics["per_kind"].items()]
    console.table(
        ("defects", "n", "part auroc", *(f"{name} alone" for name in names)),
        [
            (kind, str(values["n"]), *map(console.number, (values["part_auroc"], *map(values["alone"].get, names))))
            for kind, values in rows
        ],
    )
    for what, value in metrics_table.of_parts(metrics).items():
        console.out(f"{what:<30} {value}")
