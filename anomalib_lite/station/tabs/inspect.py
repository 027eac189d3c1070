"""Inspect: lists of results, one of them with all that is known of it, and its pictures."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import ConfigError
from anomalib_lite.station.answers import answer, asked, picture
from anomalib_lite.station.pictures import PNG, WEBP, PictureError
from anomalib_lite.station.query import Query
from anomalib_lite.station.results import Entry, number
from anomalib_lite.station.state import Station

PAGE = 200  # results that one answer holds at most
PLAIN = ("note", "error", "error_code", "p_value", "reject_threshold", "review_threshold", "seen", "ms", "seconds")
ONE = "/api/results/{generation:int}/{number:int}"


def routes(station: Station) -> list[Route]:
    """The addresses of this tab."""

    def listed(request: Request) -> Response:
        given = request.query_params
        numbers = station.answer(Query.parsed(given))
        start, count = _whole(given, "start", 0), min(_whole(given, "count", PAGE), PAGE)
        entries = (station.results.entry(one) for one in numbers[start : start + count])
        rows = [_row(station, entry) for entry in entries if entry is not None]  # none where they are written anew
        return answer({"generation": station.results.generation, "total": len(numbers), "start": start, "rows": rows})

    def place(request: Request) -> Response:
        """Where a result stands in a list: the page opens it there."""
        numbers = station.answer(Query.parsed(request.query_params))
        wanted = asked(station, request).number
        return answer({"place": numbers.index(wanted) if wanted in numbers else None})

    def one(request: Request) -> Response:
        return answer(_whole_row(station, asked(station, request)))

    def seen(request: Request) -> Response:
        return _picture(station, asked(station, request), request.path_params["which"])

    def compared(request: Request) -> Response:
        maps = _maps(station).drawn(asked(station, request))
        return answer({"placed": maps.placed, "frame": maps.frame})

    return [
        Route("/api/results", listed),
        Route(ONE, one),
        Route(ONE + "/place", place),
        Route(ONE + "/maps", compared),
        Route(ONE + "/{which:str}", seen),
    ]


def _whole(given: Any, name: str, otherwise: int) -> int:
    text = given.get(name, str(otherwise))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ConfigError(f"'{name}' takes a whole number.")
    return int(text)


def _row(station: Station, entry: Entry) -> dict[str, Any]:
    """What a list shows of a result."""
    line = station.decision(entry)
    said = line.decision if line is not None else None
    return {
        "number": entry.number,
        "image": shown(entry.image),
        "verdict": entry.verdict,
        "score": entry.score,
        "kind": entry.kind and shown(entry.kind),
        "part": shown(entry.part),
        "lot": shown(entry.lot),
        "when": entry.when,
        "decision": said and {"label": said.label.value, "kind": shown(said.kind), "line": line.number if line else 0},
    }


def _whole_row(station: Station, entry: Entry) -> dict[str, Any]:
    """All that is known of a result."""
    row = station.results.row(entry)
    told: dict[str, Any] = _row(station, entry) | {"model": shown(entry.model_id), "sha256": shown(entry.sha256)}
    for name in PLAIN:
        value = row.get(name)
        told[name] = shown(value) if isinstance(value, str) else number(value)
    told["regions"] = _outlines(row.get("regions"))
    told["part"] = shown(entry.part)
    others = [station.results.entry(one) for one in station.results.of_part(entry)[:PAGE]]
    told["photographs"] = [_row(station, one) for one in others if one is not None] if len(others) > 1 else []
    told["history"] = [
        {
            "line": line.number,
            "time": line.time.timestamp(),
            "operator": shown(line.operator),
            "label": line.decision.label.value if line.decision else None,
            "kind": shown(line.decision.kind) if line.decision else "",
            "note": shown(line.decision.note) if line.decision else "",
            "undoes": line.undoes,
        }
        for line in station.history(entry)
    ]
    return (
        told
        | {"picture": _photograph(station, entry), "maps": _has_maps(station, entry)}
        | {"truth": station.pictures.has_truth(entry)}
    )


def _photograph(station: Station, entry: Entry) -> dict[str, Any]:
    """Whether its photograph is there, and how it is shown."""
    try:
        found = station.pictures.shown(entry)
    except PictureError as error:
        return {"why": error.why, "said": shown(str(error))}
    height, width = found.pixels.shape[:2]
    return {"why": "", "width": width, "height": height, "dtype": found.dtype, "black": found.black,
            "white": found.white}  # fmt: skip


def _has_maps(station: Station, entry: Entry) -> str:
    """Empty where the model can draw a heat map; else a word for why not."""
    if station.maps is None:
        return "no_model"
    try:
        station.maps.refuse(entry)
    except PictureError as error:
        return error.why
    return "" if entry.score is not None else "unmeasured"


def _outlines(regions: Any) -> list[list[tuple[float, float]]]:
    """The outlines of regions, in pixels of the photograph; what is none is left out."""
    found = []
    for region in regions if isinstance(regions, list) else ():
        outline = region.get("outline") if isinstance(region, dict) else None
        points = [
            (number(point[0]), number(point[1]))
            for point in (outline if isinstance(outline, list) else ())
            if isinstance(point, list) and len(point) == 2
        ]
        kept = [(x, y) for x, y in points if x is not None and y is not None]
        if kept:
            found.append(kept)
    return found


def _maps(station: Station) -> Any:
    if station.maps is None:
        raise PictureError("no_model", "the station was started without a model: give --model MODEL.")
    return station.maps


def _picture(station: Station, entry: Entry, which: str) -> Response:
    """One picture of a result.

    Raises:
        PictureError: There is no such picture.
    """
    if which == "thumb":
        return picture(station.pictures.thumb(entry), WEBP)
    if which == "whole":
        return picture(*station.pictures.whole(entry))
    if which == "truth" and (drawn := station.pictures.truth(entry)) is not None:
        return picture(drawn, PNG)
    if which == "heat":
        return picture(_maps(station).drawn(entry).heat, PNG)
    if which in ("golden", "aligned", "difference") and which in (found := _maps(station).drawn(entry).compared):
        return picture(*found[which])
    raise PictureError("none", "there is no such picture of this result.")
