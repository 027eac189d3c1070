"""Parts that are decided once by a sum over their images, from the training to the device."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from conftest import recalibrate
from environments import ROOT

from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.train import Trained

GROUP = r"part(\d+)"


@pytest.fixture(scope="module")
def summed(train: Callable[..., Trained], parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("summed") / "model"
    train(
        parts, out, {"calibration.per": "part-cusum", "calibration.holdout": 0.6, "calibration.max_false_reject": 0.5}
    )
    return out


def test_the_model_keeps_what_sums_count_from_and_says_so(summed: Path) -> None:
    manifest = json.loads((summed / "manifest.json").read_text())
    calibration = manifest["calibration"]
    assert (calibration["per"], calibration["cusum"]["parts"], calibration["n"]) == ("part-cusum", 5, 7)
    jsonschema.validate(manifest, json.loads((ROOT / "deploy/manifest.schema.json").read_text()))
    assert "by the CUSUM of the scores of its photographs" in (summed / "report.html").read_text()


def test_a_program_and_predict_give_a_part_the_same_verdict(summed: Path, parts: Path, tmp_path: Path) -> None:
    model, folder = Model(summed), parts / "test/dent"
    predict(model, [folder, parts / "test/good"], out=tmp_path / "out", group=GROUP)
    with (tmp_path / "out/parts.csv").open(newline="") as table:
        rows = {row["part"]: row for row in csv.DictReader(table)}
    defective = [rows[f"{part}"] for part in range(30, 35)]
    assert {row["verdict"] for row in defective} == {"NG"}
    one = model.inspect_part([folder / "part30_0.png"], part="30")
    assert (str(one.score), one.verdict) == (rows["30"]["score"], rows["30"]["verdict"])
    good = model.inspect_part(sorted((parts / "train/good").glob("part00_*.png")))
    assert good.score is not None
    assert good.score >= model.bundle.manifest.calibration.joining.level


def test_another_row_and_another_rule_from_the_same_model(summed: Path, parts: Path, tmp_path: Path) -> None:
    before = Model(summed).bundle.manifest.calibration
    row = recalibrate(summed, None, out=tmp_path / "row", row=before.menu[-1].rank).calibration
    assert (row.scores, row.cusum) == (before.scores, before.cusum)
    top = recalibrate(summed, parts / "test/good", out=tmp_path / "top", per="part-top", group=GROUP).calibration
    assert (top.per, top.top_share, top.cusum, top.n) == ("part-top", 0.1, None, 10)
