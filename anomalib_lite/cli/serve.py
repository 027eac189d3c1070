"""anomalib-lite serve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import copying, options
from anomalib_lite.cli.bundle_set import OneProduct, single
from anomalib_lite.cli.monitor import PartOfName
from anomalib_lite.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from anomalib_lite.edge.copies import Copies
    from anomalib_lite.edge.following import Following
    from anomalib_lite.edge.model import Model
    from anomalib_lite.pipeline.served import Served

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
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Add the row of each image to FOLDER/results.jsonl, as `watch` does, for `review` and `monitor`. Images "
        "are kept with --copy alone.",
        rich_help_panel=options.OUTPUT,
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
    product: OneProduct = None,
    out: Out = None,
    copy: copying.Copy = None,
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
    from anomalib_lite.errors import MissingExtra

    try:
        from anomalib_lite.pipeline import door
        from anomalib_lite.pipeline.serve import application
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "serve") from error
    allowed = door.names(host, allow_host or ())
    out, copies = _folder(out, copy)
    loaded = _one(model, product, provider=provider, threads=threads, readers=console.plugins().readers)
    reference = golden_image(golden, loaded, "--golden")
    following = Following.of(loaded.bundle.manifest, loaded.model_id, group)
    with _kept(out, copies, loaded, following) as served, door.listen(host, port) as opened:
        app = application(
            loaded, reference=reference, max_body=max_megabytes * 2**20, allowed=allowed, following=following,
            served=served,
        )  # fmt: skip
        shown = f"[{host}]" if ":" in host else host
        console.say(f"serving http://{shown}:{port}/inspect  ({loaded.model_id})")
        console.notes(filter(None, [following.why_not]))
        door.server(app).run(sockets=[opened])


def _one(model: Path, product: str | None, **more: Any) -> Model:
    """The model that judges.

    Raises:
        ModelError: It is a joint one, or as of `single`.
    """
    from anomalib_lite.edge.joint import Joint

    loaded = single(model, product, **more)
    if isinstance(loaded, Joint):
        raise ModelError(f"{model}: is a joint model, and photographs are judged one by one: give one of its members.")
    return loaded


def _folder(out: Path | None, copy: str | None) -> tuple[Path | None, Copies | None]:
    """Where rows and images go.

    Raises:
        ConfigError: Images are asked for, and no folder.
    """
    if out is None and copy:
        raise ConfigError("--copy: images are kept beside their rows: say with --out FOLDER where.")
    return (None, None) if out is None else (folder := options.folder(out), copying.copies(folder, copy))


@contextmanager
def _kept(out: Path | None, copies: Copies | None, model: Model, following: Following) -> Iterator[Served | None]:
    """Where rows go, those that are there told to who follows them; None where none are kept."""
    from anomalib_lite.pipeline.served import Served

    if out is None:
        yield None
        return
    with Served(out, model.opener, copies) as served:
        served.tell(following.add)
        yield served
