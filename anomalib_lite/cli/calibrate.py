"""anomalib-lite calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomalib_lite.cli import options


def calibrate(
    model: options.Model,
    data: options.Data,
    out: Annotated[Path | None, typer.Option(help="The new model; default: MODEL itself.", show_default=False)] = None,
    max_false_reject: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Largest share of good parts that may be rejected, such as 1%; default: as in the last calibration.",
            show_default=False,
        ),
    ] = None,
    review: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Largest share of good parts that are not OK; default: max(5 %, 5 x max-false-reject), whatever was "
            "asked for before.",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Confidence of the bounds, such as 95%; default: as in the last calibration.",
            show_default=False,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Leave an image out, with --because. May be repeated.", show_default=False),
    ] = None,
    because: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why the excluded are not good; recorded.", show_default=False)
    ] = None,
    group: options.Group = None,
    column: options.Column = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Certify new thresholds from good images that the model has not seen. Needs no torch; the graph stays as it is."""
    from anomalib_lite.calibration import Exclusion
    from anomalib_lite.cli import console
    from anomalib_lite.errors import ConfigError
    from anomalib_lite.pipeline.calibrate import calibrate as run

    if exclude and not because:
        raise ConfigError("--exclude needs --because TEXT: the reason is recorded in the model.")
    if because and not exclude:
        raise ConfigError(
            "--because gives the reason of --exclude: name the images with --exclude FILE, or leave it out."
        )
    done = run(
        options.named(model),
        data,
        out=options.named(out) if out else None,
        max_false_reject=options.rate(max_false_reject, "--max-false-reject"),
        confidence=options.rate(confidence, "--confidence"),
        review=options.rate(review, "--review"),
        exclusions=[Exclusion(name, because or "") for name in dict.fromkeys(exclude or [])],
        group=group,
        columns=options.columns(column),
        overwrite=overwrite,
        plugins=console.plugins(),
        watch=console.track,
    )
    console.calibrated(done.calibration, done.errors)
    typer.echo(f"model   {out or model}  ({done.bundle.model_id})")
