"""anomalib-lite export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

GRAPH = "Graph"

Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="PATH",
        help="Write a zip file where this ends in .zip, and a folder otherwise.",
        rich_help_panel=options.OUTPUT,
    ),
]
SourceSize: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="HEIGHTxWIDTH",
        help="Size of the camera's images: the graph then takes these alone, and resizes them itself.",
        rich_help_panel=GRAPH,
    ),
]
Int8: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--int8",
        help="Try 8-bit arithmetic. It is kept only where it is faster and the verdicts agree; elsewhere 'int8' in the "
        "name of --out becomes 'float'. Needs --data.",
        rich_help_panel=GRAPH,
    ),
]
TrainingData: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="DATA", help="For --int8: the data that the model was trained on.", rich_help_panel=GRAPH),
]

Sign: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="KEY",
        help="Sign what is written with this private Ed25519 key, a PEM file. `verify --key` and `Model(trust=...)` "
        "check that.",
        rich_help_panel=options.OUTPUT,
    ),
]


Blind: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--blind",
        help="Write a model that finds fewer than a tenth of the planted defects, or passes the dark patch, all the "
        "same. The warning stays in it.",
        rich_help_panel=options.OUTPUT,
    ),
]


def export(
    model: options.Model,
    out: Out,
    overwrite: options.Overwrite = False,
    blind: Blind = False,
    sign: Sign = None,
    source_size: SourceSize = None,
    int8: Int8 = False,
    data: TrainingData = None,
    group: options.Group = None,
    column: options.Column = None,
    good: options.Good = None,
    defective: options.Defective = None,
    all_good: options.AllGood = False,
    threads: options.Threads = 0,
) -> None:
    """Write what a device needs, and nothing else.

    That is the graph, the manifest and the self-check. Every command takes the result as its MODEL.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.errors import ConfigError
    from anomalib_lite.pipeline.export import export as run

    if int8 != (data is not None):
        raise ConfigError("--int8 and --data go together: ranges and thresholds come from the training's data.")
    done = run(
        model,
        options.folder(out, zipped=True),
        source_size=_size(source_size),
        int8=data,
        group=group,
        columns=options.columns(column),
        folders=options.folders(good, defective, all_good),
        overwrite=overwrite,
        blind=blind,
        threads=threads,
        sign=sign,
        readers=console.plugins().readers,
    )
    console.notes(done.notes)
    kept = ", float: int8 is not adopted" if int8 and not done.is_int8 else ""
    console.out(f"model   {done.bundle.path}  ({done.bundle.model_id}{kept})")


def _size(text: str | None) -> tuple[int, int] | None:
    """Height and width from '2048x2448'.

    Raises:
        ConfigError: It is something else.
    """
    from anomalib_lite.errors import ConfigError

    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and len(text) < 16):
        raise ConfigError(f"--source-size {text}: expected HEIGHTxWIDTH of the camera, such as 2048x2448.")
    return int(height), int(width)
