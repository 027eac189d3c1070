"""Teach: decisions become tables of golden images and known defects, and thresholds that count them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
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
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.calibrate import calibrate
from anomalib_lite.pipeline.choosing import beside
from anomalib_lite.pipeline.known import KnownDefectError, Said
from anomalib_lite.pipeline.taught import WHAT, command, last_taught, recalibration
from anomalib_lite.review.decision import Label
from anomalib_lite.review.labels import labelled
from anomalib_lite.review.teaching import SPLITS, Taught, teach
from anomalib_lite.station.answers import answer, body
from anomalib_lite.station.jobs import Jobs, Track
from anomalib_lite.station.state import Station

FOLDER = "taught"  # in the folder of results, numbered
AGAIN = "this model was taught before: what is decided goes on from {name}, so that each repetition is counted"


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
        last = await run_in_threadpool(_last, station)
        taught = await run_in_threadpool(_tables, station, given["split"], last[1] if last else None)
        return answer(_told(taught, command(taught, station.model_path if last else None, last, given["split"])))

    async def start(request: Request) -> Response:
        given = await body(request, operator=str, accept=str)
        model = station.model_path
        if not isinstance(station.model, Model) or model is None:
            raise ConfigError("thresholds are those of one model: start the station with --model MODEL.")
        told = jobs.failed.passed if isinstance(jobs.failed, KnownDefectError) else frozenset()
        said = Said(given["operator"] or station.operator, "", given["accept"], seen=told)
        jobs.start("calibrate", lambda track: _calibrated(station, model, said, track))
        return answer({"job": jobs.told()})

    return [
        Route("/api/teach", state),
        Route("/api/teach/tables", tables, methods=["POST"]),
        Route("/api/teach/calibrate", start, methods=["POST"]),
    ]


def _last(station: Station) -> tuple[Path, Manifest] | None:
    """The model that was taught last, of the station's and those that were made of it here, and its manifest."""
    alone = isinstance(station.model, Model) and station.model_path is not None
    return last_taught(station.model_path) if alone and station.model_path is not None else None


def _tables(station: Station, split: Any, manifest: Manifest | None) -> Taught:
    """Tables of what is decided, in a folder of their own."""
    pictures, folder = station.pictures, station.results.folder
    found = labelled(folder, pictures.opener, pictures.root, *station.results.patterns)
    out = _reserved(folder)
    try:
        return teach(found, out, manifest=manifest, split=split)
    finally:
        with suppress(OSError):  # it holds tables
            out.rmdir()


def _reserved(folder: Path) -> Path:
    """A new folder, which nobody else takes.

    Raises:
        DataError: The disk does not take it.
    """
    for number in count(1):
        place = folder / (FOLDER if number == 1 else f"{FOLDER}-{number}")
        try:
            place.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise DataError(f"{place}: cannot be made ({error.strerror}).") from error
        return place
    raise AssertionError


def _calibrated(station: Station, model: Path, said: Said, track: Track) -> Mapping[str, Any]:
    """A new model beside the old one, whose thresholds count what was decided; and which verdicts change by it."""
    path, manifest = last_taught(model)
    taught = _tables(station, "calibrate", manifest)
    asked, notes = recalibration(taught, path, manifest)
    written = beside(model, WHAT, lambda place: calibrate(replace(asked, out=place, said=said), track=track))
    if path != model.absolute():
        notes.append(AGAIN.format(name=path.name))
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


def _told(taught: Taught, words: list[str]) -> dict[str, Any]:
    """What was written, and the command that goes on from there."""
    return {
        "folder": shown(next(path for path in (taught.golden, taught.known) if path is not None).parent.name)
        if taught.golden or taught.known
        else "",
        "good": taught.good,
        "defects": taught.defects,
        "exclusions": [{"image": shown(one.image), "because": shown(one.because)} for one in taught.exclusions],
        "notes": [shown(note) for note in taught.notes],
        "command": shown(shlex.join(words)),
    }
