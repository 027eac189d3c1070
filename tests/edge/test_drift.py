"""Drift: how often it is seen where there is none, how soon where there is, since when, and from which results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, picture, save

from anomalib_lite.edge import bundle, drift
from anomalib_lite.edge.drift import ALARM, MOST, STRETCH, Drift
from anomalib_lite.edge.following import Following, one_of_each_part
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import ConfigError
from anomalib_lite.review.results import Rows


def followed(good: np.ndarray, scores: np.ndarray, seed: int = 0) -> Drift:
    """All scores, or those until the alarm."""
    drift = Drift(good.tolist(), str(seed))
    for score in scores.tolist():
        drift.add(score)
        if drift.alarm:
            break
    return drift


@pytest.mark.parametrize(("name", "n"), [("normal", 35), ("standard_t", 117), ("poisson", 299)])
def test_false_alarms_are_as_rare_as_promised(name: str, n: int) -> None:
    """Of 150 lines of 400 parts each: 5 % and three standard errors."""
    lines, alarms = 150, 0
    for line in range(lines):
        random = np.random.default_rng([n, line])
        scores = getattr(random, name)(3, size=n + 400) + 0.0  # a mean, degrees of freedom, a rate: with ties
        alarms += followed(scores[:n], scores[n:], line).alarm is not None
    assert alarms / lines <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / lines)


@pytest.mark.parametrize(("n", "most"), [(35, 38), (117, 28), (299, 26)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_shift_of_a_standard_deviation_is_found_within_some_parts(n: int, most: int, sign: int) -> None:
    """The median of 60 lines; 27, 20 and 19 parts in ../shared/CALIBRATION.md."""
    at = []
    for line in range(60):
        random = np.random.default_rng([n, line])
        drift = followed(random.normal(size=n), random.normal(sign, size=300), line)
        at.append(drift.alarm.at if drift.alarm else 300)
        assert drift.alarm is None or drift.alarm.higher == (sign > 0)
    assert np.median(at) <= most


def test_money_stays_a_number_however_long_scores_drift() -> None:
    drift = Drift(range(100), "line")
    for score in range(100, 3100):
        drift.add(score)
    assert ALARM < drift.value == drift.highest == MOST
    json.dumps(drift.value, allow_nan=False)


def test_since_when_is_told_to_some_parts_however_late() -> None:
    errors, waited = [], []
    for line in range(6):
        random, quiet = np.random.default_rng(line), 1500
        drift = followed(random.normal(size=100), np.r_[random.normal(size=quiet), random.normal(1.5, size=200)], line)
        assert drift.alarm is not None
        errors.append(drift.alarm.since - (quiet + 1))
        waited.append(drift.alarm.at - quiet)
    assert abs(np.median(errors)) <= 3
    assert np.median(waited) <= 50


def test_the_same_scores_give_the_same() -> None:
    scores = np.random.default_rng(0).normal(size=STRETCH + 5)
    one, other = (followed(scores[:50], scores[50:].round(1)) for _ in range(2))
    assert (one.value, one.highest, one.parts) == (other.value, other.highest, other.parts)


def test_money_that_is_not_bet_counts() -> None:
    """Of all starts together it begins with 1."""
    drift = Drift([0.0])
    drift.add(0.5)
    assert 0.5 < drift.value < 1.6
    assert drift.highest >= 1


def test_scores_that_are_all_equal_are_no_drift() -> None:
    drift = followed(np.ones(30), np.ones(400))
    assert drift.alarm is None
    assert 0 < drift.value < ALARM


def test_a_score_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="has no rank"):
        Drift([1.0]).add(math.nan)


def row(place: int, score: float | None, model_id: str = "m", name: str = "") -> dict[str, Any]:
    verdict = "ERROR" if score is None else "OK"
    time = f"2026-11-28T10:{place // 60:02}:{place % 60:02}"
    return {"image": name or f"{place}.png", "time": time, "score": score, "model_id": model_id, "verdict": verdict}


def test_further_photographs_errors_and_other_models_are_passed_over(model_path: Path) -> None:
    loaded = bundle.load(model_path)
    following = Following.of(loaded.manifest, "m", r"part(\d+)")
    for number, (score, model_id, name) in enumerate([
        (1.0, "m", "part1_0.png"), (9.0, "m", "part1_1.png"), (None, "m", "part2_0.png"), (1.0, "x", "part3_0.png"),
        (1.0, "m", "part2_1.png"), (1.0, "m", "upload"), (1.0, "m", "upload"),
    ]):  # fmt: skip
        following.add(row(number, score, model_id, name))
    assert following.drift.parts == 4


def test_without_parts_drift_of_repeated_photographs_is_not_told(model_path: Path) -> None:
    manifest = bundle.load(model_path).manifest
    assert manifest.calibration.images_per_unit.max == 2
    following = Following.of(manifest, "m")
    assert "Give --group REGEX" in following.why_not
    assert following.add(row(0, 1.0)) is None
    assert following.drift.parts == 0


def test_the_reference_is_one_photograph_of_each_part(model_path: Path) -> None:
    manifest = bundle.load(model_path).manifest
    scores = one_of_each_part(manifest)
    assert len(scores) == manifest.calibration.n
    assert set(scores) <= {one.score for one in manifest.data.held_out}


@pytest.mark.parametrize("group", ["part(", "part", "(?P<"])
def test_a_pattern_without_a_part_is_refused(group: str, model_path: Path) -> None:
    with pytest.raises(ConfigError, match="--group"):
        Following.of(bundle.load(model_path).manifest, "m", group)


def drifting(folder: Path, good: int = 40, bad: int = 60, model_id: str = "m") -> Path:
    """Results whose scores rise after some parts."""
    random = np.random.default_rng(1)
    scores = np.r_[random.normal(size=good), random.normal(2, size=bad)]
    rows = [json.dumps(row(place, float(score), model_id)) for place, score in enumerate(scores)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def test_monitor_tells_since_when_draws_it_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = drifting(tmp_path / "results")
    assert call("monitor", results, "--out", tmp_path / "drift.html") == 1
    told = capsys.readouterr()
    assert "drift: since part 4" in told.err
    assert "2026-11-28T10:00:" in told.err
    assert "scores are higher than before" in told.err
    assert "parts followed   100, of 100 rows" in told.out
    page = (tmp_path / "drift.html").read_text("utf-8")
    assert page.count("<polyline") == 1
    assert page.count("<ellipse") == 100
    assert "drift: since part 4" in page
    assert call("monitor", results, "--out", tmp_path / "drift.html") == 2  # it is there already
    assert "--overwrite" in capsys.readouterr().err


def test_monitor_of_what_stays_the_same_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("monitor", drifting(tmp_path, good=50, bad=0) / "results.jsonl") == 0
    assert "no drift" in capsys.readouterr().out


def test_monitor_with_the_model_sees_a_change_from_the_first_part_on(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_id = bundle.load(model_path).model_id
    results = drifting(tmp_path, good=0, bad=0)
    rows = [json.dumps(row(place, 50.0 + place % 7, model_id, f"part{place}.png")) for place in range(90)]
    (results / "results.jsonl").write_text("\n".join(rows) + '\n{"image": "cut o')  # as it is being written
    assert call("monitor", results, "--model", model_path, "--group", r"part(\d+)") == 1
    assert "since part 1 " in capsys.readouterr().err
    assert call("monitor", results, "--model", model_path) == 2
    assert "--group" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, 3, "results.jsonl: No such file"),
        ("", 3, "holds no result row"),
        ("[1]\n{}\n", 3, "line 1: is no result row"),
        ('{"image": "a.png"}\n', 3, "no row names a model"),
        ('{"image": "a.png", "model_id": "m", "score": null}\n', 3, "no row of model m has a score"),
        ('{"image": "a.png", "model_id": "m", "score": 1.5}\n', 0, ""),
        ('{"image": "a.png", "model_id": "m", "score": NaN}\n', 3, "no row of model m has a score"),
    ],
)
def test_monitor_says_what_is_wrong_with_results(
    content: str | None, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "results.jsonl").write_text(content)
    assert call("monitor", tmp_path) == code
    assert said in capsys.readouterr().err


def test_rows_are_read_again_each_time_and_not_kept(tmp_path: Path) -> None:
    rows = Rows(drifting(tmp_path, good=5, bad=0))
    assert [row["image"] for row in rows] == [row["image"] for row in rows]
    assert (rows.count, set(vars(rows))) == (5, {"path", "count"})


@pytest.fixture
def incoming(ungated_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Path]:
    """Sixty photographs of as many parts under another light; ties are not broken by what the model is called."""
    monkeypatch.setattr(drift, "_uniform", lambda seed, number: 0.5)
    folder = tmp_path / "incoming"
    folder.mkdir()
    for part in range(60):
        save(folder / f"part{part:03}.png", np.clip(picture(part) * 0.5, 0, 255).astype(np.uint8))
    return Model(ungated_path), folder


def watched(model: Model, folder: Path) -> tuple[Following, list[str]]:
    following = Following.of(model.bundle.manifest, model.model_id, r"part(\d+)")
    with Watcher(model, folder, settle=0, following=following) as watcher:
        for _ in range(3):
            list(watcher.step())
        return following, watcher.remarks()


def test_serve_tells_of_drift_in_its_metrics(incoming: tuple[Model, Path]) -> None:
    serve = pytest.importorskip("anomalib_lite.pipeline.serve", exc_type=ImportError)
    model, folder = incoming
    metrics = serve.Metrics(model.model_id, Following.of(model.bundle.manifest, model.model_id, r"part(\d+)"))
    quiet = serve.Metrics(model.model_id, Following.of(model.bundle.manifest, model.model_id))
    for path in sorted(folder.iterdir()):
        result = model.inspect(path)
        metrics.add(result)
        quiet.add(result)
    gauges = dict(line.split() for line in metrics.text().splitlines() if line.startswith("anomalib_lite_drift_"))
    assert gauges["anomalib_lite_drift_alarm"] == "1"
    assert gauges["anomalib_lite_drift_since_part"] == "1"
    assert float(gauges["anomalib_lite_drift_parts"]) == 60
    assert "drift" not in quiet.text()  # photographs of unknown parts tell nothing


def test_watch_tells_of_drift_and_knows_it_after_a_restart(incoming: tuple[Model, Path]) -> None:
    model, folder = incoming
    following, said = watched(model, folder)
    assert following.drift.parts == 60
    assert following.drift.alarm is not None
    assert [one for one in said if one.startswith("drift: since part 1 ")]
    again, told = watched(model, folder)
    assert (again.drift.value, again.drift.alarm) == (following.drift.value, following.drift.alarm)
    assert told == said
