"""anomalib-lite serve."""

from __future__ import annotations

from typing import Annotated

import typer

from anomalib_lite.cli import options


def serve(
    model: options.Model,
    host: Annotated[str, typer.Option(help="Address to listen on; there is no access control.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    golden: options.GoldenImage = None,
    max_megabytes: Annotated[int, typer.Option(min=1, max=1024, help="Largest image file taken.")] = 64,
    provider: options.Provider = "cpu",
) -> None:
    """Answer HTTP requests: POST an image to /inspect and get its result row. Also /healthz, /readyz, /metrics."""
    from anomalib_lite.cli import console
    from anomalib_lite.edge.model import Model
    from anomalib_lite.errors import MissingExtra

    try:
        import uvicorn

        from anomalib_lite.pipeline.serve import application
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "serve") from error
    loaded = Model(model, provider=provider, readers=console.plugins().readers)
    reference = options.golden_image(golden, loaded, "--golden")
    app = application(loaded, reference=reference, max_body=max_megabytes * 2**20)
    console.say(f"serving http://{host}:{port}/inspect  ({loaded.model_id})")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, limit_concurrency=256,
                timeout_keep_alive=5, timeout_graceful_shutdown=10, server_header=False)  # fmt: skip
