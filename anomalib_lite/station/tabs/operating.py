"""Operating point: the menu of the model's calibration beside the scores of the results, and a model by another row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anomalib_lite.calibration import menu_words
from anomalib_lite.calibration.statement import percent_up
from anomalib_lite.data.samples import GOOD
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import ConfigError
from anomalib_lite.evidence.judging import found
from anomalib_lite.pipeline.choosing import MenuRow, Share, menu_rows, use_row
from anomalib_lite.report.charts import Axis, histogram
from anomalib_lite.review.decision import Label
from anomalib_lite.station.answers import answer, body
from anomalib_lite.station.results import Entry
from anomalib_lite.station.state import Station

GROUPS = ("good", "defect", "open")  # what is known of a result, by a label or a decision


def routes(station: Station) -> list[Route]:
    """The addresses of this tab."""

    def shown_menu(request: Request) -> Response:
        return answer(_menu(station, _model(station)))

    async def used(request: Request) -> Response:
        given = await body(request, operator=str, row=int, because=str, accept=str)
        model, path = _model(station), station.model_path
        assert path is not None
        operator, row, because, accept = itemgetter("operator", "row", "because", "accept")(given)
        _refuse_without_reason(because)
        operator = operator or station.operator
        use = lambda: use_row(path, row, operator=operator, because=because, accept=accept)  # noqa: E731
        written = await run_in_threadpool(use)
        return answer({"name": shown(written.bundle.path.name), "id": written.bundle.model_id, "was": model.model_id})

    return [
        Route("/api/operating", shown_menu),
        Route("/api/operating/use", used, methods=["POST"]),
    ]


def _model(station: Station) -> Model:
    """The model whose menu is shown.

    Raises:
        ConfigError: There is none, or it is a joint one.
    """
    if not isinstance(station.model, Model) or station.model_path is None:
        raise ConfigError("an operating point is that of one model: start the station with --model MODEL.")
    return station.model


def _refuse_without_reason(because: str) -> None:
    if not because.strip():
        raise ConfigError("say why this row is taken: the reason goes on record in the model.")


def _menu(station: Station, model: Model) -> dict[str, Any]:
    """The rows, what each certifies, finds and would say of the results, and a drawing of their scores."""
    calibration = model.bundle.manifest.calibration
    scores = _scores(station)
    rows = menu_rows(model.bundle)
    limits = [row.point.value for row in rows] or [calibration.reject.value]
    axis = Axis.over(np.array([*limits, *(score for of in scores.values() for score in of)], np.float64))
    return {
        "model": model.model_id,
        "path": shown(Path(model.bundle.path).name),
        "statement": [shown(sentence) for sentence in calibration.statement],
        "advice": menu_words.advice(calibration) if rows else "",
        "confidence": calibration.confidence,
        "rows": [_row(row, scores, axis) for row in rows],
        "taken": axis.percent(calibration.reject.value),
        "ticks": axis.ticks(),
        "groups": {name: len(of) for name, of in scores.items()},
        "panels": {name: histogram(np.array(of, np.float64), axis) for name, of in scores.items() if of},
        "choices": [
            {"time": one.time, "operator": shown(one.operator), "what": shown(one.what), "because": shown(one.because)}
            for one in model.bundle.manifest.choices
        ],
    }


def _scores(station: Station) -> dict[str, list[float]]:
    """Scores of the model's own results, by what is known of them: a decision goes before a label."""
    scores: dict[str, list[float]] = {name: [] for name in GROUPS}
    own = station.maps.ids if station.maps is not None else set()
    for entry in station.results.entries:
        if entry.score is not None and entry.model_id in own:
            scores[_group(station, entry)].append(entry.score)
    return scores


def _group(station: Station, entry: Entry) -> str:
    label = station.label(entry)
    if label in (Label.GOOD, Label.DEFECT):
        return label
    if label or entry.kind is None:
        return "open"
    return "good" if entry.kind == GOOD else "defect"


def _row(row: MenuRow, scores: Mapping[str, Sequence[float]], axis: Axis) -> dict[str, Any]:
    point = row.point
    return {
        "rank": point.rank,
        "threshold": point.value,
        "place": axis.percent(point.value),
        "bound": percent_up(point.bound),
        "expected": percent_up(point.expected),
        "taken": row.taken,
        "planted": _shares(row.planted),
        "labelled": _shares(row.labelled),
        "known": _shares(row.known),
        "passing": [{"image": shown(one.image), "kind": shown(one.kind)} for one in row.passing],
        "rejected": {name: sum(found(of, point.value)) for name, of in scores.items()},
    }


def _shares(shares: Mapping[str, Share]) -> list[dict[str, Any]]:
    return [{"kind": shown(kind), "escapes": one.escapes, "of": one.of} for kind, one in sorted(shares.items())]
