"""anomalib-lite watch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import copying, options
from anomalib_lite.cli.bundle_set import OneProduct, single

if TYPE_CHECKING:
    from anomalib_lite.edge.gathering import Gathering
    from anomalib_lite.edge.joint import Joint
    from anomalib_lite.edge.model import Model

NOT_FOLLOWED = "drift is not followed: the scores of a joint model are of parts, and rows are of photographs"
SERIES = (
    "each file is judged by itself: of a series of files, such as a volume, nobody notices that one is missing, and no "
    "row tells of the patient. Give its folder to `predict` instead"
)

Folder: TypeAlias = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder in which images arrive.")]
Settle: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Judge a file once it has not changed for so long. Default: 0.5, and 10 where the system does not say "
        "whether a program still writes it (network shares, files of other users, Windows), or where it holds no whole "
        "image.",
        rich_help_panel=options.RUNNING,
    ),
]
Recursive: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--recursive",
        help="Judge images in folders within FOLDER, too, such as one for each day. They keep their folder below ok/, "
        "review/, ng/ or error/.",
        rich_help_panel=options.RUNNING,
    ),
]
PartOfName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Finds the physical part in the name of an image, such as 'part(\\d+)'. With --photographs it is decided "
        "on once; without, of several photographs of one part the first counts for drift.",
        rich_help_panel=options.RUNNING,
    ),
]
Photographs: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Decide once for a part, when its N photographs are there, as the model was calibrated (--per part, "
        "part-median, ...). Needs --group.",
        rich_help_panel=options.RUNNING,
    ),
]
PartTimeout: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="A part that lacks photographs is ERROR once no other has come for so long. Default: 60.",
        rich_help_panel=options.RUNNING,
    ),
]


def watch(
    model: options.Model,
    folder: Folder,
    golden: options.GoldenImage = None,
    settle: Settle = None,
    recursive: Recursive = False,
    group: PartOfName = None,
    photographs: Photographs = None,
    part_timeout: PartTimeout = None, copy: copying.Copy = None, product: OneProduct = None,
    provider: options.Provider = "cpu",
    threads: options.Threads = 0,
) -> None:  # fmt: skip
    """Judge each image that arrives in a folder, and move it.

    Images go to ok/, review/, ng/ or error/ within FOLDER, result rows to FOLDER/results.jsonl and to standard output.
    With --photographs, those of a part go together, and a row of the part follows theirs. It says when scores have
    changed, as under another light. Ctrl-C or SIGTERM ends it after the image at hand. Killed at any moment, it goes on
    at the next start where it stopped.
    """
    import json
    import signal
    from threading import Event

    from anomalib_lite.cli import console
    from anomalib_lite.cli.golden import golden_image
    from anomalib_lite.edge import watch as watching
    from anomalib_lite.edge.following import Following
    from anomalib_lite.edge.joint import Joint

    gathering = _gathering(group, photographs, _seconds(part_timeout, "--part-timeout"))
    settle, copies = _seconds(settle, "--settle"), copying.copies(folder, copy)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    loaded = single(model, product, provider=provider, threads=threads, readers=console.plugins().readers)
    reference = golden_image(golden, loaded, "--golden")
    following = None if isinstance(loaded, Joint) else Following.of(loaded.bundle.manifest, loaded.model_id, group)
    watched = watching.Watcher(
        loaded, folder, settle=settle, recursive=recursive, reference=reference, following=following,
        gathering=gathering, copies=copies,
    )  # fmt: skip
    with watched as watcher:
        console.say(f"watching {folder}  ({loaded.model_id})")
        console.notes(filter(None, [following.why_not if following else NOT_FOLLOWED, _of_series(loaded)]))
        watching.watch(watcher, stop, lambda row: console.text(json.dumps(row, allow_nan=False)), console.say)


def _of_series(model: Model | Joint) -> str | None:
    """What is to be said of a model whose images lie in several files, which arrive one by one."""
    from anomalib_lite.edge.images.readers import whole
    from anomalib_lite.edge.joint import Joint

    if isinstance(model, Joint):
        return None
    used = [model.opener.readers.get(one.suffix) for one in model.bundle.manifest.readers]
    gathers = any(whole(one).gather for one in used if one is not None)
    return SERIES if gathers and model.bundle.manifest.calibration.images_per_unit.max > 1 else None


def _gathering(group: str | None, photographs: int | None, timeout: float | None) -> Gathering | None:
    """What tells the photographs of a part; None where each is judged for itself.

    Raises:
        ConfigError: Options that belong together are not all there.
    """
    from anomalib_lite.edge.gathering import TIMEOUT, Gathering
    from anomalib_lite.errors import ConfigError

    if photographs is None:
        if timeout is not None:
            raise ConfigError("--part-timeout is about parts: say with --photographs N how many photographs one has.")
        return None
    if group is None:
        raise ConfigError("--photographs needs --group REGEX, which finds the part in a name, such as 'part(\\d+)'.")
    return Gathering(group, photographs, TIMEOUT if timeout is None else timeout)


def _seconds(value: float | None, option: str) -> float | None:
    """A time that ends.

    Raises:
        ConfigError: It is infinite, or no number.
    """
    import math

    from anomalib_lite.errors import ConfigError

    if value is not None and not math.isfinite(value):
        raise ConfigError(f"{option} {value}: expected a number of seconds, such as 0.5.")
    return value
