"""anomalib-lite lot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import console, options

SHOWN = 10

Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER", help="Write lot.csv and report.html to this folder.",
        rich_help_panel=options.OUTPUT,
    ),
]  # fmt: skip
Split: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Take the images of this split alone.", rich_help_panel=options.IMAGES),
]
References: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N", min=5, max=1000, rich_help_panel=options.SETTINGS,
        help="Compare each image with at most N others, which the seed draws. The time grows with their number.",
    ),
]  # fmt: skip
Reweight: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--reweight", rich_help_panel=options.SETTINGS,
        help="Mix each score with those of the three images that look most like it.",
    ),
]  # fmt: skip
Seed: TypeAlias = Annotated[int, typer.Option(metavar="N", help="Of the draw.", rich_help_panel=options.SETTINGS)]

ImageSettings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", rich_help_panel=options.SETTINGS,
        help="How images are seen: image.channels, image.black, image.white, image.height, image.width, "
        "image.max_pixels, or a reader's option such as readers.dicom.window. May be repeated.",
    ),
]  # fmt: skip


def lot(
    data: options.Data,
    out: Out,
    split: Split = None,
    group: options.Group = None,
    column: options.Column = None,
    references: References = 64,
    reweight: Reweight = False,
    seed: Seed = 0,
    set_: ImageSettings = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Rank the images of an unlabelled lot, the strangest first.

    Nothing is trained, and no golden image is needed: for the first day of a product, and to find what does not belong
    among golden images. Nothing is certified. Images of one part do not judge each other.
    """
    from anomalib_lite.pipeline.lot import REPORT, Lot, rank

    asked = Lot(
        data=data,
        out=options.named(out),
        split=split,
        group=group,
        columns=options.columns(column),
        settings=set_ or [],
        references=references,
        reweight=reweight,
        seed=seed,
        overwrite=overwrite,
    )
    ranking = rank(asked, plugins=console.plugins(), track=console.track)
    rows = [
        (one.sample.name, f"{one.score:.3f}", ranking.copies.get(one.sample.name, "-"))
        for one in ranking.images[:SHOWN]
    ]
    console.table(("least like the others", "score", "near copy of"), rows)
    for note in ranking.notes:
        console.out(note)
    console.out(f"report  {out / REPORT}")
