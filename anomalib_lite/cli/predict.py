"""anomalib-lite predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import copying, options
from anomalib_lite.cli.bundle_set import Product

if TYPE_CHECKING:
    from anomalib_lite.edge.parts import PartResult
    from anomalib_lite.edge.results import Result
    from anomalib_lite.pipeline import saving
    from anomalib_lite.pipeline.predict import Predicted

HEATMAPS = ("ng", "review", "all")

Inputs: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Images, folders of images, patterns such as 'images/*.png', or CSV files with a column 'image' and, for "
        "detectors that compare, 'reference'. Parquet files with a column 'image', and addresses such as "
        "s3://bucket/images, need the extra 'cluster', and --out; one process judges them, unless --workers or --ray "
        "is given.",
    ),
]
Out: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Write results.csv, results.jsonl and report.html to this folder. To an address such as "
        "s3://bucket/results, a folder for each share is written. There is no report with --ray, addresses or "
        "Parquet files.",
        rich_help_panel=options.OUTPUT,
    ),
]
Json: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object for each image, and then for each part, where parts are judged.",
        rich_help_panel=options.OUTPUT,
    ),
]
Heatmaps: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="Write images with their heat maps to OUT/heatmaps: 'ng' those that are NG, 'review' those that are "
        "REVIEW or NG, 'all' every one that could be measured, which --heatmaps alone means, too. Needs --out.",
        rich_help_panel=options.OUTPUT,
    ),
]
Write: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Write results in this format of a plugin, too, such as dicom_seg, to OUT/NAME. `anomalib-lite plugins "
        "list` names those that are installed. May be repeated. Needs --out.",
        rich_help_panel=options.OUTPUT,
    ),
]
Reference: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Compare with this golden image. Default: those that a CSV file names, or that the model carries.",
        rich_help_panel=options.GOLDEN,
    ),
]
Share: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Judge one share alone, as one of several machines that are given the same images: 3/10 is the third of "
        "ten. `merge` joins what they wrote. Photographs of one part have the same share. Needs --out.",
        rich_help_panel=options.RUNNING,
    ),
]
FailOnNG: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fail-on-ng",
        help="Exit with 1 if any image is NG, or any part, where parts are judged; and with 3 if any image could not "
        "be measured.",
        rich_help_panel=options.EXIT_CODE,
    ),
]


def predict(
    model: options.Model, inputs: Inputs,
    out: Out = None, overwrite: options.Overwrite = False, json: Json = False, heatmaps: Heatmaps = None,
    write: Write = None, group: options.Group = None, column: options.Column = None,
    product: Product = None, reference: Reference = None,
    strict: options.Strict = False, fail_on_ng: FailOnNG = False,
    provider: options.Provider = "cpu", threads: options.Threads = 0, workers: options.Workers = 0,
    shard: Share = None, copy: copying.Copy = None, ray: options.Ray = None,
) -> None:  # fmt: skip
    """Judge images as OK, REVIEW, NG or ERROR.

    REVIEW lies between the two thresholds. ERROR is what could not be measured; it is never OK.
    """
    from anomalib_lite.cli import console, spread
    from anomalib_lite.cli.golden import golden_image
    from anomalib_lite.data.addresses import is_address
    from anomalib_lite.edge.modelset import load
    from anomalib_lite.output.capture import stdout_for_results
    from anomalib_lite.pipeline.lists import elsewhere
    from anomalib_lite.pipeline.predict import predict as run
    from anomalib_lite.pipeline.shards import Shard
    from anomalib_lite.pipeline.written import Writing

    plugins = console.plugins()
    writers = sorted({plugins.writer(name).name for name in write or ()})
    loaded = load(model, product=product, provider=provider, threads=threads, readers=plugins.readers)
    asked: dict[str, Any] = {
        "heatmaps": _shown(heatmaps), "overwrite": overwrite, "columns": options.columns(column), "group": group,
        "reference": golden_image(reference, loaded, "--reference"), "out": spread.place(out) if out else None,
        "track": console.track,
    }  # fmt: skip
    if apart := bool(ray or elsewhere(inputs, asked["columns"]) or is_address(out or "")):
        refused = {"--json": json, "--shard": shard, "--copy": copy}
        done = spread.predict(loaded, inputs, ray, workers, refused=refused, writers=writers, **asked)
    else:
        with stdout_for_results() as results:
            done = run(
                loaded, [Path(one) for one in inputs], workers=workers, shard=Shard.parse(shard) if shard else None,
                copied=copying.verdicts(copy),
                writing=[Writing.of(plugins.writer(name), loaded.opener.readers) for name in writers],
                each=lambda result: console.out(_line(result, json=json), file=results),
                each_part=lambda result: console.out(_part_line(result, json=json), file=results), **asked,
            )  # fmt: skip
    _tell(done)
    _exit(done, "in the rows" if apart else "above", strict=strict, fail_on_ng=fail_on_ng)


def _exit(done: Predicted, reasons: str, *, strict: bool, fail_on_ng: bool) -> None:
    """Exit with 3 where an image could not be measured, if asked, or a result not written; with 1 where one is NG.

    Args:
        done: What was judged.
        reasons: Where those are told why images could not be.
        strict: Whether one that could not be measured is enough.
        fail_on_ng: Whether one that is NG is.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.edge.decision import Verdict

    if not any(done.counts.values()):  # a share that no image fell to
        return
    console.exit_unmeasured(done.counts[Verdict.ERROR], done.measured, strict=strict or fail_on_ng, where=reasons)
    if done.unwritten:
        raise typer.Exit(3)
    if fail_on_ng and done.decided[Verdict.NG]:
        raise typer.Exit(1)


def _tell(done: Predicted) -> None:
    """On standard error, how many images got which verdict, and where the results are."""
    from anomalib_lite.cli import console

    console.notes([*done.notes, *(f"not written: {reason}" for reason in done.unwritten)])
    console.say("  ".join(f"{verdict} {count}" for verdict, count in done.counts.items()))
    if done.parts is not None:
        console.say("parts: " + "  ".join(f"{verdict} {done.parts[verdict]}" for verdict in done.counts))
    if done.out:
        console.say(f"results {done.out}")


def _part_line(result: PartResult, *, json: bool) -> str:
    """What is printed of one part."""
    if json:
        from json import dumps

        return dumps(result.row(), allow_nan=False)
    score = "-" if result.score is None else f"{result.score:.6g}"
    told = f"  ({result.error or result.note})" if result.error or result.note else ""
    return f"{result.verdict:<7}{score:>12}  part {result.part}, {len(result.photographs)} images{told}"


def _shown(text: str | None) -> saving.Heatmaps | None:
    """Which images get a heat map.

    Raises:
        ConfigError: It is none of `HEATMAPS`.
    """
    from anomalib_lite.errors import ConfigError
    from anomalib_lite.pipeline.saving import Heatmaps

    if text is None:
        return None
    if text.lower() not in HEATMAPS:
        raise ConfigError(f"--heatmaps={text}: expected {', '.join(HEATMAPS[:-1])} or {HEATMAPS[-1]}.")
    return Heatmaps(text.lower())


def _line(result: Result, *, json: bool) -> str:
    """What is printed of one image."""
    from anomalib_lite.edge.results import json_line

    if json:
        return json_line(result)
    score = "-" if result.score is None else f"{result.score:.6g}"
    return f"{result.verdict:<7}{score:>12}  {result.image}" + (f"  ({result.error})" if result.error else "")
