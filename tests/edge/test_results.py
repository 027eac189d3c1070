"""Rows, files and pictures of results."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from anomalib_lite.edge import drawing
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.drawing import overlay
from anomalib_lite.edge.regions import Region
from anomalib_lite.edge.results import Result, ResultWriter, json_line
from anomalib_lite.errors import DataError

REGION = Region(2.0, 3.0, 4.0, 5.0, 20.0, 0.9, ((2.0, 3.0), (6.0, 3.0), (6.0, 8.0), (2.0, 8.0)))


def result(image: str = "part.png", **changes: Any) -> Result:
    known: dict[str, Any] = {
        "time": "2026-01-02T03:04:05.678+00:00",
        "verdict": Verdict.NG,
        "reject_threshold": 0.5,
        "review_threshold": 0.25,
        "model_id": "0123456789ab",
        "ms": 12.5,
        "sha256": "ab" * 32,
        "score": 0.75,
        "p_value": 0.01,
        "regions": (REGION,),
    }
    return Result(image=image, **(known | changes))


ERROR = result(
    "broken.png",
    verdict=Verdict.ERROR,
    sha256="",
    score=None,
    p_value=None,
    regions=(),
    error_code="truncated",
    error="broken.png: the file ends before the image does",
)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---- rows


def test_a_row_has_the_documented_columns_in_order() -> None:
    row = result(anomaly_map=np.zeros((2, 2), np.float32)).row()
    assert " ".join(row) == (
        "image sha256 time verdict score p_value reject_threshold review_threshold regions model_id ms "
        "error_code error note seen seconds"
    )
    assert row["regions"] == [REGION.to_json()]
    assert type(row["verdict"]) is str


def test_a_line_of_json_is_strict() -> None:
    line = json_line(result(note="EXIF orientation applied"))
    assert "\n" not in line
    assert json.loads(line)["verdict"] == "NG"
    assert json.loads(json_line(ERROR))["score"] is None
    with pytest.raises(ValueError, match="Out of range"):
        json_line(result(score=float("nan")))


# ---- files


def test_both_files_hold_every_row(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "new" / "folder") as writer:
        writer.write(result())
        writer.write(ERROR)
    rows = read_csv(tmp_path / "new" / "folder" / "results.csv")
    assert [row["image"] for row in rows] == ["part.png", "broken.png"]
    assert float(rows[0]["score"]) == 0.75
    assert json.loads(rows[0]["regions"]) == [REGION.to_json()]
    assert (rows[1]["score"], rows[1]["regions"], rows[1]["error_code"]) == ("", "[]", "truncated")
    assert read_jsonl(tmp_path / "new" / "folder" / "results.jsonl") == [result().row(), ERROR.row()]


def test_without_a_folder_nothing_is_written() -> None:
    with ResultWriter(None) as writer:
        writer.write(result())


def test_rows_can_be_read_while_writing(tmp_path: Path) -> None:
    with ResultWriter(tmp_path) as writer:
        for count in (1, 2):
            writer.write(result())
            assert len(read_csv(tmp_path / "results.csv")) == count
            assert len(read_jsonl(tmp_path / "results.jsonl")) == count


def test_file_names_cannot_break_or_run_anything(tmp_path: Path) -> None:
    names = ["a,b.png", 'quo"te.png', "two\nlines.png", "=1+1.png", "@sum.png", "-1.png", "ä漢.png", "a\udcff.png"]
    with ResultWriter(tmp_path) as writer:
        for name in names:
            writer.write(result(name))
    cells = [row["image"] for row in read_csv(tmp_path / "results.csv")]
    assert cells[:3] == names[:3]
    assert cells[3:6] == ["'=1+1.png", "'@sum.png", "'-1.png"]
    assert cells[6:] == ["ä漢.png", "a\\udcff.png"]
    assert [row["image"] for row in read_jsonl(tmp_path / "results.jsonl")] == names


def test_a_negative_score_is_a_number_not_a_formula(tmp_path: Path) -> None:
    with ResultWriter(tmp_path) as writer:
        writer.write(result(score=-1.5))
    assert read_csv(tmp_path / "results.csv")[0]["score"] == "-1.5"


def test_a_killed_program_leaves_every_row_it_wrote(tmp_path: Path) -> None:
    program = f"""
import os, signal
from tests.edge.test_results import ResultWriter, result
with ResultWriter({str(tmp_path)!r}) as writer:
    for index in range(50):
        writer.write(result(str(index)))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, env=os.environ | {"PYTHONPATH": str(root)})
    assert done.returncode == -signal.SIGKILL
    assert len(read_csv(tmp_path / "results.csv")) == 50
    assert len(read_jsonl(tmp_path / "results.jsonl")) == 50


def test_a_full_disk_leaves_whole_rows_and_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        """Takes a part of the line, as a disk does."""
        write(descriptor, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    with ResultWriter(tmp_path) as writer:
        writer.write(result())
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(DataError, match=r"No space left on device.*rows before are complete; free some space"):
            writer.write(result())
        monkeypatch.undo()
    rows = read_csv(tmp_path / "results.csv")
    assert [(row["model_id"], row["note"]) for row in rows] == [("0123456789ab", "")]
    assert read_jsonl(tmp_path / "results.jsonl") == [result().row()]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="choose another folder"), ResultWriter(tmp_path / "file" / "out"):
        pass


# ---- pictures


def lightness(colours: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    return rgb2lab(colours[None] / 255)[0, :, 0]


def test_colours_grow_evenly_lighter() -> None:
    steps = np.diff(lightness(drawing._colours(np.linspace(0, 1, 33, dtype=np.float32)[None])[0]))
    assert steps.min() > 0
    assert steps.max() < 3 * np.median(steps)


def flat(value: float) -> Any:
    return np.full((4, 5), value, np.float32)


def test_the_scale_is_that_of_the_thresholds_not_of_the_image() -> None:
    pixels = np.full((8, 10, 1), 100, np.uint8)
    low, high = drawing.colour_range(0.5, 1.0)
    assert (low, high) == (0.5, 1.5)
    cold, middle, hot, hotter = (
        overlay(pixels, flat(value), low, high, (), 255)[4, 5].astype(int) for value in (0.5, 1.0, 1.5, 99.0)
    )
    assert cold.tolist() == [100, 100, 100]
    assert hot.tolist() == hotter.tolist() == [round(100 + 0.7 * (hottest - 100)) for hottest in (240, 249, 33)]
    assert np.ptp(middle) > 20


@pytest.mark.parametrize(("review", "reject"), [(1.0, 1.0), (0.0, 0.0), (-3.0, -2.0), (-2.0, 0.0)])
def test_the_reject_threshold_is_the_middle_of_every_scale(review: float, reject: float) -> None:
    low, high = drawing.colour_range(review, reject)
    assert low < reject < high
    assert (low + high) / 2 == pytest.approx(reject)


def test_colour_means_the_map_alone() -> None:
    pixels = np.zeros((8, 10, 3), np.uint8)
    pixels[..., 0] = 255
    assert overlay(pixels, flat(0), 0.5, 1.0, (), 255)[0, 0].tolist() == [76, 76, 76]  # red, as grey


def test_16_bit_images_are_shown_by_their_white() -> None:
    pixels = np.full((8, 10, 1), 4095, np.uint16)
    assert (overlay(pixels, flat(0), 0.5, 1.0, (), 4095) == 255).all()
    assert (overlay(pixels, flat(0), 0.5, 1.0, (), 65535) == 16).all()
    assert (overlay(pixels, flat(0), 0.5, 1.0, (), 100) == 255).all()


def test_outlines_are_drawn_where_the_region_is() -> None:
    pixels = np.full((60, 80, 1), 128, np.uint8)
    region = Region(20, 10, 30, 25, 750, 1.0, ((20, 10), (50, 10), (50, 35), (20, 35)))
    drawn = overlay(pixels, np.zeros((6, 8), np.float32), 1.0, 2.0, (region,), 255)
    changed = (drawn != 128).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (9, 36, 19, 51)
    assert drawn[10, 30].tolist() == [255, 255, 255]
    assert drawn[9, 30].tolist() == [0, 0, 0]
    assert not changed[20:30, 30:40].any()


def test_an_outline_on_the_border_stays_visible() -> None:
    pixels = np.full((20, 20, 1), 128, np.uint8)
    region = Region(0, 0, 20, 20, 400, 1.0, ((0, 0), (20, 0), (20, 20), (0, 20)))
    drawn = overlay(pixels, flat(0), 1.0, 2.0, (region,), 255)
    assert (drawn[[0, 0, -1, -1], [5, -1, 5, 0]] == 255).all()


# ---- notebooks


def test_a_notebook_shows_verdict_score_and_map() -> None:
    shown = result(
        "<b>.png", anomaly_map=np.ones((8, 8), np.float32), shape=(640, 1280), map_thresholds=(0.5, 0.75)
    )._repr_html_()
    assert "<b>NG</b> &lt;b&gt;.png" in shown
    assert "score 0.75, p 0.01; NG above 0.5" in shown
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', shown)
    assert Image.open(BytesIO(base64.b64decode(data))).size == (320, 160)


def test_a_notebook_shows_why_there_is_no_verdict() -> None:
    shown = ERROR._repr_html_()
    assert "<b>ERROR</b> broken.png<br>broken.png: the file ends before the image does" in shown
    assert "<img" not in shown
