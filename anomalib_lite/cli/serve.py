"""anomalib-lite serve."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.cli.monitor import PartOfName

SERVICE = "Service"

Host: TypeAlias = Annotated[
    str,
    typer.Option(metavar="ADDRESS", help="Address to listen on. There is no access control.", rich_help_panel=SERVICE),
]
Port: TypeAlias = Annotated[
    int, typer.Option(metavar="N", min=1, max=65535, help="Port to listen on.", rich_help_panel=SERVICE)
]
AllowHost: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Answer requests to this host name, too. Default: localhost, 127.0.0.1, ::1 and ADDRESS. May be repeated.",
        rich_help_panel=SERVICE,
    ),
]
MaxMegabytes: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, max=1024, help="Refuse image files of more megabytes than this.", rich_help_panel=SERVICE
    ),
]


def serve(
    model: options.Model,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    allow_host: AllowHost = None,
    max_megabytes: MaxMegabytes = 64,
    golden: options.GoldenImage = None,
    group: PartOfName = None,
    provider: options.Provider = "cpu",
    threads: options.Threads = 0,
) -> None:
    """Answer HTTP requests with verdicts.

    POST an image to /inspect and get its result row. There are /healthz, /readyz, /metrics and /openapi.json, too.
    A file type that a plugin reads is named, /inspect?name=scan.dcm, or declared, Content-Type: application/dicom; one
    image of a file that holds several is named with its key, name=scan.dcm%2312.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.cli.golden import golden_image
    from anomalib_lite.edge.following import Following
    from anomalib_lite.edge.model import Model
    from anomalib_lite.errors import MissingExtra

    try:
        from anomalib_lite.pipeline import door
        from anomalib_lite.pipeline.serve import application
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "serve") from error
    allowed = door.names(host, allow_host or ())
    loaded = Model(model, provider=provider, threads=threads, readers=console.plugins().readers)
    reference = golden_image(golden, loaded, "--golden")
    following = Following.of(loaded.bundle.manifest, loaded.model_id, group)
    app = application(loaded, reference=reference, max_body=max_megabytes * 2**20, allowed=allowed, following=following)
    with door.listen(host, port) as opened:
        shown = f"[{host}]" if ":" in host else host
        console.say(f"serving http://{shown}:{port}/inspect  ({loaded.model_id})")
        console.notes(filter(None, [following.why_not]))
        door.server(app).run(sockets=[opened])
