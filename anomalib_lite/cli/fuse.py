"""anomalib-lite fuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.cli.bundle_set import named_model

if TYPE_CHECKING:
    from anomalib_lite.data import Folders, Images
    from anomalib_lite.pipeline.fuse import Fused

DECIDING = "How they decide"

Models: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help="At least two models, as MODEL or VIEW=MODEL, such as top=model_top: the view is what it sees of a part, "
        "a camera or a sense. Several models may judge one. Default: its file name; models that were trained on the "
        "same photographs judge all.",
    ),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER", help="Write the joint model to this folder, or to a file where the name ends in .zip.",
        rich_help_panel=options.OUTPUT,
    ),
]  # fmt: skip
Data: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DATA",
        help="Good photographs of new parts in all views, for units and thresholds: a folder, or a CSV file with "
        "columns 'image', 'group' and 'view'. Default: the parts that all models held out when they were trained.",
        rich_help_panel=options.IMAGES,
    ),
]
View: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Finds the view in the path of an image, such as '_(top|side)'. The model keeps it. Default: where the "
        "name of a view stands by itself, as in top/part7.png or part7_top.png.",
        rich_help_panel=options.IMAGES,
    ),
]
Combine: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="How what they say becomes one number. 'maximum': the model that is surest decides. 'mean': what several "
        "see a little adds up. 'fisher': the sum of how surprising each score is among those of good parts.",
        rich_help_panel=DECIDING,
    ),
]
Weights: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS",
        help="What each model counts, in their order, such as 2,1. Default: all count alike.",
        rich_help_panel=DECIDING,
    ),
]
Missing: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="A part without a photograph of some view is ERROR ('error'), or judged without it, and its result says "
        "so ('judged').",
        rich_help_panel=DECIDING,
    ),
]


def fuse(
    models: Models,
    out: Out,
    data: Data = None,
    view: View = None,
    group: options.Group = None,
    column: options.Column = None,
    good: options.Good = None,
    defective: options.Defective = None,
    all_good: options.AllGood = False,
    combine: Combine = "maximum",
    weights: Weights = None,
    missing: Missing = "error",
    max_false_reject: options.MaxFalseReject = None,
    confidence: options.Confidence = None,
    review: options.Review = None,
    overwrite: options.Overwrite = False,
    threads: options.Threads = 0,
) -> None:
    """Join models of several views into one verdict on a part.

    Cameras, senses, detectors: each model judges the photographs of its view, its score counts in a unit of its own
    good parts, and one threshold on what they say together is certified. The models are not trained again.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.edge.manifest import COMBINED, LACKING
    from anomalib_lite.pipeline.fuse import Fusion
    from anomalib_lite.pipeline.fuse import fuse as run

    rates = {
        "max_false_reject": options.rate(max_false_reject, "--max-false-reject"),
        "confidence": options.rate(confidence, "--confidence"),
        "review": options.rate(review, "--review"),
    }
    asked = Fusion(
        models=[named_model(word) for word in models], out=options.folder(out, zipped=True), view=view,
        images=_images(data, group, column, options.folders(good, defective, all_good)),
        combined=options.one_of(combine, COMBINED, "--combine"), weights=_weights(weights),
        lacking=options.one_of(missing, LACKING, "--missing"), overwrite=overwrite, threads=threads,
        **{name: value for name, value in rates.items() if value is not None},
    )  # fmt: skip
    show(run(asked, plugins=console.plugins(), track=console.track), out)


def show(done: Fused, path: Path) -> None:
    """Print what the thresholds promise, and where the model is."""
    from anomalib_lite.cli import console

    console.notes(done.notes)
    console.promised(done.calibration)
    console.errors(done.errors)
    console.menu(done.calibration, None)
    console.out(f"model   {path}  ({done.bundle.model_id})")


def _images(data: Path | None, group: str | None, column: list[str] | None, folders: Folders) -> Images | None:
    """Images to certify thresholds with.

    Raises:
        ConfigError: Something is said of them, and none are given.
    """
    from anomalib_lite.data import Images
    from anomalib_lite.errors import ConfigError

    if data is not None:
        return Images(data=data, group=group, columns=options.columns(column), folders=folders)
    if group or column or folders.named or folders.all_good:
        raise ConfigError("--group, --column, --good, --defective and --all-good are about images: give --data DATA.")
    return None


def _weights(text: str | None) -> list[float]:
    """Numbers.

    Raises:
        ConfigError: They are none.
    """
    import math

    from anomalib_lite.errors import ConfigError

    try:
        found = [float(one) for one in text.split(",")] if text else []
    except ValueError:
        found = [math.nan]
    if not all(math.isfinite(one) and one > 0 for one in found):
        raise ConfigError(f"--weights {text}: expected numbers above 0, such as 2,1.")
    return found
