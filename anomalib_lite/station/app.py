"""The application: its page and the files of it, a JSON API with a file for each tab, and the guard before all."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePosixPath

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anomalib_lite.errors import AnomalibLiteError
from anomalib_lite.station import tabs
from anomalib_lite.station.answers import answer, refused
from anomalib_lite.station.guard import Guard, Keys
from anomalib_lite.station.state import Station

KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
FOLDERS = ("", "lib", "tabs")


def application(station: Station, keys: Keys, names: frozenset[str]) -> Guard:
    """The station as a server runs it.

    Args:
        station: What it shows.
        keys: What lets a browser in.
        names: By which it may be called; see `door.names`.
    """
    statics = static_files()

    def page(request: Request) -> Response:
        return _file("index.html", statics["index.html"])

    def static(request: Request) -> Response:
        name = request.path_params.get("name")
        if name not in statics:
            raise HTTPException(404)
        return _file(name, statics[name])

    def icon(request: Request) -> Response:
        return _file("icon.svg", statics["icon.svg"])

    def state(request: Request) -> Response:
        station.refresh()
        return answer(station.told())

    routes = [Route("/", page), Route("/favicon.ico", icon), Route("/static/{name:path}", static)]
    routes += [Route("/api/state", state)]
    routes += [route for tab in tabs.TABS for route in tab(station)]
    handlers = {AnomalibLiteError: refused, HTTPException: _http}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), keys, names, read_only=station.read_only)


def static_files() -> dict[str, bytes]:
    """The files of the page, by the names that it calls them: read once, so that no request reaches a disk."""
    root = files("anomalib_lite.station") / "static"
    return {
        str(PurePosixPath(folder) / one.name): one.read_bytes()
        for folder in FOLDERS
        for one in (root / folder if folder else root).iterdir()
        if one.is_file()
    }


def _file(name: str, content: bytes) -> Response:
    return Response(content, media_type=KINDS[PurePosixPath(name).suffix])


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer({"error": error.detail, "why": ""}, error.status_code)
