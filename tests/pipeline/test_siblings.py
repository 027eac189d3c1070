"""`train --crossfit K`: siblings shipped as one model, what it says of itself, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import call, recalibrate

from anomalib_lite.edge import bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.following import Following
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.rescore import Rescoring, rescore
from anomalib_lite.pipeline.train import Trained

GROUP = r"part(\d+)"
Train = Callable[..., Trained]


def test_all_parts_are_ranked_and_all_siblings_are_shipped(crossfitted_path: Path, parts: Path) -> None:
    manifest = bundle.load(crossfitted_path).manifest
    calibration = manifest.calibration
    assert (calibration.n, calibration.folds, calibration.approximate) == (20, 3, True)
    assert calibration.statement[0].startswith("Cross-fitted: on average over trainings like this one, at most 26.1 %")
    assert len(manifest.data.fit) == len(manifest.data.held_out) == 40
    assert {one.score for one in manifest.data.held_out} <= {20 * rank / of for of in (6, 7) for rank in range(of + 1)}
    assert manifest.evidence is not None
    assert "planted into good images, each learnt by all siblings but one" in manifest.evidence.said[0]
    assert "at no confidence" in (crossfitted_path / "report.html").read_text()
    model = Model(crossfitted_path)
    judged = [model.inspect(path) for path in sorted((parts / "test").rglob("*.png"))]
    assert {one.verdict for one in judged if "good" not in one.image} == {Verdict.NG}
    assert sum(one.verdict is Verdict.OK for one in judged) >= 5
    assert min(one.score or 0 for one in judged if one.verdict is Verdict.NG) >= 20, "above all parts, by all siblings"


def test_it_proves_itself_and_has_no_menu(
    crossfitted_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("verify", crossfitted_path) == 0
    assert "5 of 5 verdicts are the same" in capsys.readouterr().out
    assert call("calibrate", crossfitted_path, "--row", "1", "--out", tmp_path / "model") == 2
    assert "do not hold for a row that is chosen after looking" in capsys.readouterr().err


def test_new_parts_certify_it_at_a_confidence(crossfitted_path: Path, parts: Path, tmp_path: Path) -> None:
    again = recalibrate(crossfitted_path, parts / "test/good", out=tmp_path / "model", group=GROUP).calibration
    assert (again.n, again.folds, again.approximate) == (10, None, False)
    assert again.statement[0].startswith("At most ")
    assert "(confidence 95 %), from 10 held-out parts" in again.statement[0]
    assert "with the first calibration" not in again.statement[-1], "which had no bound to break"


def test_its_results_are_compared_among_themselves(crossfitted_path: Path) -> None:
    """The ranks of the calibration are those of single siblings, those of new parts are of all of them."""
    loaded = bundle.load(crossfitted_path)
    following = Following.of(loaded.manifest, loaded.model_id, GROUP)
    assert (list(following.drift.good), following.why_not) == ([], "")


def test_another_score_needs_another_training(crossfitted_path: Path, parts: Path, tmp_path: Path) -> None:
    asked = Rescoring(
        model=crossfitted_path, data=parts / "train/good", out=tmp_path / "model", group=GROUP,
        settings=["score.reduction=top"],
    )  # fmt: skip
    with pytest.raises(ConfigError, match="made of several siblings"):
        rescore(asked)


@pytest.mark.parametrize(
    ("settings", "detector", "error", "said"),
    [
        ({"calibration.row": 1}, "gauss", ConfigError, "no menu"),
        ({"calibration.per": "part-median"}, "gauss", ConfigError, "it ranks photographs"),
        ({"calibration.crossfit": 20}, "gauss", DataError, "20 parts in 20 folds promise nothing"),
        ({}, "difference", ConfigError, "siblings may take different ones"),
    ],
)
def test_what_it_cannot_carry_is_refused_before_the_fit(
    settings: dict[str, object], detector: str, error: type[Exception], said: str, train: Train, parts: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    golden = [parts / "test/good/part20_0.png"] if detector == "difference" else []
    with pytest.raises(error, match=said):
        train(parts, tmp_path / "model", {"calibration.crossfit": 3} | settings, detector=detector, golden=golden)
    assert not (tmp_path / "model").exists()


def test_the_manifest_names_the_siblings(crossfitted_path: Path) -> None:
    document = json.loads((crossfitted_path / "manifest.json").read_text())
    assert document["calibration"]["folds"] == 3
    assert "folds" not in json.dumps(document["calibration"]["history"])
