"""anomalib-lite watch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.cli.monitor import PartOfName

Folder: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The folder in which images arrive.", show_default=False)
]
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


def watch(
    model: options.Model,
    folder: Folder,
    golden: options.GoldenImage = None,
    settle: Settle = None,
    recursive: Recursive = False,
    group: PartOfName = None,
    provider: options.Provider = "cpu",
    threads: options.Threads = 0,
) -> None:
    """Judge each image that arrives in a folder, and move it.

    Images go to ok/, review/, ng/ or error/ within FOLDER, result rows to FOLDER/results.jsonl and to standard output.
    It says when scores have changed, as under another light. Ctrl-C or SIGTERM ends it after the image at hand. Killed
    at any moment, it goes on at the next start where it stopped.
    """
    import json
    import signal
    from threading import Event

    from anomalib_lite.cli import console
    from anomalib_lite.edge import watch as watching
    from anomalib_lite.edge.following import Following
    from anomalib_lite.edge.model import Model

    settle = _seconds(settle)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    loaded = Model(model, provider=provider, threads=threads, readers=console.plugins().readers)
    reference = options.golden_image(golden, loaded, "--golden")
    following = Following.of(loaded.bundle.manifest, loaded.model_id, group)
    watched = watching.Watcher(
        loaded, folder, settle=settle, recursive=recursive, reference=reference, following=following
    )
    with watched as watcher:
        console.say(f"watching {folder}  ({loaded.model_id})")
        console.notes(filter(None, [following.why_not]))
        watching.watch(watcher, stop, lambda row: console.text(json.dumps(row, allow_nan=False)), console.say)


def _seconds(settle: float | None) -> float | None:
    """A time that ends.

    Raises:
        ConfigError: It is infinite, or no number.
    """
    import math

    from anomalib_lite.errors import ConfigError

    if settle is not None and not math.isfinite(settle):
        raise ConfigError(f"--settle {settle}: expected a number of seconds, such as 0.5.")
    return settle
