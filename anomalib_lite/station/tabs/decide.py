"""Decide: a decision on a result becomes a line of the log, or one is taken back. The answer means: it is on disk."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anomalib_lite.errors import ConfigError
from anomalib_lite.review.decision import Decision, Judged, Label, Line
from anomalib_lite.station.answers import answer, asked, body
from anomalib_lite.station.state import Station
from anomalib_lite.station.tabs.inspect import ONE


def routes(station: Station) -> list[Route]:
    """The addresses of this tab."""

    async def decide(request: Request) -> Response:
        given = await body(request, operator=str, label=str, kind=str, note=str)
        if given["label"] not in list(Label):
            raise ConfigError(f"there is no decision '{given['label'][:20]}': {', '.join(Label)}.")
        entry = asked(station, request)
        said = Decision(Label(given["label"]), given["kind"], given["note"])
        judged = Judged.of(await run_in_threadpool(station.results.row, entry))
        line = await run_in_threadpool(station.log.append, given["operator"] or station.operator, judged, said)
        return await told(line)

    async def undo(request: Request) -> Response:
        given = await body(request, operator=str, line=int)
        operator = given["operator"] or station.operator
        line = await run_in_threadpool(station.log.undo, operator, given["line"])
        return await told(line)

    async def told(line: Line) -> Response:
        await run_in_threadpool(station.refresh)  # lists show it from now on
        return answer({"line": line.number, "digest": station.log.digest})

    return [
        Route(ONE + "/decision", decide, methods=["POST"]),
        Route("/api/undo", undo, methods=["POST"]),
    ]
