"""An HTTP service on one model: an image in, its result row out. For this machine: no accounts, no encryption."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from anomalib_lite.edge import selfcheck
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.following import Following
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.intake import Source
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.parts import refuse_single
from anomalib_lite.edge.results import Result
from anomalib_lite.pipeline import door
from anomalib_lite.pipeline.budget import BODIES, Budget, Full
from anomalib_lite.pipeline.door import LOOPBACK
from anomalib_lite.pipeline.served import Served
from anomalib_lite.version import __version__

MAX_BODY = 64 * 2**20  # bytes
BODY_SECONDS = 10.0
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
PREFIX, TITLE = "anomalib_lite", "anomalib-lite"


class Row(BaseModel):
    """One result row, as in results.jsonl."""

    image: str
    sha256: str
    time: str
    verdict: Verdict
    score: float | None
    p_value: float | None
    reject_threshold: float
    review_threshold: float
    regions: list[dict[str, Any]]
    model_id: str
    ms: float
    error_code: str | None
    error: str | None
    note: str
    seen: float | None
    seconds: float | None


class Metrics:
    """Counts for Prometheus, in its text format 0.0.4. Safe from several threads."""

    def __init__(self, model_id: str, following: Following | None = None) -> None:
        self._model_id, self._following = model_id, following
        self._lock = Lock()
        self._verdicts: Counter[str] = Counter({verdict.value: 0 for verdict in Verdict})
        self._errors: Counter[str] = Counter()
        self._refused: Counter[int] = Counter()
        self._buckets = [0] * len(BUCKETS)
        self._seconds = 0.0

    def add(self, result: Result) -> None:
        """Count one inspection."""
        seconds = result.ms / 1000
        with self._lock:
            self._verdicts[result.verdict.value] += 1
            if result.error_code:
                self._errors[result.error_code] += 1
            self._seconds += seconds
            if self._following is not None:
                self._following.add(result.row())
            for index, upper in enumerate(BUCKETS):
                self._buckets[index] += seconds <= upper

    def refuse(self, status: int) -> None:
        """Count a request that was refused before anything was inspected."""
        with self._lock:
            self._refused[status] += 1

    def text(self) -> str:
        """Everything counted so far."""
        with self._lock:
            total, name = sum(self._verdicts.values()), f"{PREFIX}_inspection_seconds"
            lines = [f"# TYPE {PREFIX}_model_info gauge", f'{PREFIX}_model_info{{model_id="{self._model_id}"}} 1']
            for metric, label, counts in (
                ("inspections", "verdict", self._verdicts),
                ("errors", "code", self._errors),
                ("refused_requests", "status", self._refused),
            ):
                lines.append(f"# TYPE {PREFIX}_{metric}_total counter")
                lines += [f'{PREFIX}_{metric}_total{{{label}="{key}"}} {count}' for key, count in counts.items()]
            lines.append(f"# TYPE {name} histogram")
            lines += [f'{name}_bucket{{le="{upper}"}} {n}' for upper, n in zip(BUCKETS, self._buckets, strict=True)]
            lines += [f'{name}_bucket{{le="+Inf"}} {total}', f"{name}_sum {self._seconds}", f"{name}_count {total}"]
            lines += self._drift()
        return "\n".join(lines) + "\n"

    def _drift(self) -> list[str]:
        """How far scores are from being like those of the calibration; nothing where that cannot be told."""
        if self._following is None or self._following.why_not:
            return []
        drift, name = self._following.drift, f"{PREFIX}_drift"
        since = drift.alarm.since if drift.alarm else 0
        gauges = {"parts": drift.parts, "martingale": drift.value, "alarm": int(drift.alarm is not None)}
        gauges |= {"since_part": since}
        return [line for key, n in gauges.items() for line in (f"# TYPE {name}_{key} gauge", f"{name}_{key} {n}")]


def content_type(request: Request) -> str:
    """What a request declares of its body."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(
    request: Request, limit: int, seconds: float, take: Callable[[int], None], kinds: Collection[str] = ()
) -> bytes:
    """The body of a request, never more of it than `limit` bytes; `take` holds them, and may raise `Full`.

    Raises:
        HTTPException: 413 too large, 415 not an image, 408 too slow, 400 nothing in it, or not all of it, 503 too much
            at once.
    """
    kind = content_type(request)
    if not (kind.startswith("image/") or kind in (*kinds, "application/octet-stream")):
        others = "".join(f", {one}" for one in sorted(kinds))
        said = f"send the bytes of an image file, Content-Type image/*{others} or application/octet-stream"
        raise HTTPException(415, said)
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:20]) > limit:
        raise HTTPException(413, f"at most {limit} bytes are taken")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                take(len(chunk))
                body += chunk
                if len(body) > limit:
                    raise HTTPException(413, f"at most {limit} bytes are taken")
    except ClientDisconnect as error:
        raise HTTPException(400, "the connection was closed before the image was complete") from error
    except Full as error:
        said = "other images are being judged, and there is no memory for this one: send it again"
        raise HTTPException(503, said, {"Retry-After": "1"}) from error
    except TimeoutError as error:
        raise HTTPException(408, f"the body did not arrive within {seconds:g} s") from error
    if not body:
        raise HTTPException(400, "the body is empty: send the bytes of an image file")
    return bytes(body)


def _budget(max_body: int) -> Budget:
    """The memory of all requests together, where nobody says how much that is."""
    return Budget(max(BODIES, 2 * max_body))


def application(
    model: Model,
    *,
    reference: Source | None = None,
    max_body: int = MAX_BODY,
    body_seconds: float = BODY_SECONDS,
    budget: Budget | None = None,
    allowed: frozenset[str] = frozenset(LOOPBACK),
    following: Following | None = None,
    served: Served | None = None,
) -> FastAPI:
    """The service: POST /inspect, /healthz, /readyz, /metrics, /openapi.json.

    Args:
        model: What judges.
        reference: The golden image, for models that compare.
        max_body: Largest image file taken, bytes.
        body_seconds: For an image to arrive.
        budget: The memory of all requests together; default: that of `budget`.
        allowed: Names that the service answers to; see `door.names`.
        following: Gets every result, and tells in the metrics whether scores have changed.
        served: Keeps every result; one that it cannot keep is none.
    """
    app, budget = FastAPI(title=TITLE, version=__version__, docs_url=None, redoc_url=None), budget or _budget(max_body)
    metrics, unready = Metrics(model.model_id, following), _unready(model)
    pool = ThreadPoolExecutor(max(1, os.cpu_count() or 1), thread_name_prefix="inspect")
    door.let_in(app, allowed)
    _tell_of_itself(app, model, metrics, unready)

    @app.post("/inspect", response_model=Row, responses={422: {"model": Row}}, openapi_extra=BODY)
    async def inspect(request: Request, name: Annotated[str, Query(max_length=200)] = "upload") -> Response:
        """Judge the image in the body. 422 with a row where it cannot be measured: its verdict is ERROR."""
        if unready:
            raise HTTPException(503, unready)
        loop = asyncio.get_running_loop()
        with budget.arriving() as take:
            body = await read_body(request, max_body, body_seconds, take, model.opener.content_types)
            file = FileBytes(model.opener.named(name, content_type(request)), body)
            async with budget.decoding(await loop.run_in_executor(pool, model.opener.memory, file)):
                result = await loop.run_in_executor(pool, _judged, model, file, reference, name, served)
        metrics.add(result)
        row = Row.model_validate(result.row()).model_dump_json()
        return Response(row, 422 if result.verdict is Verdict.ERROR else 200, {"x-inspected": "1"}, "application/json")

    return app


def _judged(model: Model, file: FileBytes, reference: Source | None, name: str, served: Served | None) -> Result:
    """What is said of a file, once it is kept.

    Raises:
        HTTPException: 503 where it cannot be kept.
    """
    result = model.inspect(file, reference=reference, name=name)
    if served is not None:
        try:
            served.add(result, file.content)
        except OSError as error:
            said = f"the result cannot be kept ({error.strerror}), and counts for nothing: make room, and send it again"
            raise HTTPException(503, said) from error
    return result


def _tell_of_itself(app: FastAPI, model: Model, metrics: Metrics, unready: str) -> None:
    """What the service says of its state and its work."""

    @app.middleware("http")
    async def count_refused(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        if response.status_code >= 400 and "x-inspected" not in response.headers:
            metrics.refuse(response.status_code)
        return response

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok", "model_id": model.model_id}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """The model is loaded and gave, at the start, the verdicts of the machine that trained it."""
        if unready:
            raise HTTPException(503, unready)
        return {"status": "ready", "model_id": model.model_id}

    @app.get("/metrics")
    async def show_metrics() -> Response:
        """Counts in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/*", "application/octet-stream")
        },
    }
}


def _unready(model: Model) -> str:
    """Why the model must not be used on this machine; empty where it may.

    Raises:
        ConfigError: The model decides once for a part, by all its photographs: it cannot be served anywhere.
    """
    refuse_single(model.bundle.manifest.calibration, "serve")
    if not model.bundle.manifest.selfcheck:
        return ""
    flipped = [one.expected.file for one in selfcheck.replay(model) if one.flipped]
    return f"another verdict on this machine for {', '.join(flipped)}: run `anomalib-lite verify`" if flipped else ""
