"""anomalib-lite calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import operating, options

if TYPE_CHECKING:
    from anomalib_lite.calibration import Exclusion
    from anomalib_lite.pipeline.calibrate import Recalibration
    from anomalib_lite.pipeline.train import Trained

EXCLUDED, KNOWN = "Left out", "Known defects"

Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Write the new model to this folder. Default: to MODEL.", rich_help_panel=options.OUTPUT
    ),
]
MaxFalseReject: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Largest share of good parts that may be rejected, such as 1%. Default: as in the last calibration.",
        rich_help_panel=options.RATES,
    ),
]
Review: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Largest share of good parts that may be other than OK, the rejected ones among them. "
        "Default: as in the last calibration; with --max-false-reject 5%, or five times that where it is more.",
        rich_help_panel=options.RATES,
    ),
]
Confidence: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Confidence of the bounds, such as 95%. Default: as in the last calibration.",
        rich_help_panel=options.RATES,
    ),
]
Add: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--add",
        help="Count the images that were held out before together with those of DATA. Images that the model was fitted "
        "on are passed over, and counted.",
        rich_help_panel=options.IMAGES,
    ),
]
Exclude: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Leave this image of DATA out, as it is not good. May be repeated. Needs --because.",
        rich_help_panel=EXCLUDED,
    ),
]
Because: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Why the excluded images are not good, or why another row is taken. The model records it.",
        rich_help_panel=EXCLUDED,
    ),
]


Known: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Images of known defects, as `labels teach` writes them to known.csv: image, label, sha256. The model "
        "records them; it, and what is calibrated of it later, is refused where one of them is OK.",
        rich_help_panel=KNOWN,
    ),
]
Accept: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        help="Why known defects may be OK all the same. The model records it.",
        rich_help_panel=KNOWN,
    ),
]
Operator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Who takes the row, or accepts that known defects pass. Default: who is logged in.",
        rich_help_panel=KNOWN,
    ),
]
Images: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA",
        help="Good images that the model has not seen, as a folder or a CSV file. Without it, --row takes another row "
        "of the last calibration, --exclude leaves images of it out, and --known adds known defects.",
    ),
]


def calibrate(
    model: options.Model,
    data: Images = None,
    out: Out = None,
    overwrite: options.Overwrite = False,
    group: options.Group = None,
    session: options.Session = None,
    column: options.Column = None,
    good: options.Good = None,
    defective: options.Defective = None,
    all_good: options.AllGood = False,
    max_false_reject: MaxFalseReject = None,
    per: operating.Per = None,
    row: operating.Row = None,
    review: Review = None,
    confidence: Confidence = None,
    add: Add = False,
    exclude: Exclude = None,
    because: Because = None,
    known: Known = None,
    accept: Accept = None,
    operator: Operator = None,
    threads: options.Threads = 0,
) -> None:
    """Certify new thresholds from images of good parts.

    The model must not have been trained on them. The graph stays as it is, the earlier calibration stays on record.
    Needs no torch.
    """
    from anomalib_lite.pipeline.calibrate import Recalibration
    from anomalib_lite.pipeline.known import Said

    about_row = data is None and row is not None and not exclude
    operating.refuse_row_and_rate(row, max_false_reject)
    asked = Recalibration(
        model=options.named(model), data=data, out=options.folder(out, zipped=True) if out else None,
        per=operating.unit(per), row=row,
        max_false_reject=options.rate(max_false_reject, "--max-false-reject"),
        confidence=options.rate(confidence, "--confidence"), review=options.rate(review, "--review"),
        exclusions=_exclusions(exclude or [], None if about_row else because), known=known,
        said=Said(operator or login(), (because or "") if about_row else "", accept or ""),
        group=group, session=session, columns=options.columns(column),
        folders=options.folders(good, defective, all_good), add=add, overwrite=overwrite, threads=threads,
    )  # fmt: skip
    _run(asked)


def login() -> str:
    """The name of who is logged in."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such account
        return "unknown"


def _run(asked: Recalibration) -> None:
    """Calibrate a model of either kind."""
    from anomalib_lite.cli import console, fuse
    from anomalib_lite.edge.bundle import JointBundle, load_any
    from anomalib_lite.edge.joint import Joint
    from anomalib_lite.pipeline.calibrate import calibrate as run
    from anomalib_lite.pipeline.fuse import recalibrate

    plugins, loaded, written = console.plugins(), load_any(asked.model), asked.out or asked.model
    if isinstance(loaded, JointBundle):
        joint = Joint(loaded, threads=asked.threads, readers=plugins.readers)
        fuse.show(recalibrate(joint, asked, track=console.track), written)
    else:
        _show(run(asked, plugins=plugins, track=console.track), written)


def _show(done: Trained, path: Path) -> None:
    """Print what the thresholds promise, and where the model is."""
    from anomalib_lite.cli import console

    console.notes(done.notes)
    console.calibrated(done)
    console.suspects(done.bundle.manifest)
    console.evidence(done.evidence, done.calibration)
    console.known(done.bundle.manifest)
    console.out(f"model   {path}  ({done.bundle.model_id})")


def _exclusions(files: list[str], because: str | None) -> list[Exclusion]:
    """Images that are left out, each once.

    Raises:
        ConfigError: They come without a reason, or the reason without them.
    """
    from anomalib_lite.calibration import Exclusion
    from anomalib_lite.data.samples import normal
    from anomalib_lite.errors import ConfigError

    if files and not because:
        raise ConfigError("--exclude needs --because TEXT: the reason is recorded in the model.")
    if because and not files:
        raise ConfigError(
            "--because gives the reason of --exclude: name the images with --exclude FILE, or leave it out."
        )
    return [Exclusion(name, because or "") for name in dict.fromkeys(map(normal, files))]
