"""Two formats: the score of each image, and those of all images of a file. A plugin of the tests, found as any other.

Neither has a place for what is called 'odd'.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from anomalib_lite.errors import DataError
from anomalib_lite.hookspecs import WriterInfo, hookimpl


def one(path: Path, result: Any, picture: Any, anomaly_map: Any) -> None:
    many(path, [(result, picture, anomaly_map)])


def many(path: Path, measured: Iterable[tuple[Any, Any, Any]]) -> None:
    if "odd" in path.name:
        raise DataError("there is no place for it.")
    path.write_text("\n".join(str(float(result.score)) for result, *_ in measured))


@hookimpl
def register_writers() -> list[WriterInfo]:
    return [
        WriterInfo(name="each_score", summary="Of each.", target="formats:one", suffix=".score"),
        WriterInfo(name="all_scores", summary="Of all.", target="formats:many", suffix=".scores", whole=True),
    ]
