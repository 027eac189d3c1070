"""Evidence of detection on its way: taken at the end of a training, kept, shown, and heeded by export and verify."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, edited, picture, recalibrate, save

from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import EvidenceRecord
from anomalib_lite.errors import ModelError
from anomalib_lite.hookspecs import PLANTED
from anomalib_lite.pipeline import evidence
from anomalib_lite.pipeline.export import export
from anomalib_lite.pipeline.train import Trained


@pytest.fixture(scope="module", autouse=True)
def all_evidence() -> Iterator[None]:
    """As much as a training takes elsewhere."""
    patch = pytest.MonkeyPatch()
    patch.setattr(evidence, "IMAGES", 80)
    patch.setattr(evidence, "FEWEST", 8)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def seeing(train: Callable[..., Trained], parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds dark squares."""
    out = tmp_path_factory.mktemp("seeing") / "model"
    train(parts, out)
    return out


@pytest.fixture(scope="module")
def blind(train: Callable[..., Trained], parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that looks at a corner alone."""
    out = tmp_path_factory.mktemp("blind") / "model"
    train(parts, out, detector="sightless")
    return out


def taken(model: Path) -> EvidenceRecord:
    found = bundle.load(model).manifest.evidence
    assert found is not None
    return found


def test_a_training_plants_every_kind_and_keeps_what_is_found(seeing: Path) -> None:
    record = taken(seeing)
    unseen = dict(record.invisible)
    assert [one.kind for one in record.planted] == list(PLANTED)
    assert all(len(one.scores) + unseen.get(one.kind, 0) == 10 for one in record.planted)
    assert record.blind == ()
    assert sum(one.startswith("Evidence of detection, no detection rate") for one in record.said) == 1
    assert [(one.kind, len(one.scores)) for one in record.known] == [("dent", 5), ("good", 10), ("hole", 5)]


def test_the_report_shows_curves_and_planted_defects(seeing: Path) -> None:
    page = (seeing / "report.html").read_text("utf-8")
    assert 'id="evidence"' in page
    assert page.count('<polyline points="') >= 5
    assert "smallest dark spot found: " in page
    assert "no detection rate" in page
    assert "Labelled test images at this threshold: good rejected" in page


def test_the_same_training_takes_the_same_evidence(
    seeing: Path, train: Callable[..., Trained], parts: Path, tmp_path: Path
) -> None:
    train(parts, tmp_path / "model")
    assert (tmp_path / "model/model.onnx").read_bytes() == (seeing / "model.onnx").read_bytes()
    assert taken(tmp_path / "model") == taken(seeing)


def test_a_model_that_sees_is_exported_with_its_evidence(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("export", seeing, "--out", tmp_path / "part.zip") == 0
    assert "evidence" not in capsys.readouterr().err
    shipped = taken(tmp_path / "part.zip")
    assert shipped.planted == taken(seeing).planted
    assert shipped.known == ()  # what its defects are called stays where it was trained
    assert call("verify", tmp_path / "part.zip") == 0
    assert "Evidence of detection, no detection rate" in capsys.readouterr().out


def test_a_blind_model_is_refused_unless_one_says_so(
    blind: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(taken(blind).blind) == 2
    out = tmp_path / "part.zip"
    assert call("export", blind, "--out", out) == 4
    said = capsys.readouterr().err
    assert "do not trust this model to find anything" in said
    assert "--blind" in said
    assert not out.exists()
    assert call("export", blind, "--out", out, "--blind") == 0
    assert "do not trust this model" in capsys.readouterr().err
    assert taken(out).blind == taken(blind).blind
    assert call("verify", out) == 0
    assert "WARNING: do not trust this model to find anything" in capsys.readouterr().err
    assert "Do not trust this model" in (blind / "report.html").read_text("utf-8")


def test_another_threshold_is_judged_anew(blind: Path, parts: Path, tmp_path: Path) -> None:
    recalibrate(
        blind, parts / "test/good", out=tmp_path / "model", group=r"part(\d+)", max_false_reject=0.9, review=0.9
    )
    before, after = taken(blind), taken(tmp_path / "model")
    assert after.planted == before.planted
    assert after.said != before.said


def test_a_model_of_before_is_exported_with_a_note(seeing: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(seeing, older)
    loaded = bundle.load(older)
    files = {name: loaded.read(name) for name in loaded.manifest.files}
    bundle.write(older, edited(loaded, "evidence", None), files, overwrite=True)
    done = export(older, tmp_path / "part.zip")
    assert done.notes == ["no evidence of detection in this model: whether it finds defects is not known from it"]
    assert "evidence" not in json.loads((older / "manifest.json").read_text())


@pytest.mark.parametrize(("mode", "shape"), [("letterbox", (20, 70)), ("tile", (60, 70))])
def test_defects_are_planted_whatever_the_framing(
    mode: str, shape: tuple[int, int], train: Callable[..., Trained], tmp_path: Path
) -> None:
    for part in range(8):
        pixels = picture(part, size=max(shape))[: shape[0], : shape[1]]
        save(tmp_path / f"data/good/part{part}.png", pixels)
    more: dict[str, Any] = {"image.mode": mode} | ({"image.overlap": 8} if mode == "tile" else {})
    train(tmp_path / "data", tmp_path / "model", more, detector="contrast")
    record = taken(tmp_path / "model")
    assert record.refused == 0
    assert sum(len(one.scores) for one in record.planted) > 30
    assert record.known == ()


def test_one_part_and_no_texture_are_no_failure(train: Callable[..., Trained], tmp_path: Path) -> None:
    """Two parts, of which one is held out, and nothing on them but one level each."""
    for part in range(2):
        save(tmp_path / f"data/good/part{part}.png", np.full((48, 48, 1), 100 + part, np.uint8))
    train(tmp_path / "data", tmp_path / "model")
    record = taken(tmp_path / "model")
    assert dict(record.invisible) == {"blur": 10, "swap": 10, "warp": 10}
    there = {one.kind for one in record.planted if one.scores}
    assert there == {"dark spot", "bright spot", "scratch", "ring", "stain"}


def test_kinds_that_a_training_makes_up_are_left_out(
    train: Callable[..., Trained], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[evidence.Taking] = []
    real = evidence.take

    def take(taking: evidence.Taking, scored: Any) -> evidence.Evidence:
        asked.append(taking)
        return real(taking, scored)

    monkeypatch.setattr(evidence, "take", take)
    train(parts, tmp_path / "model", detector="planter")
    assert asked[0].kinds == ["scratch", "warp", "ring", "stain"]
    record = taken(tmp_path / "model")
    assert record.trained_on == ("dark spot", "bright spot", "blur", "swap")
    assert record.finds == ("scratch",)


def test_export_names_what_speaks_against_a_model(blind: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"passes the dark patch .* as OK; it finds \d of \d+ planted defects"):
        export(blind, tmp_path / "part")
