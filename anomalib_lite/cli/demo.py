"""anomalib-lite demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomalib_lite.cli import console

SIZE = 128


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the model and the evaluation.")] = Path("demo"),
    detector: Annotated[str, typer.Option(help="Detector to train.")] = "inpainting",
    minutes: Annotated[
        float | None, typer.Option(help="Time budget of the training; default 2.", show_default=False)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps instead of a time budget.", show_default=False)
    ] = None,
) -> None:
    """Train, certify and evaluate on rendered parts: offline, in a few minutes."""
    from anomalib_lite.cli import evaluate
    from anomalib_lite.demo import mean_image_auroc, sample_parts
    from anomalib_lite.edge.decision import Verdict
    from anomalib_lite.edge.model import Model
    from anomalib_lite.pipeline.evaluate import evaluate as run_evaluation
    from anomalib_lite.pipeline.train import train as run_training
    from anomalib_lite.training.plan import Request

    parts = sample_parts(out, console.say)
    budget = {"training.steps": steps} if steps else {"training.minutes": minutes or 2.0}
    small = {"image.height": SIZE, "image.width": SIZE}  # what two minutes on a laptop can train
    options = {"options.cells": [8, 16, 32], "options.window": 7} if detector == "inpainting" else {}
    trained = run_training(
        Request(
            detector=detector,
            data=parts,
            out=out / "model",
            overrides=budget | small | options,
            group=r"part(\d+)",
            overwrite=True,
            show_progress=True,
        ),
        plugins=console.plugins(detector),
        say=console.say,
    )
    if trained is None:
        return
    done = run_evaluation(Model(out / "model"), parts, out=out / "evaluation", group=r"part(\d+)", watch=console.track)
    typer.echo("")
    console.calibrated(trained.calibration, trained.errors)
    typer.echo("")
    console.table(
        ("images", *Verdict),
        [(label, *(str(counts[verdict]) for verdict in Verdict)) for label, counts in done.verdicts.items()],
    )
    evaluate.show(done.metrics)
    auroc = done.metrics["image_auroc"]
    typer.echo(f"image AUROC {auroc:.3f}; the difference from the mean good image: {mean_image_auroc(parts):.3f}")
    typer.echo(f"model   {out / 'model'}")
    typer.echo(f"report  {out / 'evaluation' / 'report.html'}")
