"""The benchmark that tells the half of the parts that chose nothing apart, from the rows of an evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import halves
import pytest


def evaluation(folder: Path, moved: float = 0.0) -> Path:
    """Rows of 20 parts, the even ones told apart wholly, of the odd ones every second defect."""
    rows: list[dict[str, str | float | None]] = []
    for part in range(20):
        defective = part % 4 > 1
        found = part % 2 == 0 or part % 8 > 3
        score = (1.0 if defective and found else 0.0) + part / 100 + moved * part
        rows.append({"image": f"{part}.png", "label": "dent" if defective else "good", "group": f"tile{part}",
                     "score": score})  # fmt: skip
    rows.append({"image": "broken.png", "label": "good", "group": "tile1", "score": None})
    folder.mkdir()
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_each_half_has_its_figure_and_interval(tmp_path: Path) -> None:
    measured = dict(halves.figures(halves.rows_of(evaluation(tmp_path / "one"))))
    assert (measured["all"].parts, measured["even"].parts, measured["odd"].parts) == (20, 10, 10)
    assert measured["even"].auroc == 1
    assert measured["odd"].auroc < 0.9
    assert all(one.low <= one.auroc <= one.high for one in measured.values())
    assert measured["odd"].low < measured["odd"].high


def test_of_several_evaluations_mean_and_spread_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(evaluation(tmp_path / name, moved)) for name, moved in (("one", 0.0), ("two", 0.1))]
    monkeypatch.setattr("sys.argv", ["halves.py", *folders])
    halves.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["all", "even", "odd"]
    assert all(re.search(r"95 % interval over \d+ parts [\d.]+ to [\d.]+, seeds [\d.]+ ± [\d.]+", one) for one in lines)


def test_rows_without_parts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text('{"image": "a.png", "label": "good", "group": null, "score": 1}\n')
    with pytest.raises(SystemExit, match="Evaluate with groups"):
        dict(halves.figures(halves.rows_of(tmp_path)))
