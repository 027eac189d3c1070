"""The report on results that were joined: all rows counted, and pictures of those that tell most, judged again here."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.report.writing import SHOWN, Inspected
from anomalib_lite.review.results import Images, ResultRow, Rows, State


def write(out: Path, model: Model) -> None:
    """Write OUT/report.html of the rows in OUT. An image that is gone or was changed since has no picture.

    Args:
        out: The folder of the results.
        model: That judged them.

    Raises:
        DataError: The rows cannot be read, or the disk does not take the report.
    """
    images, rows = Images(out, model.opener), Rows(out)
    with Inspected(model, out) as report:
        for row in rows:
            report.count(row)
        for row in _telling(rows):
            behind = images.behind(row)
            if behind.state is State.THERE and behind.path is not None:
                seen = model.look(behind.path, name=str(row["image"]))
                report.show(replace(seen.result, image=str(row["image"])), seen.pixels)


def _telling(rows: Rows) -> Iterator[ResultRow]:
    """The worst of those that are not OK, and a sample of those that are: the same whatever the order."""
    kept: dict[str, list[tuple[float, int, ResultRow]]] = {}
    for place, row in enumerate(rows):
        score, verdict = row.get("score"), str(row.get("verdict"))
        if score is None:
            continue
        name = str(row.get("image")).encode("utf-8", "surrogatepass")
        rank = float(zlib.crc32(name)) if verdict == Verdict.OK else float(score)
        heap = kept.setdefault(verdict, [])
        (heapq.heappushpop if len(heap) >= SHOWN else heapq.heappush)(heap, (rank, -place, row))
    for heap in kept.values():
        yield from (row for _, _, row in sorted(heap, reverse=True))
