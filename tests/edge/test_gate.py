"""The gate: what looks like none of the training is not judged; parts, good and defective, under like lamps are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, edited, picture, recalibrate, save
from environments import ROOT
from scenes import fitted, lit, slice_of_a_head, wrong_scenes

from anomalib_lite.config import GateConfig
from anomalib_lite.data import DataSet, Sample, Survey, find, look, survey
from anomalib_lite.edge import bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.gate import WORDS, Gate, said, statistics
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.appearance import appearance
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import GateRecord, ImageSpec, Manifest
from anomalib_lite.edge.manifest.gate import STATISTICS
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ModelError
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.training.gating import SCALES, WIDE, learnt, told

PART, BOARDS = ROOT / "data_samples/part", ROOT / "data_samples/board/inspected"
RGB = ImageSpec(256, 256, 3, "uint8", 255.0)
KINDS = 12


def gate_of(samples: list[Sample], found: Survey, spec: ImageSpec, **asked: Any) -> Gate:
    return Gate(learnt(GateConfig(**asked), samples, found, Framing(spec), compares=False), spec)


@pytest.fixture(scope="module")
def flanges() -> tuple[list[Sample], list[Sample], Survey]:
    """Good images of rendered flanges: to learn from, of 56 parts, and of the 24 others; what they look like."""
    dataset: DataSet = find(PART / "train", group=r"part(\d+)")
    found = survey(*look(dataset.samples), copies=False)
    fit = [one for one in found.usable if int(one.group) % 10 < 7]
    return fit, [one for one in found.usable if one not in fit], found


@pytest.fixture(scope="module")
def gate(flanges: tuple[list[Sample], list[Sample], Survey]) -> Gate:
    return gate_of(flanges[0], flanges[2], RGB)


def test_wrong_scenes_are_refused_whatever_part_they_are_made_of(
    gate: Gate, flanges: tuple[list[Sample], list[Sample], Survey]
) -> None:
    boards = [imaging.read(path).pixels for path in sorted(BOARDS.iterdir())[:6]]
    for number, sample in enumerate(flanges[1][::4]):
        random = np.random.default_rng(number)
        made = wrong_scenes(imaging.read(sample.path).pixels, random, boards[number % 6], slice_of_a_head(random))
        assert len(made) == KINDS
        assert not [name for name, pixels in made.items() if gate.objection(pixels) is None], sample.name


def test_parts_are_judged_good_and_defective_and_under_a_slightly_other_lamp(
    gate: Gate, flanges: tuple[list[Sample], list[Sample], Survey]
) -> None:
    held_out = [imaging.read(one.path).pixels for one in flanges[1]]
    defective = [imaging.read(path).pixels for path in sorted(PART.glob("test/*/*.jpg"))[::3]]
    assert not [said for said in map(gate.objection, held_out + defective) if said]
    random = np.random.default_rng(0)
    other_lamp = [lit(one, gain, random, 0.5) for one in held_out for gain in (0.9, 1.1)]
    assert not [said for said in map(gate.objection, other_lamp) if said]


def test_of_eight_images_limits_are_wide_and_that_is_said(
    gate: Gate, flanges: tuple[list[Sample], list[Sample], Survey]
) -> None:
    fit, held_out, found = flanges
    few = gate_of(list({one.group: one for one in fit}.values())[:8], found, RGB)
    assert (few.record.images, few.record.parts) == (8, 8)
    assert "learnt from 8 images of 8 parts and are wide" in told(few.record)[0]
    assert told(gate.record) == []
    assert gate.record.parts >= WIDE
    pixels = [imaging.read(one.path).pixels for one in held_out]
    assert not [said for said in map(few.objection, pixels) if said]
    assert all(few.objection(one) for one in (np.zeros_like(pixels[0]), 255 - pixels[0], pixels[0] // 20))
    alone = gate_of(fit[:1], found, RGB)  # one image says nothing of how images vary
    assert alone.objection(pixels[0]) is None
    assert "darker" in str(alone.objection(np.zeros_like(pixels[0])))


def test_nothing_is_refused_that_was_learnt_from(flanges: tuple[list[Sample], list[Sample], Survey]) -> None:
    fit, _, found = flanges
    for number in (1, 2, 5, len(fit)):
        gate = gate_of(fit[:number], found, RGB)
        for one in fit[:number:7]:
            assert gate.objection(imaging.read(one.path).pixels) is None


def test_words_name_statistic_value_and_limits() -> None:
    limits = {"brightness": (90.0, 140.0), "grain": (0.2, 0.8)}
    assert said({"brightness": 100.0, "grain": 0.5}, limits) is None
    text = str(said({"brightness": 12.0, "grain": 0.5}, limits))
    assert text.startswith("the image is darker than any of the training: mean 12, limits 90 to 140. Check light")
    text = str(said({"brightness": 2450.7, "grain": 0.91}, limits))
    assert "brighter than any of the training: mean 2451, limits 90 to 140, and 1 more of 2" in text
    assert said({"brightness": float("nan"), "grain": 0.5}, limits)  # what cannot be compared is not within


def test_every_statistic_has_words_a_scale_and_a_place_in_the_manifest() -> None:
    assert tuple(WORDS) == (*SCALES, "features") == STATISTICS
    found = statistics(appearance(picture(1)), replace(RGB, channels=1), ())
    assert set(found) == set(SCALES)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 200, 1), (64, 48, 3), (64, 48, 2), (700, 900, 1)])
def test_images_of_all_depths_and_sizes_are_seen_alike(dtype: str, shape: tuple[int, int, int]) -> None:
    """In units of white, what is seen of an image does not depend on how it is stored."""
    levels = np.random.default_rng(0).integers(0, 256, shape)
    white = {"uint8": 255, "uint16": 65535, "int16": 255, "float32": 1}[dtype]
    pixels = (levels * (white / 255)).astype(dtype)
    spec = ImageSpec(*shape[:2], shape[2], dtype, float(white))
    found = statistics(appearance(pixels), spec, ())
    plain = statistics(appearance(levels.astype(np.uint8)), ImageSpec(*shape[:2], shape[2], "uint8", 255.0), ())
    in_white = ("brightness", "dark", "bright", "detail", "quiet")
    found |= {name: found[name] * 255 / white for name in in_white}
    assert found == pytest.approx(plain, rel=1e-2, abs=0.02)  # luma of whole numbers is rounded
    assert all(np.isfinite(list(found.values())))


def test_levels_below_black_have_limits_too() -> None:
    """Hounsfield units: the darkest statistic is what is black, and a fit of such images refuses none of them."""
    spec = ImageSpec(48, 48, 1, "int16", 240.0, -160.0)
    scans = [(picture(seed).astype(np.int16) * 8 - 1100) for seed in range(9)]
    record = learnt(GateConfig(), *_as_survey(scans), Framing(spec), compares=False)
    gate = Gate(record, spec)
    assert [gate.objection(one) for one in scans] == [None] * 9
    assert gate.objection(np.full((48, 48, 1), 2000, np.int16))


def _as_survey(images: list[Any]) -> tuple[list[Sample], Survey]:
    from types import SimpleNamespace

    samples = [Sample(path=Path(f"{number}.png"), name=f"{number}", group=f"{number}") for number in range(len(images))]
    facts = {
        one.path: SimpleNamespace(appearance=appearance(image)) for one, image in zip(samples, images, strict=True)
    }
    return samples, SimpleNamespace(facts=facts)  # type: ignore[return-value]


def test_a_refused_image_is_an_error_everywhere(model_path: Path, parts: Path, tmp_path: Path) -> None:
    """Rows, counts, metrics and the exit code; never OK, and no score."""
    model = Model(model_path)
    for name in ("good", "dent"):
        save(tmp_path / f"test/{name}/part90_0.png", picture(1) // 30)
        save(tmp_path / f"test/{name}/part91_0.png", picture(2, defect=name == "dent"))
    seen: list[Any] = []
    done = predict(model, [tmp_path / "test"], out=tmp_path / "out", each=seen.append)
    assert [done.counts[one] for one in (Verdict.ERROR, Verdict.OK, Verdict.NG)] == [2, 1, 1]
    refused = [one for one in seen if one.verdict == "ERROR"]
    assert {one.error_code for one in refused} == {"not_alike"}
    assert all(one.score is None and "darker than any of the training: mean" in one.error for one in refused)
    assert "darker than any" in (tmp_path / "out/report.html").read_text()
    evaluated = evaluate(model, tmp_path, group=r"part(\d+)")
    assert len(evaluated.errors) == 2
    assert call("predict", model_path, tmp_path / "test/good/part90_0.png") == 3


def test_by_option_it_is_review_at_least(parts: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    train(parts, tmp_path / "model", {"gate.verdict": "review", "calibration.selfcheck": "none"})
    model = Model(tmp_path / "model")
    wide = picture(3).repeat(3, axis=1)  # which the detector finds good
    result = model.inspect(wide)
    assert (result.verdict, result.error_code) == ("REVIEW", None)
    assert result.score is not None
    assert "wider than any of the training: width 144" in result.note
    assert model.inspect(picture(3, defect=True).repeat(3, axis=1)).verdict == "NG"
    assert model.inspect(picture(3)).note == ""


def test_without_a_gate_every_result_says_so(ungated_path: Path, model_path: Path, tmp_path: Path) -> None:
    model = Model(ungated_path)
    assert model.bundle.manifest.gate == GateRecord.off()
    assert json.loads((ungated_path / "manifest.json").read_text())["schema_version"] == 1  # others judge the same
    for image in (picture(1), picture(1) // 30, b"no image"):
        assert model.inspect(image).note == "gate off"
    assert Model(model_path).inspect(picture(1)).note == ""


def test_what_the_gate_refuses_counts_as_rejected(model_path: Path, tmp_path: Path) -> None:
    """Held-out good parts without light: the certified event is NG or refused."""
    for part in range(100, 140):
        save(tmp_path / f"good/part{part}_0.png", picture(7000 + part) // (40 if part < 102 else 1))
    done = recalibrate(model_path, tmp_path / "good", out=tmp_path / "new", group=r"part(\d+)")
    assert (done.calibration.n, done.calibration.refused, len(done.calibration.scores)) == (40, 2, 38)
    assert done.calibration.gated
    assert [name for name, reason in done.errors if "counted as rejected" in reason and "darker" in reason] == [
        "part100_0.png", "part101_0.png"]  # fmt: skip
    again = Model(tmp_path / "new")
    assert again.inspect(picture(1) // 40).error_code == "not_alike"
    assert np.isfinite(again.thresholds.reject)


def test_a_training_refuses_none_of_its_own_and_records_what_it_learnt(model_path: Path) -> None:
    manifest = Model(model_path).bundle.manifest
    assert manifest.gate is not None
    assert (manifest.gate.images, manifest.gate.parts) == (28, 14)
    assert manifest.calibration.refused == 0
    assert "refused by the gate" in manifest.calibration.statement[0]
    assert json.loads((model_path / "manifest.json").read_text())["schema_version"] == 3
    assert "gate" in (model_path / "report.html").read_text()


def test_hosts_that_do_not_know_a_statistic_refuse_the_model(model_path: Path) -> None:
    loaded = bundle.load(model_path)
    with pytest.raises(ModelError, match=r"gate.limits.smell"):
        edited(loaded, "gate.limits.smell", [0.0, 1.0])
    with pytest.raises(ModelError, match=r"gate.limits.width"):
        edited(loaded, "gate.limits.width", [5.0, 1.0])
    with pytest.raises(ModelError, match=r"gate.coarse"):
        edited(loaded, "gate.coarse", [1.0])
    document = loaded.manifest.to_json() | {"gate": None}
    with pytest.raises(ModelError, match=r"schema 3 is newer than 1.*upgrade"):
        Manifest.from_json(document, Path("model"))


def test_images_that_are_compared_have_limits_of_light_and_focus_alone() -> None:
    """Their golden image knows what product it is, and they are aligned with it from any size."""
    scans = [fitted(picture(seed, size=90), 80 + seed, 90, 1) for seed in range(9)]
    record = learnt(GateConfig(), *_as_survey(scans), Framing(replace(RGB, channels=1)), compares=True)
    assert set(record.limits) == {"brightness", "blur", "grain"}
    gate = Gate(record, replace(RGB, channels=1))
    assert gate.objection(scans[0] // 30)
