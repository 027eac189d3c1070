"""anomalib-lite predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomalib_lite.cli import options

if TYPE_CHECKING:
    from anomalib_lite.edge.results import Result


def predict(
    model: options.Model,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Images, or folders of images.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.csv, results.jsonl and report.html.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per image.")] = False,
    heatmaps: Annotated[
        bool, typer.Option("--heatmaps", help="Write a picture with the heat map per image to OUT/heatmaps.")
    ] = False,
    reference: Annotated[
        Path | None, typer.Option(help="Golden image, for models that compare.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if any image could not be measured.")] = False,
    fail_on_ng: Annotated[
        bool,
        typer.Option("--fail-on-ng", help="Exit with 1 if any image is NG, with 3 if any could not be measured."),
    ] = False,
    provider: options.Provider = "cpu",
) -> None:
    """Judge images: OK, REVIEW, NG, or ERROR where one could not be measured."""
    from anomalib_lite.cli import console
    from anomalib_lite.edge.decision import Verdict
    from anomalib_lite.edge.model import Model
    from anomalib_lite.edge.results import json_line
    from anomalib_lite.output.capture import stdout_for_results
    from anomalib_lite.pipeline.predict import predict as run

    def line(result: Result) -> str:
        if json:
            return json_line(result)
        score = "-" if result.score is None else f"{result.score:.6g}"
        return f"{result.verdict:<7}{score:>12}  {result.image}" + (f"  ({result.error})" if result.error else "")

    loaded = Model(model, provider=provider, readers=console.plugins().readers)
    with stdout_for_results() as results:
        done = run(
            loaded,
            inputs,
            out=out,
            heatmaps=heatmaps,
            reference=options.golden_image(reference, loaded, "--reference"),
            each=lambda result: typer.echo(line(result), file=results),
            watch=console.track,
        )
    console.say("  ".join(f"{verdict} {count}" for verdict, count in done.counts.items()))
    if out:
        console.say(f"results {out}")
    if done.measured == 0 or ((strict or fail_on_ng) and done.counts[Verdict.ERROR]):
        console.say(f"error: {done.counts[Verdict.ERROR]} images could not be measured: see the reasons above.")
        raise typer.Exit(3)
    if fail_on_ng and done.counts[Verdict.NG]:
        raise typer.Exit(1)
