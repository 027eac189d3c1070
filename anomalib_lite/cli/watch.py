"""anomalib-lite watch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomalib_lite.cli import options


def watch(
    model: options.Model,
    folder: Annotated[Path, typer.Argument(help="Where images arrive.", show_default=False)],
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds for which a file must not change before it is opened.")
    ] = 0.5,
    golden: options.GoldenImage = None,
    provider: options.Provider = "cpu",
) -> None:
    """Judge each image that arrives in a folder, and move it to ok/, review/, ng/ or error/ within it.

    Rows go to FOLDER/results.jsonl and to standard output. Ctrl-C or SIGTERM ends it after the image at hand; killed at
    any moment, it goes on at the next start where it stopped.
    """
    import json
    import signal
    from threading import Event

    from anomalib_lite.cli import console
    from anomalib_lite.edge import watch as watching
    from anomalib_lite.edge.model import Model

    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    loaded = Model(model, provider=provider, readers=console.plugins().readers)
    reference = options.golden_image(golden, loaded, "--golden")
    with watching.Watcher(loaded, folder, settle=settle, reference=reference) as watcher:
        console.say(f"watching {folder}  ({loaded.model_id})")
        watching.watch(watcher, stop, lambda row: typer.echo(json.dumps(row, allow_nan=False)), console.say)
