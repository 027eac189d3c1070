"""anomalib-lite train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import operating, options

if TYPE_CHECKING:
    from anomalib_lite.pipeline.train import Trained

TRAINING = "Training"

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
Golden: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Compare with this golden image. May be repeated: the smallest change then counts.",
        rich_help_panel=options.GOLDEN,
    ),
]
Carry: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="WHICH",
        help="Which of the golden images that DATA names travel with the model: those of 'training' images, or 'all', "
        "where test rows name further ones.",
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
Known: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Images of known defects, as `labels teach` writes them to known.csv: image, label, sha256. Where one of "
        "them is OK, `export` refuses the model until `calibrate --accept` says why.",
        rich_help_panel=options.IMAGES,
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


def train(
    detector: options.Detector,
    data: options.Data,
    out: Out,
    overwrite: options.Overwrite = False,
    resume: Resume = False,
    selfcheck: SelfCheck = None, known: Known = None,
    group: options.Group = None, session: options.Session = None, column: options.Column = None,
    good: options.Good = None, defective: options.Defective = None,
    all_good: options.AllGood = False,
    max_false_reject: options.MaxFalseReject = None,
    review: options.Review = None,
    per: operating.Per = None,
    row: operating.Row = None,
    confidence: options.Confidence = None,
    holdout: operating.Holdout = None,
    crossfit: operating.Crossfit = None,
    golden: Golden = None,
    golden_pattern: GoldenPattern = None,
    carry: Carry = "training",
    simulate: Simulate = None,
    minutes: Minutes = None, steps: Steps = None, seed: Seed = None,
    device: Device = None, devices: Devices = None, nodes: Nodes = None,
    threads: options.Threads = 0,
    config: options.ConfigFile = None,
    set_: options.Settings = None,
) -> None:  # fmt: skip
    """Learn from good images and certify the thresholds.

    The thresholds come from good parts that are held out, with a bound on the share of good parts that are rejected.
    No defect is needed. A training that is interrupted with Ctrl-C goes on with --resume.
    """
    training = {"minutes": minutes, "steps": steps, "seed": seed, "device": device, "devices": devices, "nodes": nodes}
    rates = {"max_false_reject": max_false_reject, "review": review, "confidence": confidence, "holdout": holdout}
    operating.refuse_row_and_rate(row, max_false_reject)
    others = {"crossfit": crossfit, "selfcheck": selfcheck, "per": operating.unit(per), "row": row}
    overrides = options.overrides(training, rates, others)
    _run(
        detector=detector, data=data, out=options.folder(out, zipped=True), config=config, settings=set_ or [],
        overrides=overrides, group=group, session=session, columns=options.columns(column),
        golden_pattern=golden_pattern, folders=options.folders(good, defective, all_good), golden=golden or [],
        simulate=simulate, known=known, resume=resume,
        carry=options.one_of(carry, ("training", "all"), "--carry"), overwrite=overwrite, threads=threads,
    )  # fmt: skip


def _run(**asked: Any) -> None:
    """Train, and print what came of it, in the first process. Ctrl-C exits with 130, and says how to go on."""
    from anomalib_lite import registry
    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.train import train as run
    from anomalib_lite.training.partial import is_first_process
    from anomalib_lite.training.request import Request

    request, first = Request(**asked, show_progress=True), is_first_process()
    plugins = console.plugins(request.detector) if first else registry.load()
    try:
        trained = run(request, plugins=plugins, say=console.say if first else lambda message: None, track=console.track)
    except KeyboardInterrupt:
        if first:
            console.say(
                f"interrupted; nothing is lost: run the same command with --resume to continue {request.out}.partial"
            )
        raise typer.Exit(130) from None
    if trained is not None:
        _show(trained, request.out)


def _show(trained: Trained, out: Path) -> None:
    """Print what the model promises, and where it is."""
    from anomalib_lite.cli import console

    console.calibrated(trained)
    console.suspects(trained.bundle.manifest)
    console.evidence(trained.evidence, trained.calibration)
    console.known(trained.bundle.manifest)
    console.out(f"model   {out}  ({trained.bundle.model_id})")
    console.out(f"report  {out / 'report.html'}")
