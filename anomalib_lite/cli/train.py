"""anomalib-lite train."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import options

if TYPE_CHECKING:
    from anomalib_lite.pipeline.train import Trained
    from anomalib_lite.training.request import Request

TRAINING = "Training"
SETTINGS = "Settings"

Out: TypeAlias = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Write the model to this folder.", rich_help_panel=options.OUTPUT)
]
Resume: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue an interrupted training. Where there is none, start.",
        rich_help_panel=options.OUTPUT,
    ),
]
SelfCheck: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="What the model carries for `verify`: 'images' that were held out, 'rendered' ones where images must not "
        "travel, or 'none'. Default: images.",
        rich_help_panel=options.OUTPUT,
    ),
]
MaxFalseReject: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Largest share of good parts that may be rejected. Default: 1%.",
        rich_help_panel=options.RATES,
    ),
]
Review: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Largest share of good parts that may be other than OK, the rejected ones among them. "
        "Default: 5%, or five times --max-false-reject where that is more.",
        rich_help_panel=options.RATES,
    ),
]
Confidence: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="RATE", help="Confidence of the bounds. Default: 95%.", rich_help_panel=options.RATES),
]
Holdout: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the good parts that is kept from fitting, to certify the thresholds. Default: 30%.",
        rich_help_panel=options.RATES,
    ),
]
Crossfit: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="For small sets: train K sibling models and certify on every good image. The bound is approximate.",
        rich_help_panel=options.RATES,
    ),
]
Golden: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Compare with this golden image. May be repeated: the smallest change then counts.",
        rich_help_panel=options.GOLDEN,
    ),
]
GoldenPattern: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Compare each image with the golden images that have the same text in the parentheses of "
        "this pattern, such as 'design(\\d+)'.",
        rich_help_panel=options.GOLDEN,
    ),
]
Simulate: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=2,
        help="Take DATA as golden images alone, and simulate N inspections of each, at least 2. The bound is then "
        "marked as simulated.",
        rich_help_panel=options.GOLDEN,
    ),
]
Minutes: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="MINUTES",
        help="Time budget of all fitting, instead of --steps. Default: none.",
        rich_help_panel=TRAINING,
    ),
]
Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Optimiser steps. Default: the detector's own number.", rich_help_panel=TRAINING),
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Seed of everything random. Default: 0.", rich_help_panel=TRAINING)
]
Device: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE", help="Where to train: auto, cpu, cuda or mps. Default: auto.", rich_help_panel=TRAINING
    ),
]
Devices: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Processes on this machine, one for each device. Default: 1.", rich_help_panel=TRAINING
    ),
]
Nodes: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Machines that train together. Default: 1.", rich_help_panel=TRAINING),
]
ConfigFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Read settings from a YAML file. Options given here win over it.", rich_help_panel=SETTINGS
    ),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as score.sigma=2. It wins over the file. May be repeated. "
        "`anomalib-lite plugins show DETECTOR` explains every setting.",
        rich_help_panel=SETTINGS,
    ),
]


def train(
    detector: options.Detector,
    data: options.Data,
    out: Out,
    overwrite: options.Overwrite = False,
    resume: Resume = False,
    selfcheck: SelfCheck = None,
    group: options.Group = None,
    column: options.Column = None,
    max_false_reject: MaxFalseReject = None,
    review: Review = None,
    confidence: Confidence = None,
    holdout: Holdout = None,
    crossfit: Crossfit = None,
    golden: Golden = None,
    golden_pattern: GoldenPattern = None,
    simulate: Simulate = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = None,
    device: Device = None,
    devices: Devices = None,
    nodes: Nodes = None,
    config: ConfigFile = None,
    set_: Settings = None,
) -> None:
    """Learn from good images and certify the thresholds.

    The thresholds come from good parts that are held out, with a bound on the share of good parts that are rejected.
    No defect is needed. A training that is interrupted with Ctrl-C goes on with --resume.
    """
    from anomalib_lite.training.request import Request

    training = {"minutes": minutes, "steps": steps, "seed": seed, "device": device, "devices": devices, "nodes": nodes}
    rates = {"max_false_reject": max_false_reject, "review": review, "confidence": confidence, "holdout": holdout}
    overrides = _overrides(training, rates, {"crossfit": crossfit, "selfcheck": selfcheck})
    request = Request(
        detector=detector, data=data, out=options.named(out), config=config, settings=set_ or [], overrides=overrides,
        group=group, columns=options.columns(column), golden=golden or [], golden_pattern=golden_pattern,
        simulate=simulate, resume=resume, overwrite=overwrite, show_progress=True,
    )  # fmt: skip
    trained = _run(request)
    if trained is not None:
        _show(trained, out)


def _overrides(
    training: Mapping[str, Any], rates: Mapping[str, str | None], calibration: Mapping[str, Any]
) -> dict[str, Any]:
    """What was asked for of two sections, by dotted keys.

    Raises:
        ConfigError: A rate is none.
    """
    read = {name: options.rate(text, f"--{name.replace('_', '-')}") for name, text in rates.items()}
    asked = {f"training.{name}": value for name, value in training.items()}
    asked |= {f"calibration.{name}": value for name, value in (read | dict(calibration)).items()}
    return {key: value for key, value in asked.items() if value is not None}


def _run(request: Request) -> Trained | None:
    """Train; None in the processes that only help. Ctrl-C exits with 130, and says how to go on."""
    from anomalib_lite import registry
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.train import train as run
    from anomalib_lite.training.partial import is_first_process

    first = is_first_process()
    plugins = console.plugins(request.detector) if first else registry.load()
    try:
        return run(request, plugins=plugins, say=console.say if first else lambda message: None)
    except KeyboardInterrupt:
        if first:
            console.say(
                f"interrupted; nothing is lost: run the same command with --resume to continue {request.out}.partial"
            )
        raise typer.Exit(130) from None


def _show(trained: Trained, out: Path) -> None:
    """Print what the model promises, and where it is."""
    from anomalib_lite.cli import console

    console.calibrated(trained.calibration, trained.errors)
    typer.echo(f"model   {out}  ({trained.bundle.model_id})")
    typer.echo(f"report  {out / 'report.html'}")
