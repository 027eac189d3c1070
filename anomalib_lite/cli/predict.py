"""anomalib-lite predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

if TYPE_CHECKING:
    from anomalib_lite.edge.results import Result

EXIT_CODE = "Exit code"

Inputs: TypeAlias = Annotated[
    list[Path], typer.Argument(metavar="INPUT", help="Images, or folders of images.", show_default=False)
]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Write results.csv, results.jsonl and report.html to this folder.",
        rich_help_panel=options.OUTPUT,
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object for each image.", rich_help_panel=options.OUTPUT)
]
Heatmaps: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--heatmaps",
        help="Write each image with its heat map to OUT/heatmaps. Needs --out.",
        rich_help_panel=options.OUTPUT,
    ),
]
Reference: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Compare with this golden image. Default: those that the model carries.",
        rich_help_panel=options.GOLDEN,
    ),
]
Strict: TypeAlias = Annotated[
    bool,
    typer.Option("--strict", help="Exit with 3 if any image could not be measured.", rich_help_panel=EXIT_CODE),
]
FailOnNG: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fail-on-ng",
        help="Exit with 1 if any image is NG, and with 3 if any could not be measured.",
        rich_help_panel=EXIT_CODE,
    ),
]


def predict(
    model: options.Model,
    inputs: Inputs,
    out: Out = None,
    json: Json = False,
    heatmaps: Heatmaps = False,
    reference: Reference = None,
    strict: Strict = False,
    fail_on_ng: FailOnNG = False,
    provider: options.Provider = "cpu",
) -> None:
    """Judge images as OK, REVIEW, NG or ERROR.

    REVIEW lies between the two thresholds. ERROR is what could not be measured; it is never OK.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.edge.decision import Verdict
    from anomalib_lite.edge.model import Model
    from anomalib_lite.output.capture import stdout_for_results
    from anomalib_lite.pipeline.predict import predict as run

    loaded = Model(model, provider=provider, readers=console.plugins().readers)
    with stdout_for_results() as results:
        done = run(
            loaded,
            inputs,
            out=out,
            heatmaps=heatmaps,
            reference=options.golden_image(reference, loaded, "--reference"),
            each=lambda result: typer.echo(_line(result, json=json), file=results),
            track=console.track,
        )
    console.say("  ".join(f"{verdict} {count}" for verdict, count in done.counts.items()))
    if out:
        console.say(f"results {out}")
    if done.measured == 0 or ((strict or fail_on_ng) and done.counts[Verdict.ERROR]):
        console.say(f"error: {done.counts[Verdict.ERROR]} images could not be measured: see the reasons above.")
        raise typer.Exit(3)
    if fail_on_ng and done.counts[Verdict.NG]:
        raise typer.Exit(1)


def _line(result: Result, *, json: bool) -> str:
    """What is printed of one image."""
    from anomalib_lite.edge.results import json_line

    if json:
        return json_line(result)
    score = "-" if result.score is None else f"{result.score:.6g}"
    return f"{result.verdict:<7}{score:>12}  {result.image}" + (f"  ({result.error})" if result.error else "")
