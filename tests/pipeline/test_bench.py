"""The measurement of a machine: what it says adds up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import call, picture, save

from anomalib_lite.errors import DataError
from anomalib_lite.pipeline.bench import bench


def test_every_figure_is_there_and_in_order(model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("bench", model_path, "--runs", "30", "--threads", "1", "--threads", "2") == 0
    measured = json.loads(capsys.readouterr().out)
    assert set(measured["threads"]) == {"1", "2"}
    for times in measured["threads"].values():
        for part in ("total_ms", "decode_ms", "graph_ms"):
            assert 0 < times[part]["p50"] <= times[part]["p95"] <= times[part]["p99"]
        parts = times["decode_ms"]["p50"] + times["graph_ms"]["p50"]
        assert times["overhead"] == pytest.approx(times["total_ms"]["p50"] / parts - 1, abs=0.01)
    assert set(measured["start"]) == {"import_s", "load_s", "first_verdict_s", "resident_mb", "peak_mb"}
    assert 10 < measured["start"]["resident_mb"] <= measured["start"]["peak_mb"] < 1000
    assert measured["machine"]["processor"]
    assert measured["images"] == 5


def test_what_cannot_be_measured_is_no_benchmark(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match="cannot be measured"):
        bench(model_path, [tmp_path / "text.png"], runs=1, threads=[1])
    with pytest.raises(DataError, match=r"none\.png: no such file"):
        bench(model_path, [tmp_path / "none.png"], runs=1, threads=[1])
    measured = bench(model_path, [save(tmp_path / "a.png", picture(1))], runs=1, threads=[1])
    assert measured["images"] == 1
