"""Trend: shares of verdicts by time or lot, and the scores with what `monitor` says of them: whether they drift."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.drift import ALARM, Drift
from anomalib_lite.edge.following import Following, pattern
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import ConfigError
from anomalib_lite.station.answers import answer
from anomalib_lite.station.results import Entry
from anomalib_lite.station.state import Station

BARS, DOTS = 120, 1500  # that are drawn: the last bars, and of the dots one of each stretch
SPANS = {"hour": 3600, "shift": 8 * 3600, "day": 24 * 3600}  # seconds
FIRST_SHIFT = 6 * 3600  # of a day
OFFSET = re.compile(r"-?[0-9]{1,4}")  # minutes
WHOLE = "(?s)(.+)"  # takes the name of a part for the part


class Followed:
    """The scores of one model's results, followed from the first row on; others are passed over."""

    def __init__(self, station: Station) -> None:
        self._station, self._lock = station, Lock()
        self._generation, self._next = -1, 0
        self.following: Following | None = None
        self.points: list[tuple[int, float, float]] = []  # number of the result, score, money after it

    def refresh(self) -> None:
        """Follow what came since the last look."""
        results = self._station.results
        with self._lock:
            entries = results.entries
            if self._generation != results.generation:
                self._generation, self._next, self.points = results.generation, 0, []
                self.following = _following(self._station, entries)
            for entry in entries[self._next :] if self.following is not None else ():
                self._add(self.following, entry)
            self._next = len(entries)

    def _add(self, following: Following | None, entry: Entry) -> None:
        assert following is not None
        before = following.drift.parts
        time = "" if entry.when is None else datetime.fromtimestamp(entry.when, UTC).isoformat(timespec="seconds")
        row = {"image": entry.part or entry.image, "score": entry.score, "model_id": entry.model_id, "time": time}
        following.add(row)
        if following.drift.parts > before and entry.score is not None:
            self.points.append((entry.number, entry.score, following.drift.value))


def routes(station: Station) -> list[Route]:
    """The addresses of this tab."""
    followed = Followed(station)

    def trend(request: Request) -> Response:
        given = request.query_params
        by, offset = given.get("by", "hour"), given.get("offset", "0")
        if by not in (*SPANS, "lot") or not OFFSET.fullmatch(offset):
            raise ConfigError(f"a trend is by {', '.join(SPANS)} or lot, with an offset in minutes.")
        followed.refresh()
        bars = _bars(station.results.entries, _key(by, 60 * int(offset)))
        return answer({"bars": bars[-BARS:], "of": len(bars), "limit": ALARM} | _told(station, followed))

    return [Route("/api/trend", trend)]


def _following(station: Station, entries: Sequence[Entry]) -> Following | None:
    """Of the model of the station; without one, of the model of the last result, compared among themselves."""
    group = WHOLE if any(entry.part for entry in entries) else None
    if isinstance(station.model, Model):
        return Following.of(station.model.bundle.manifest, station.model.model_id, group)
    last = next((entry.model_id for entry in reversed(entries) if entry.model_id), None)
    return None if last is None else Following(last, Drift((), last), pattern(group))


def _key(by: str, offset: int) -> Callable[[Entry], tuple[float, str] | None]:
    """What a result is counted under: when a stretch of time begins, seconds since 1970, or a lot.

    Args:
        by: Of `SPANS`, or "lot".
        offset: Seconds by which clocks at the browser are before UTC.
    """
    if by == "lot":
        return lambda entry: (0.0, entry.lot)
    span, first = SPANS[by], FIRST_SHIFT if by == "shift" else 0

    def begins(entry: Entry) -> tuple[float, str] | None:
        if entry.when is None:
            return None
        return math.floor((entry.when + offset - first) / span) * span - offset + first, ""

    return begins


def _bars(entries: Sequence[Entry], key: Callable[[Entry], tuple[float, str] | None]) -> list[dict[str, Any]]:
    """How many results have which verdict; stretches of time in their order, lots as they come."""
    counts: dict[tuple[float, str], dict[str, int]] = {}
    for entry in entries:
        if (place := key(entry)) is not None:
            counts.setdefault(place, {verdict.value: 0 for verdict in Verdict})[entry.verdict] += 1
    ordered = sorted(counts, key=lambda one: one[0])
    return [{"when": when or None, "lot": shown(lot), "counts": counts[when, lot]} for when, lot in ordered]


def _told(station: Station, followed: Followed) -> dict[str, Any]:
    """Scores, and whether they drift; what is drawn of many is one of each stretch, the money at its highest."""
    following, points = followed.following, followed.points
    if following is None:
        return {"why": "", "parts": 0, "points": [], "alarm": None, "thresholds": None}
    step = -(-len(points) // DOTS) or 1
    drawn = [
        (at + 1, points[at][0], points[at][1], math.log10(max(max(one[2] for one in points[at : at + step]), 1e-300)))
        for at in range(0, len(points), step)
    ]
    alarm = following.drift.alarm
    since = None if alarm is None else points[min(alarm.since, len(points)) - 1][0]
    limits = station.model.thresholds if isinstance(station.model, Model) else None
    return {
        "why": shown(following.why_not),
        "parts": following.drift.parts,
        "value": following.drift.value,
        "highest": following.drift.highest,
        "points": drawn,
        "alarm": alarm
        and {"at": alarm.at, "since": alarm.since, "when": shown(alarm.when), "higher": alarm.higher}
        | {"number": since},
        "thresholds": limits and {"review": limits.review, "reject": limits.reject},
    }
