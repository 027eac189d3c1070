"""anomalib-lite review."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.cli.serve import SERVICE, AllowHost, Port

if TYPE_CHECKING:
    from anomalib_lite.station.guard import Keys

PORT = 8040
PASSWORD, SHORTEST = "ANOMALIB_LITE_PASSWORD", 8

Folder: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Results, as `predict --out`, `evaluate --out` and `watch` write them. New ones appear as they come.",
    ),
]
OfModel: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        help="The model that judged them: it draws heat maps, shows golden images, and offers its operating points.",
        rich_help_panel=options.RUNNING,
    ),
]
OfData: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DATA",
        help="The data set that was evaluated, for its photographs and masks. Default: the one that `evaluate` noted.",
        rich_help_panel=options.IMAGES,
    ),
]
Operator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Who decides, unless the page is told another name. Default: the user of this computer.",
        rich_help_panel=SERVICE,
    ),
]
ReadOnly: TypeAlias = Annotated[
    bool, typer.Option("--read-only", help="Show everything, decide nothing.", rich_help_panel=SERVICE)
]
Host: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help=f"Address to listen on. Any but this machine's own needs a password, in {PASSWORD} or --password-file. "
        "There is no TLS.",
        rich_help_panel=SERVICE,
    ),
]
PasswordFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Its first line is the password.", rich_help_panel=SERVICE),
]


def review(
    folder: Folder,
    model: OfModel = None,
    data: OfData = None,
    group: options.Group = None,
    session: options.Session = None,
    operator: Operator = None,
    read_only: ReadOnly = False,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    allow_host: AllowHost = None,
    password_file: PasswordFile = None,
) -> None:
    """Look at results in a browser, and decide on them.

    Prints an address that opens the page on this computer. Decisions go to decisions.jsonl in FOLDER: see `audit` and
    `labels`.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.cli.calibrate import login
    from anomalib_lite.errors import MissingExtra

    try:
        from anomalib_lite.pipeline import door
        from anomalib_lite.station.app import application
        from anomalib_lite.station.opening import Asked, opened
    except ImportError as error:
        raise MissingExtra(error.name or "starlette", "review", "review") from error
    keys, names = _keys(host, port, password_file), door.names(host, allow_host or ())
    station = opened(
        Asked(folder=folder, model=model, data=data, group=group, session=session, operator=operator or login(),
              read_only=read_only, readers=console.plugins().readers)
    )  # fmt: skip
    console.notes(station.notes)
    with door.listen(host, port) as socket:
        shown = f"[{host}]" if ":" in host else host
        console.say(f"review at http://{shown}:{port}/" + ("" if keys.password else f"?secret={keys.secret}"))
        if keys.password:
            console.say("without TLS: whoever listens on this network reads the password and every picture")
        door.server(application(station, keys, names)).run(sockets=[socket])


def _keys(host: str, port: int, password_file: Path | None) -> Keys:
    """What lets a browser in.

    Raises:
        ConfigError: Others may come over the network, and there is no password, or a short one.
    """
    import os

    from anomalib_lite.errors import ConfigError
    from anomalib_lite.pipeline.door import LOOPBACK
    from anomalib_lite.station.guard import Keys

    try:
        lines = password_file.read_text("utf-8").splitlines() if password_file else []
    except (OSError, ValueError) as error:
        raise ConfigError(f"--password-file {password_file}: cannot be read ({error}). Name a text file.") from error
    password = (lines[0] if lines else "") if password_file else os.environ.get(PASSWORD, "")
    if host in LOOPBACK and not password_file:
        return Keys(port)
    if len(password) < SHORTEST:
        raise ConfigError(
            f"--host {host}: needs a password of at least {SHORTEST} letters, as the first line of --password-file or "
            f"in the environment variable {PASSWORD}. Without --host the page is for this computer alone."
        )
    return Keys(port, password)
