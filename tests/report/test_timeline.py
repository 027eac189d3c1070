"""Time lines of recordings in a report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from conftest import picture

from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.report.timeline import POINTS, SHOWN, Recordings


def recording(file: BinaryIO) -> Iterator[tuple[int, Picture]]:
    """Four images, a half second apart; the third is defective where the file says so."""
    defective = file.read(6) == b"defect"
    for at in range(4):
        yield at, Picture(picture(at, defect=defective and at == 2), meta={"time": at / 2})


def test_a_report_shows_each_recording_over_its_time(model_path: Path, tmp_path: Path) -> None:
    for name in ("defect", "sound<b>"):
        (tmp_path / f"{name}.rec").write_bytes(name.encode())
    model = Model(model_path, readers={".rec": recording})
    predict(model, [tmp_path], out=tmp_path / "out", workers=1)
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [row["seconds"] for row in rows] == [0.0, 0.5, 1.0, 1.5] * 2
    page = (tmp_path / "out/report.html").read_text()
    assert 'id="recordings"' in page
    assert page.index("defect.rec</bdi>, 1.5 s: highest") < page.index("sound&lt;b&gt;.rec</bdi>, 1.5 s: highest")
    assert page.count("at 1 s</figcaption>") >= 1, "where the defect is"


def result(image: str, seconds: float | None, score: float | None) -> Result:
    return Result(image, "", "OK", 2.0, 1.0, "", 0.0, score=score, seconds=seconds)  # type: ignore[arg-type]


def test_lines_lie_in_their_drawing_and_no_peak_is_lost() -> None:
    recordings = Recordings()
    for at in range(3 * POINTS):
        recordings.add(result(f"long.wav#{at}", at / 10, 9.0 if at == 777 else 1.0))
    recordings.add(result("lost.wav#1", 0.0, None))
    recordings.add(result("alone.png", None, 5.0))
    drawn = recordings.drawn()
    assert drawn is not None
    assert (drawn["of"], [line["name"] for line in drawn["lines"]]) == (2, ["long.wav", "lost.wav"])
    long, lost = drawn["lines"]
    assert (long["highest"], long["at"]) == (9.0, 77.7)
    points = np.array([[float(one) for one in point.split(",")] for point in long["points"].split()])
    assert len(points) == POINTS
    assert points.min(axis=0) == pytest.approx([0, 0], abs=0.5)
    assert points.max(axis=0) == pytest.approx([200, 100], abs=0.5)
    assert (lost["points"], lost["lost"], lost["highest"]) == ("", [0.0], None)


def test_the_recordings_that_go_farthest_are_shown() -> None:
    recordings = Recordings()
    for file in range(SHOWN + 5):
        recordings.add(result(f"{file}.wav#1", 0.0, float(file)))
    drawn = recordings.drawn()
    assert drawn is not None
    assert [line["name"] for line in drawn["lines"]] == [f"{file}.wav" for file in range(SHOWN + 4, 4, -1)]


def test_without_recordings_there_is_no_line() -> None:
    recordings = Recordings()
    recordings.add(result("alone.png", None, 5.0))
    assert recordings.drawn() is None
