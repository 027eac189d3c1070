"""Teach: decisions become tables of golden images and known defects, and thresholds that count them."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anomalib_lite.edge.decision import decide
from anomalib_lite.edge.manifest import Manifest
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import ConfigError
from anomalib_lite.pipeline.calibrate import calibrate
from anomalib_lite.pipeline.choosing import free_beside
from anomalib_lite.pipeline.known import Said
from anomalib_lite.pipeline.taught import recalibration
from anomalib_lite.review.decision import Label
from anomalib_lite.review.labels import labelled
from anomalib_lite.review.teaching import SPLITS, Taught, teach
from anomalib_lite.station.answers import answer, body
from anomalib_lite.station.jobs import Jobs, Track
from anomalib_lite.station.state import Station

FOLDER = "taught"  # in the folder of results, numbered


def routes(station: Station) -> list[Route]:
    """The addresses of this tab."""
    jobs = Jobs()

    def state(request: Request) -> Response:
        entries = station.results.entries
        counts = Counter(station.label(entry) for entry in entries)
        told = {"counts": {label.value: counts[label.value] for label in Label}, "job": jobs.told()}
        return answer(told | {"model": isinstance(station.model, Model)})

    async def tables(request: Request) -> Response:
        given = await body(request, split=str)
        if given["split"] not in SPLITS:
            raise ConfigError(f"good images go to {' or '.join(SPLITS)}.")
        taught = await run_in_threadpool(_tables, station, given["split"])
        return answer(_told(station, taught))

    async def start(request: Request) -> Response:
        given = await body(request, operator=str, accept=str)
        model, path = station.model, station.model_path
        if not isinstance(model, Model) or path is None:
            raise ConfigError("thresholds are those of one model: start the station with --model MODEL.")
        said = Said(given["operator"] or station.operator, "", given["accept"])
        jobs.start("calibrate", lambda track: _calibrated(station, model, path, said, track))
        return answer({"job": jobs.told()})

    return [
        Route("/api/teach", state),
        Route("/api/teach/tables", tables, methods=["POST"]),
        Route("/api/teach/calibrate", start, methods=["POST"]),
    ]


def _tables(station: Station, split: Any) -> Taught:
    """Tables of what is decided, in a folder of their own."""
    pictures, folder = station.pictures, station.results.folder
    manifest = station.model.bundle.manifest if isinstance(station.model, Model) else None
    found = labelled(folder, pictures.opener, pictures.root, *station.results.patterns)
    return teach(found, _free(folder), manifest=manifest, split=split)


def _free(folder: Path) -> Path:
    number, place = 1, folder / FOLDER
    while os.path.lexists(place):
        number += 1
        place = folder / f"{FOLDER}-{number}"
    return place


def _calibrated(station: Station, model: Model, path: Path, said: Said, track: Track) -> Mapping[str, Any]:
    """A new model beside the old one, whose thresholds count what was decided; and which verdicts change by it."""
    taught = _tables(station, "calibrate")
    asked, notes = recalibration(taught, path, model.bundle.manifest)
    written = calibrate(replace(asked, out=free_beside(path, "taught"), said=said), track=track)
    return {
        "model": shown(written.bundle.path.name),
        "id": written.bundle.model_id,
        "statement": [shown(sentence) for sentence in written.calibration.statement],
        "notes": [shown(note) for note in (*taught.notes, *notes, *written.notes)],
        "changes": _changes(station, written.bundle.manifest),
    }


def _changes(station: Station, manifest: Manifest) -> list[dict[str, Any]]:
    """How many of the model's own results get another verdict by new thresholds: the graph is the same."""
    limits, own = manifest.calibration.limits, station.maps.ids if station.maps is not None else set()
    counts: Counter[tuple[str, str]] = Counter()
    for entry in station.results.entries:
        if entry.score is not None and entry.model_id in own:
            counts[entry.verdict, decide(entry.score, limits).value] += 1
    return [{"was": was, "is": now, "count": count} for (was, now), count in sorted(counts.items()) if was != now]


def _told(station: Station, taught: Taught) -> dict[str, Any]:
    """What was written, and the commands that go on from there."""
    return {
        "folder": shown(next(path for path in (taught.golden, taught.known) if path is not None).parent.name)
        if taught.golden or taught.known
        else "",
        "good": taught.good,
        "defects": taught.defects,
        "exclusions": [{"image": shown(one.image), "because": shown(one.because)} for one in taught.exclusions],
        "notes": [shown(note) for note in taught.notes],
        "command": _command(station, taught),
    }


def _command(station: Station, taught: Taught) -> str:
    """What a shell runs for the same, and where nobody gives a model, with MODEL in its place."""
    if taught.golden is None:
        return ""
    model = str(station.model_path) if station.model_path is not None else "MODEL"
    words = ["anomalib-lite", "calibrate", model, str(taught.golden), "--add"]
    if taught.known is not None:
        words += ["--known", str(taught.known)]
    return shown(shlex.join(words))
