"""What every tab answers with: JSON, pictures, and refusals that the page has a sentence for."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from anomalib_lite.errors import AnomalibLiteError, ConfigError, DataError
from anomalib_lite.station.pictures import PictureError
from anomalib_lite.station.results import Entry
from anomalib_lite.station.state import Station


class UnknownError(DataError):
    """There is no such result."""


def answer(value: Any, status: int = 200) -> Response:
    """Strict JSON in ASCII, whatever names are in it."""
    return Response(json.dumps(value, allow_nan=False), status, media_type="application/json")


def picture(content: bytes, kind: str) -> Response:
    """A picture, which a browser may keep for a while: its address names the state of the results."""
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})


async def refused(request: Request, error: Exception) -> Response:
    """The answer where something cannot be done: a status, what happened, and a word for it."""
    assert isinstance(error, AnomalibLiteError)
    why = error.why if isinstance(error, PictureError) else ""
    missing = isinstance(error, PictureError | UnknownError)
    status = 404 if missing else 400 if isinstance(error, ConfigError) else 409
    return answer({"error": str(error), "why": why}, status)


def asked(station: Station, request: Request) -> Entry:
    """The result whose number an address holds.

    Raises:
        UnknownError: There is none, or the results were written anew since the page was loaded.
    """
    generation, number = request.path_params["generation"], request.path_params["number"]
    entry = station.results.entry(number) if generation == station.results.generation else None
    if entry is None:
        raise UnknownError("these results were written anew, or there is no such result: load the page again.")
    return entry


async def body(request: Request, **expected: type) -> dict[str, Any]:
    """The JSON object that was sent, with these values and no others.

    Raises:
        ConfigError: It is none.
    """
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or set(found) != set(expected):
        raise ConfigError(f"expected a JSON object with {', '.join(expected)}.")
    for name, kind in expected.items():
        if not isinstance(found[name], kind) or isinstance(found[name], bool) != (kind is bool):
            raise ConfigError(f"'{name}' is no {kind.__name__}.")
    return found
