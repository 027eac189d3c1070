"""Protocol: what a lot was judged by and what people decided on it, on a page to be printed and signed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.quoting import shown
from anomalib_lite.review.decision import Line
from anomalib_lite.station.answers import answer
from anomalib_lite.station.query import Query
from anomalib_lite.station.results import Entry
from anomalib_lite.station.state import Station
from anomalib_lite.version import __version__

LISTED = 2000  # decisions that are printed, the first by the order of results


def routes(station: Station) -> list[Route]:
    """The addresses of this tab."""

    def protocol(request: Request) -> Response:
        query = Query.parsed({"lot": request.query_params.get("lot", "")})
        station.refresh()
        found = (station.results.entry(number) for number in station.answer(query))
        entries = [entry for entry in found if entry is not None]
        return answer(
            {
                "folder": shown(station.results.folder.resolve().name),
                "lot": shown(query.lot),
                "made": datetime.now(UTC).timestamp(),
                "version": __version__,
                "card": _card(station),
                "results": _results(entries),
                "decisions": _decisions(station, entries),
            }
        )

    return [Route("/api/protocol", protocol)]


def _card(station: Station) -> dict[str, Any] | None:
    """What the model is, what it promises and finds; None without one."""
    model = station.model
    if model is None:
        return None
    manifest = model.bundle.manifest
    calibration = manifest.calibration
    facts = {"model": model.model_id, "created": manifest.created}
    if isinstance(model, Model):
        facts |= _trained(model)
    elif isinstance(model, Joint):
        facts["detector"] = ", ".join(model.members)
    evidence = model.bundle.manifest.evidence if isinstance(model, Model) else None
    choices = model.bundle.manifest.choices if isinstance(model, Model) else ()
    return {
        "facts": {name: shown(value) for name, value in facts.items()},
        "statement": [shown(sentence) for sentence in calibration.statement],
        "evidence": [shown(sentence) for sentence in (*evidence.said, *evidence.blind)] if evidence else [],
        "choices": [shown(f"{one.time}, {one.operator}: {one.what}. {one.because}") for one in choices],
    }


def _trained(model: Model) -> dict[str, str]:
    manifest = model.bundle.manifest
    detector = manifest.detector
    return {
        "detector": f"{detector.name} ({detector.plugin} {detector.version})",
        "data": f"{manifest.data.root}, {manifest.training.images:,}",
    }


def _results(entries: Sequence[Entry]) -> dict[str, Any]:
    """How many results have which verdict, of which models, and when."""
    verdicts = Counter(entry.verdict for entry in entries)
    times = [entry.when for entry in entries if entry.when is not None]
    return {
        "images": len(entries),
        "parts": len({entry.part for entry in entries if entry.part}),
        "verdicts": {verdict.value: verdicts[verdict.value] for verdict in Verdict},
        "models": sorted({shown(entry.model_id) for entry in entries}),
        "first": min(times, default=None),
        "last": max(times, default=None),
    }


def _decisions(station: Station, entries: Sequence[Entry]) -> dict[str, Any]:
    """The decisions in force on these results, and the digest of the log that vouches for them."""
    found = [(entry, line) for entry in entries if (line := station.decision(entry)) is not None]
    labels = Counter(line.decision.label.value for _, line in found if line.decision is not None)
    return {
        "counts": dict(labels),
        "of": len(found),
        "digest": station.log.digest,
        "lines": len(station.log.lines),
        "problem": shown(station.problem),
        "listed": [_line(entry, line) for entry, line in found[:LISTED]],
    }


def _line(entry: Entry, line: Line) -> dict[str, Any]:
    said = line.decision
    return {
        "line": line.number,
        "time": line.time.timestamp(),
        "operator": shown(line.operator),
        "image": shown(entry.image),
        "verdict": entry.verdict,
        "label": said.label.value if said else "",
        "kind": shown(said.kind) if said else "",
        "note": shown(said.note) if said else "",
    }
