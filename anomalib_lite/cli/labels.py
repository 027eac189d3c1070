"""anomalib-lite labels: decisions listed, written for other tools, taken over from them, and taught to a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.cli.help import Command, Group

if TYPE_CHECKING:
    from anomalib_lite.review.exchange import Format
    from anomalib_lite.review.labels import Labelled

FORMATS = ("csv", "coco", "label-studio", "cvat", "fiftyone")
SUFFIXES = {".csv": "csv", ".xml": "cvat"}  # of files whose format need not be named

Results: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="RESULTS",
        help="A folder that `predict --out`, `evaluate --out` or `watch` wrote, with decisions.jsonl in it.",
    ),
]
Images: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where the images lie, if they are not where the results say.",
        rich_help_panel=options.IMAGES,
    ),
]
Form: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="One of csv, coco (detection, 2017), label-studio (tasks from 1.0 on), cvat (for images 1.1) or fiftyone "
        "(FiftyOneImageDetectionDataset, a folder; not read). Default: csv for .csv, cvat for .xml.",
        rich_help_panel=options.OUTPUT,
    ),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(metavar="FILE", help="Write to this file. Required.", rich_help_panel=options.OUTPUT),
]
Folder: TypeAlias = Annotated[
    Path,
    typer.Option(metavar="FOLDER", help="Write to this folder. Required.", rich_help_panel=options.OUTPUT),
]
File: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="What the other tool wrote.")]
Operator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Who decided, where the file does not say. Default: who is logged in.",
        rich_help_panel=options.RUNNING,
    ),
]
OfModel: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        help="The model that is to be taught: tells which of the images that its thresholds rest on are not good.",
        rich_help_panel=options.RUNNING,
    ),
]
ToFit: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fit",
        help="Good images are to be learnt from (split train). Default: held out, for thresholds (split calibrate).",
        rich_help_panel=options.IMAGES,
    ),
]
Lot: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--session",
        metavar="REGEX",
        help="Finds the lot in the path of an image, such as '(\\d{4}-\\d\\d-\\d\\d)'. Default: all results are one.",
        rich_help_panel=options.IMAGES,
    ),
]

app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def labels() -> None:
    """List, export, import and teach what people decided on results."""


@app.command("list", cls=Command)
def list_(results: Results, images: Images = None) -> None:
    """List decisions in force, and how many images have none."""
    from anomalib_lite.cli import console
    from anomalib_lite.review.labels import by_label

    found = list(_found(results, images))
    for one in found:
        if one.line is not None:
            note, state = f"  ({one.note})" if one.note else "", one.behind.state
            gone = "" if state == "there" else f"  [{state} since]"
            console.out(
                f"{one.label:<12}  {one.judged.verdict:<6}  {one.line.operator}  {one.judged.image}{note}{gone}"
            )
    console.say("  ".join(f"{name} {number:,}" for name, number in sorted(by_label(found).items())))


@app.command("export", cls=Command)
def export_(
    results: Results, out: Out, form: Form = None, images: Images = None, overwrite: options.Overwrite = False
) -> None:
    """Write decisions and regions for another tool.

    The class of an image is what was decided: good, unsure, unusable or a kind of defect. Regions are polygons with the
    class of their defect, or "undecided". Images that are gone or have changed since are left out, but for csv.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.review.exchange import export

    done = export(_found(results, images), out, _format(form, out), overwrite=overwrite)
    console.notes(done.notes)
    console.say(f"labels  {out}, {done.images:,} images")


@app.command("import", cls=Command)
def import_(results: Results, file: File, form: Form = None, images: Images = None, operator: Operator = None) -> None:
    """Take over decisions that were made in another tool.

    They become lines of the log, where they differ from what is in force. Images are known by their SHA-256, or by
    their names. An image with no class and no region says nothing: it need not be good.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.cli.calibrate import login
    from anomalib_lite.review.exchange import take_over
    from anomalib_lite.review.log import DecisionLog

    log = DecisionLog(options.named(results))
    done = take_over(_found(results, images), file, _format(form, file), log, operator or login())
    console.notes([*log.kept_aside, *done.notes])
    console.say(f"added {done.added:,}, in force already {done.same:,}, nothing said {done.silent:,}")


@app.command(cls=Command)
def teach(
    results: Results,
    out: Folder,
    model: OfModel = None,
    fit: ToFit = False,
    group: options.Group = None,
    lot: Lot = None,
    images: Images = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Make golden images and known defects of decisions.

    golden.csv names the images that were decided to be good, known.csv the defective ones with their kind and hash. The
    command that teaches them to the model is printed. Good images are held out only of lots of which every measured
    result is decided as good, defect or unusable: a selection would make the bound too small.
    """
    from shlex import join

    from anomalib_lite.cli import console
    from anomalib_lite.pipeline.taught import command, last_taught
    from anomalib_lite.review.teaching import teach as run

    last = last_taught(model) if model is not None else None
    done = run(
        _found(results, images, group, lot), options.folder(out), manifest=last[1] if last else None,
        split="train" if fit else "calibrate", overwrite=overwrite,
    )  # fmt: skip
    console.notes(done.notes)
    for what, number, path in (("golden", done.good, done.golden), ("known", done.defects, done.known)):
        if path is not None:
            console.out(f"{what:<7} {path}, {number:,} images")
    for one in done.exclusions:
        console.out(f"exclude {one.image}  ({one.because})")
    if words := command(done, model, last, "train" if fit else "calibrate"):
        console.out(f"next    {join(words)}")


def _found(results: Path, images: Path | None, group: str | None = None, lot: str | None = None) -> Iterator[Labelled]:
    """The images of results, with what was decided, opened as the installed readers can."""
    from anomalib_lite.cli import console
    from anomalib_lite.data.patterns import part_pattern
    from anomalib_lite.edge.images.opener import Opener
    from anomalib_lite.review.labels import labelled

    patterns = part_pattern(group), part_pattern(lot, "session")
    return labelled(options.named(results), Opener(console.plugins().readers), images, *patterns)


def _format(given: str | None, path: Path) -> Format:
    """A format by its name, or by the suffix of a file.

    Raises:
        ConfigError: It is none, or neither tells it.
    """
    from anomalib_lite.errors import ConfigError
    from anomalib_lite.review.exchange import Format

    known = given or SUFFIXES.get(path.suffix.lower())
    if known is None:
        raise ConfigError(f"{path}: its name does not tell the format: give --format, one of {', '.join(FORMATS)}.")
    return Format(options.one_of(known, FORMATS, "--format"))
