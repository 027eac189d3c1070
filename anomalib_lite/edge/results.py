"""What is said of one image: as a row, and as a line of JSON."""

from __future__ import annotations

import base64
import csv
import html
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge import disk, drawing, quoting
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.regions import Region
from anomalib_lite.edge.runtime import Comparison
from anomalib_lite.errors import DataError

COLUMNS = (
    "image", "sha256", "time", "verdict", "score", "p_value", "reject_threshold", "review_threshold", "regions",
    "model_id", "ms", "error_code", "error", "note", "seen", "seconds",
)  # fmt: skip
CSV, JSON_LINES = "results.csv", "results.jsonl"
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)

NOTEBOOK_SIDE = 320  # pixels


@dataclass(frozen=True)
class Result:
    """The verdict on one image, and what it rests on. Nothing that was not measured has a value."""

    image: str
    time: str  # ISO 8601, UTC
    verdict: Verdict
    reject_threshold: float
    review_threshold: float
    model_id: str
    ms: float  # from the call to the verdict
    sha256: str = ""  # of the file; empty for arrays, and where it could not be read
    score: float | None = None  # raw; None exactly where the verdict is ERROR
    p_value: float | None = None
    regions: tuple[Region, ...] = ()  # in pixels of the source image; none where the verdict is OK
    error_code: str | None = None  # those of `ImageError`
    error: str | None = None
    note: str = ""  # what was done to the image on reading
    seen: float | None = None  # share that the image shows of what has to be seen of the golden one; None without one
    seconds: float | None = None  # from the begin of its recording to the image; None of what is of no recording
    anomaly_map: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)  # (h, w), the whole source
    valid: NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)  # (h, w), where the map counts
    comparison: Comparison | None = field(default=None, compare=False, repr=False)  # where the model compares
    shape: tuple[int, int] | None = None  # (H, W) of the source image
    map_thresholds: tuple[float, float] | None = None  # (review, reject) of the map: what the colours are fixed to
    member: str = ""  # of a joint model, whose score, thresholds, map and regions these are
    others: tuple[Result, ...] = field(default=(), compare=False, repr=False)  # of its members that saw the same image

    def row(self) -> dict[str, Any]:
        """The values of `COLUMNS`, as JSON has them; without the map."""
        values = {name: getattr(self, name) for name in COLUMNS}
        return values | {"verdict": self.verdict.value, "regions": [region.to_json() for region in self.regions]}

    def _repr_html_(self) -> str:
        """For notebooks: verdict, score beside its thresholds, and the heat map with outlines."""
        if self.score is None:
            told = self.error or ""
        else:
            told = (
                f"score {self.score:.6g}, p {self.p_value:.3g}; NG above {self.reject_threshold:.6g}, "
                f"REVIEW above {self.review_threshold:.6g}; regions: {len(self.regions)}"
            )
        text = f"<b>{self.verdict.value}</b> {html.escape(self.image)}<br>{html.escape(told)}"
        return f"<div>{text}{self._heat_map()}</div>"

    def _heat_map(self) -> str:
        if self.anomaly_map is None or self.shape is None or self.map_thresholds is None:
            return ""
        scale = min(1.0, NOTEBOOK_SIDE / max(self.shape))
        height, width = (max(1, round(side * scale)) for side in self.shape)
        drawn = drawing.heat_map(self.anomaly_map, height, width, *drawing.colour_range(*self.map_thresholds))
        picture = drawing.outlined(drawn, self.regions, scale)
        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        return f'<br><img alt="anomaly map" width="{width}" height="{height}" src="data:image/png;base64,{data}">'


def json_line(result: Result) -> str:
    """One result as strict JSON on one line, without the line's end.

    Raises:
        ValueError: A number is NaN or infinite: that is no result.
    """
    return json.dumps(result.row(), allow_nan=False)


def csv_line(values: Iterable[Any]) -> str:
    r"""One row of CSV with its end. None is an empty cell, a list or an object a cell of JSON.

    File names come from anywhere: what a spreadsheet would run as a formula gets an apostrophe before it, and what ends
    a line stands in quotes. results.jsonl has them as they are.
    """
    cells: list[Any] = []
    for value in values:
        if isinstance(value, (list, dict)):
            cells.append(json.dumps(value, allow_nan=False))
        else:
            cells.append(quoting.cell(value) if isinstance(value, str) else value)
    return quoted_line(cells)


def quoted_line(cells: Iterable[Any]) -> str:
    """One row of CSV with its end, of cells that were read from such a table, or are as they should stand in one."""
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)  # which quotes both
    return line.getvalue().removesuffix("\r\n") + "\n"


def encoded(line: str) -> bytes:
    """Text of a table as it is written."""
    return line.encode("utf-8", "backslashreplace")  # file names need not be valid Unicode


class ResultWriter:
    """Writes results.csv and results.jsonl row by row: each row is with the operating system before the next image.

    A program that is killed, or a disk that is full, leaves whole rows. Without a folder, nothing is written.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, also: Sequence[str] = ()) -> None:
        """Write to a folder, with further columns after `COLUMNS`."""
        self._folder = None if folder is None else Path(folder)
        self._also = tuple(also)
        self._files: list[int] = []  # descriptors

    def __enter__(self) -> Self:
        """Start both files anew.

        Raises:
            DataError: They cannot be written.
        """
        if self._folder is None:
            return self
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with disk.replacing(self._folder / CSV, sync=False) as file:
                file.write(encoded(csv_line(COLUMNS + self._also)))
            (self._folder / JSON_LINES).unlink(missing_ok=True)  # anew, as well: nothing is written through a link
            self._files = [os.open(self._folder / name, FLAGS, 0o666) for name in (CSV, JSON_LINES)]
        except OSError as error:
            self._close()
            raise self._unwritable(error) from error
        return self

    def write(self, result: Result, *more: str | int | None) -> None:
        """Append one row to both files, with the values of the further columns.

        Raises:
            DataError: The disk is full, or gone.
        """
        self.append(result.row() | dict(zip(self._also, more, strict=True)))

    def append(self, row: dict[str, Any]) -> None:
        """Append one row to both files, as it is.

        Raises:
            DataError: The disk is full, or gone.
        """
        if self._folder is None:
            return
        lines = csv_line(row.values()), json.dumps(row, allow_nan=False) + "\n"
        try:
            for file, line in zip(self._files, lines, strict=True):
                self._append(file, line)
        except OSError as error:
            raise self._unwritable(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _append(self, file: int, line: str) -> None:
        disk.append(file, encoded(line))

    def _close(self) -> None:
        for file in self._files:
            os.close(file)
        self._files = []

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self._folder}: results cannot be written ({error.strerror or error}). The rows before are complete; "
            "free some space or choose another folder."
        )
