"""Another way from the map to the score, without a fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import call

from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.errors import ConfigError, DataError, ModelError, PluginError
from anomalib_lite.pipeline.export import export
from anomalib_lite.pipeline.rescore import Rescoring, rescore
from anomalib_lite.pipeline.train import Trained

GROUP = r"part(\d+)"
CHANGES = {"score.reduction": "top", "score.top_share": 0.05, "score.sigma": 1.0}
SETTINGS = [f"{key}={value}" for key, value in CHANGES.items()]


def test_it_is_the_model_that_a_training_with_these_settings_makes(
    train: Callable[..., Trained], model_path: Path, parts: Path, tmp_path: Path
) -> None:
    done = rescore(Rescoring(model=model_path, data=parts, settings=SETTINGS, out=tmp_path / "model", group=GROUP))
    trained = train(parts, tmp_path / "trained", {**CHANGES, "calibration.per": "part"})
    found, expected = done.bundle.manifest, trained.bundle.manifest
    assert found.graph_sha256 == expected.graph_sha256 or done.bundle.graph == trained.bundle.graph
    assert found.config["score"] == expected.config["score"]
    assert found.calibration.limits == expected.calibration.limits
    assert found.selfcheck == expected.selfcheck
    (earlier,) = found.calibration.history
    assert earlier["score"] == json.loads((model_path / "manifest.json").read_text())["config"]["score"]
    assert done.notes == ["28 images passed over, which the model was fitted on"]
    assert not any(one.flipped or one.error for one in replay(Model(tmp_path / "model")))


def test_the_command_replaces_the_model_where_it_is(model_path: Path, parts: Path, tmp_path: Path) -> None:
    shutil.copytree(model_path, tmp_path / "model")
    asked = ("rescore", tmp_path / "model", parts, "--group", GROUP)
    assert call(*asked, "--set", "score.reduction=top") == 0
    assert call(*asked, "--set", "score.sigma=2") == 0
    calibration = json.loads((tmp_path / "model/manifest.json").read_text())["calibration"]
    assert [one["score"]["reduction"] for one in calibration["history"]] == ["max", "top"]
    assert call("verify", tmp_path / "model") == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "nothing changes.*score.reduction=top"),
        (["score.reduction=max"], "nothing changes"),
        (["options.floor=1"], "rescore changes score.sigma, score.reduction, score.top_share and score.least alone"),
        (["score.reduction=mean"], "score.reduction"),
        (["score.sigmma=1"], "Did you mean 'sigma'"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    settings: list[str], message: str, model_path: Path, parts: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        rescore(Rescoring(model=model_path, data=parts, settings=settings, out=tmp_path / "model", group=GROUP))
    assert not (tmp_path / "model").exists()


def test_an_export_holds_no_weights(model_path: Path, parts: Path, tmp_path: Path) -> None:
    export(model_path, tmp_path / "part.zip")
    with pytest.raises(ModelError, match="rescore the folder that `train` wrote"):
        rescore(Rescoring(model=tmp_path / "part.zip", data=parts, settings=SETTINGS, out=tmp_path / "m", group=GROUP))


def test_images_that_were_all_fitted_on_certify_nothing(model_path: Path, parts: Path, tmp_path: Path) -> None:
    known = json.loads((model_path / "manifest.json").read_text())["data"]
    held_out = {Path(one["image"]).name for one in known["held_out"]}
    for image in (parts / "train/good").iterdir():
        if image.name not in held_out:
            (tmp_path / "data").mkdir(exist_ok=True)
            shutil.copy(image, tmp_path / "data")
    with pytest.raises(DataError):
        rescore(Rescoring(model=model_path, data=tmp_path / "data", settings=SETTINGS, out=tmp_path / "m", group=GROUP))


def test_a_detector_that_is_not_installed_is_named(
    model_path: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALIB_LITE_PLUGINS", "anomalib_lite_draem")
    with pytest.raises(PluginError, match="gauss"):
        rescore(Rescoring(model=model_path, data=parts, settings=SETTINGS, out=tmp_path / "m", group=GROUP))


def test_a_detector_that_learns_by_descent(inpainting_path: Path, parts: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": inpainting_path, "data": parts, "group": GROUP}
    done = rescore(Rescoring(**asked, settings=["score.sigma=3"], out=tmp_path / "model"))
    assert done.bundle.manifest.score["sigma"] == 3
    assert done.bundle.read("weights.safetensors") == (inpainting_path / "weights.safetensors").read_bytes()
