"""anomalib-lite train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomalib_lite.cli import options


def train(
    detector: Annotated[
        str, typer.Argument(help="Name of a detector: anomalib-lite plugins list.", show_default=False)
    ],
    data: options.Data,
    out: Annotated[Path, typer.Option(help="The model to write, a folder.", show_default=False)],
    config: Annotated[
        Path | None, typer.Option(help="Settings, a YAML file; options given here go before it.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="One setting, over the file: score.sigma=2.", show_default=False
        ),
    ] = None,
    max_false_reject: options.MaxFalseReject = None,
    review: options.Review = None,
    confidence: options.Confidence = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE", help="Share of the good parts kept for calibration; default 0.3.", show_default=False
        ),
    ] = None,
    crossfit: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Small sets: calibrate on every good image through K sibling models. Approximate.",
            show_default=False,
        ),
    ] = None,
    group: options.Group = None,
    column: options.Column = None,
    golden: Annotated[
        list[Path] | None,
        typer.Option(
            help="Golden image to compare with; several times for several: the smallest change counts.",
            show_default=False,
        ),
    ] = None,
    golden_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Compare with the golden images whose name gives the same first capture: 'design(\\d+)'.",
            show_default=False,
        ),
    ] = None,
    simulate: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="DATA holds golden images alone: simulate N inspections of each.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Time budget of all fitting; default: the detector's own number of steps.", show_default=False
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps; default: the detector's own.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random; default 0.", show_default=False)] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or mps; default auto.", show_default=False)
    ] = None,
    devices: Annotated[
        int | None, typer.Option(help="Processes on this machine, one per device; default 1.", show_default=False)
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Machines that train together; default 1.", show_default=False)
    ] = None,
    selfcheck: Annotated[
        str | None,
        typer.Option(
            help="What the model carries for `verify`: images, rendered (where images must not travel) or none.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training; where there is none, start.")
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Learn from good images and certify the thresholds: DATA -> a model."""
    from anomalib_lite import registry
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.train import train as run
    from anomalib_lite.training.partial import is_first_process
    from anomalib_lite.training.request import Request

    overrides = {
        "training.minutes": minutes,
        "training.steps": steps,
        "training.seed": seed,
        "training.device": device,
        "training.devices": devices,
        "training.nodes": nodes,
        "calibration.max_false_reject": options.rate(max_false_reject, "--max-false-reject"),
        "calibration.review": options.rate(review, "--review"),
        "calibration.confidence": options.rate(confidence, "--confidence"),
        "calibration.holdout": options.rate(holdout, "--holdout"),
        "calibration.crossfit": crossfit,
        "calibration.selfcheck": selfcheck,
    }
    request = Request(
        detector=detector,
        data=data,
        out=options.named(out),
        config=config,
        settings=set_ or [],
        overrides={key: value for key, value in overrides.items() if value is not None},
        group=group,
        columns=options.columns(column),
        golden=golden or [],
        golden_pattern=golden_pattern,
        simulate=simulate,
        resume=resume,
        overwrite=overwrite,
        show_progress=True,
    )
    first = is_first_process()
    plugins = console.plugins(detector) if first else registry.load()
    try:
        trained = run(request, plugins=plugins, say=console.say if first else lambda message: None)
    except KeyboardInterrupt:
        if first:
            console.say(
                f"interrupted; nothing is lost: run the same command with --resume to continue {request.out}.partial"
            )
        raise typer.Exit(130) from None
    if trained is None:
        return
    console.calibrated(trained.calibration, trained.errors)
    typer.echo(f"model   {out}  ({trained.bundle.model_id})")
    typer.echo(f"report  {out / 'report.html'}")
