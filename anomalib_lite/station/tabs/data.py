"""Data: what the results are of, copies among their photographs, and the region of interest, drawn on one of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anomalib_lite.edge.model import Model
from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import ConfigError
from anomalib_lite.pipeline.choosing import free_beside
from anomalib_lite.pipeline.scale import with_scale
from anomalib_lite.station import contents, masks
from anomalib_lite.station.answers import answer, asked, body
from anomalib_lite.station.drawn import Shape, drawn
from anomalib_lite.station.jobs import Jobs
from anomalib_lite.station.results import Entry
from anomalib_lite.station.state import Station
from anomalib_lite.station.tabs.inspect import ONE


def routes(station: Station) -> list[Route]:
    """The addresses of this tab."""
    jobs = Jobs()

    def told(request: Request) -> Response:
        return answer(
            {
                "kinds": contents.kinds(station),
                "parts": contents.parts(station),
                "highest": contents.highest(station),
                "scale": _scale(station),
                "job": jobs.told(),
            }
        )

    async def scaled(request: Request) -> Response:
        given = await body(request, operator=str, mm=str, area=str, because=str)
        operator = given["operator"] or station.operator
        return answer(await run_in_threadpool(_scaled, station, operator, given))

    async def look(request: Request) -> Response:
        await body(request)
        jobs.start("look", lambda track: contents.looked(station, track))
        return answer({"job": jobs.told()})

    def known(request: Request) -> Response:
        numbers = masks.listed(station.results.folder)
        return answer({"masks": [{"number": number, "name": masks.name_of(number)} for number in numbers]})

    async def saved(request: Request) -> Response:
        given = await body(request, shapes=list, replaces=int)
        shapes = [Shape.of(one) for one in given["shapes"]]
        entry = asked(station, request)
        return answer(await run_in_threadpool(_saved, station, entry, shapes, given["replaces"]))

    return [
        Route("/api/data", told),
        Route("/api/data/look", look, methods=["POST"]),
        Route("/api/data/scale", scaled, methods=["POST"]),
        Route("/api/data/masks", known),
        Route(ONE + "/roi", saved, methods=["POST"]),
    ]


def _saved(station: Station, entry: Entry, shapes: list[Shape], replaces: int) -> dict[str, Any]:
    """Write the mask of a photograph, and say how to train with it.

    Raises:
        PictureError: The photograph is gone, or is another one.
        DataError: Nothing or everything is to be inspected, or the mask cannot be written.
    """
    height, width = station.pictures.shown(entry).pixels.shape[:2]
    inside = drawn(shapes, height, width)
    number, path = masks.save(station.results.folder, inside, replaces)
    return {
        "number": number,
        "name": path.name,
        "folder": shown(path.parent.name),
        "width": width,
        "height": height,
        "share": float(inside.mean()),
        "command": _command(station, path),
    }


def _command(station: Station, mask: Path) -> str:
    named = str(mask)
    if ": " in named or " #" in named:  # which YAML would not take as they are
        named = json.dumps(named)
    return shown(shlex.join([*_training(station, "roi"), "--set", f"image.roi={named}"]))


def _training(station: Station, what: str) -> list[str]:
    """What a shell runs to train; what the station does not know is in capitals."""
    detector, data, out = "DETECTOR", "DATA", "MODEL"
    if isinstance(station.model, Model) and station.model_path is not None:
        manifest, path, root = station.model.bundle.manifest, station.model_path, station.pictures.root
        detector = manifest.detector.name
        out = str(free_beside(path.with_suffix("") if path.suffix == ".zip" else path, what))
        data = str(root.absolute()) if root is not None and root.name == manifest.data.root else data
    return ["anomalib-lite", "train", detector, data, "--out", out]


def _scale(station: Station) -> dict[str, Any]:
    """Millimetres for each pixel and the smallest area that is listed, as the model has them; 0 where it has none."""
    found = {"mm": 0.0, "area": 0.0, "model": False, "command": shown(shlex.join(_training(station, "scale")))}
    if isinstance(station.model, Model):
        rules = station.model.bundle.manifest.regions
        mm = rules.mm_per_pixel
        found |= {"mm": mm, "area": rules.min_area * mm**2, "model": True}
    return found


def _scaled(station: Station, operator: str, given: dict[str, Any]) -> dict[str, Any]:
    """Write a model with another scale beside the old one.

    Raises:
        ConfigError: There is no model, a number is none, or nobody says why.
    """
    if not isinstance(station.model, Model) or station.model_path is None:
        raise ConfigError("a scale is that of one model: start the station with --model MODEL.")
    try:
        mm, area = float(given["mm"]), float(given["area"])
    except ValueError:
        raise ConfigError(
            "millimetres for each pixel and square millimetres are numbers, such as 0.05 and 0.5."
        ) from None
    written = with_scale(station.model_path, mm, area, operator=operator, because=given["because"])
    return {"name": shown(written.path.name), "id": written.model_id}
