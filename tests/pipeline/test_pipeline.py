"""Training to verdict through the public functions, and the mistakes that must not cost anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture, recalibrate, save
from gauss import Gauss
from PIL import Image

from anomalib_lite.calibration import Exclusion
from anomalib_lite.edge import bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.golden.goldens import Goldens
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.errors import ConfigError, DataError, ModelError, ParityFailed, PluginError
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.saving import Heatmaps
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training import partial
from anomalib_lite.training.request import Request

Train = Callable[..., Trained]


def test_a_bundle_holds_what_the_design_names(model_path: Path) -> None:
    names = {path.name for path in model_path.iterdir()}
    assert {"model.onnx", "manifest.json", "weights.safetensors", "selfcheck", "report.html", "training.csv"} == names
    manifest = json.loads((model_path / "manifest.json").read_text())
    assert manifest["calibration"]["n"] == 6  # 30 % of 20 parts
    assert len(manifest["data"]["fit"]) == 28
    assert manifest["config"]["score"]["sigma"] == 1.0  # what the detector prefers
    assert bundle.metadata((model_path / "model.onnx").read_bytes()) == {
        key: value for key, value in manifest.items() if key not in ("files", "created", "evidence")
    }


def test_the_certified_threshold_is_what_the_device_compares_with(model_path: Path, parts: Path) -> None:
    model = Model(model_path)
    calibration = model.bundle.manifest.calibration
    reject = calibration.reject
    assert reject.value == pytest.approx(max(calibration.scores) + reject.tol)
    setter = model.inspect(parts / reject.set_by[0])
    assert setter.score == pytest.approx(reject.base)
    assert setter.verdict is Verdict.OK
    assert setter.regions == ()


def test_defects_are_found_where_they_are(model_path: Path, parts: Path) -> None:
    model = Model(model_path)
    for path in sorted((parts / "test" / "dent").iterdir()):
        result = model.inspect(path)
        assert result.verdict is Verdict.NG
        mask = np.array(picture(100 * int(path.name[4:6]), defect=True))[..., 0] < 30
        rows, columns = np.nonzero(mask)
        region = result.regions[0]
        assert region.x <= columns.mean() <= region.x + region.width
        assert region.y <= rows.mean() <= region.y + region.height


def test_predict_counts_everything_and_writes_every_row(model_path: Path, parts: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    shutil.copytree(parts / "test", inputs)
    (inputs / "broken.png").write_bytes(b"not an image")
    (inputs / "empty.png").write_bytes(b"")
    done = predict(
        Model(model_path),
        [inputs / "good", inputs / "dent", inputs / "broken.png", inputs / "empty.png"],
        out=tmp_path / "out",
        heatmaps=Heatmaps.ALL,
    )
    assert done.counts == {Verdict.OK: 10, Verdict.REVIEW: 0, Verdict.NG: 5, Verdict.ERROR: 2}
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert len(rows) == 17
    assert {row["error_code"] for row in rows if row["verdict"] == "ERROR"} == {"unreadable", "empty"}
    assert len((tmp_path / "out/results.csv").read_text().splitlines()) == 18
    assert len(list((tmp_path / "out/heatmaps").rglob("*.png"))) == 15
    assert (tmp_path / "out/report.html").is_file()


def test_predict_finds_golden_images_by_the_name_within_the_input(
    model_path: Path, parts: Path, tmp_path: Path
) -> None:
    """A folder above the images, which another golden image's name is part of, chooses none."""
    image = tmp_path / "design9/line/part_design1.png"
    image.parent.mkdir(parents=True)
    shutil.copy(parts / "test/good/part20_0.png", image)
    model = Model(model_path)
    goldens = Goldens({f"design{one}.png": image.read_bytes() for one in (1, 2)}, r"design(\d)")
    model.intake = replace(model.intake, goldens=goldens, compares=True)
    seen: list[Result] = []
    for given in (tmp_path / "design9", image):
        predict(model, [given], each=seen.append)
    assert [one.verdict for one in seen] == [Verdict.OK, Verdict.OK], seen
    assert [one.image for one in seen] == [str(image), str(image)]


def test_evaluate_reports_the_metrics_of_every_kind(model_path: Path, parts: Path, tmp_path: Path) -> None:
    done = evaluate(Model(model_path), parts, out=tmp_path, group=r"part(\d+)")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["image_auroc"] == 1.0
    assert set(metrics["per_kind"]) == {"dent", "hole"}
    assert metrics["false_reject_rate"]["n"] == 10
    assert metrics["escape_rate"]["parts_any"]["count"] == 0
    manifest = Model(model_path).bundle.manifest
    assert metrics["model_id"] == Model(model_path).model_id
    assert metrics["thresholds"]["reject"] == manifest.calibration.reject.value
    assert metrics["bound"]["reject"] == manifest.calibration.reject.bound
    assert metrics["bound"]["statement"] == list(manifest.calibration.statement)
    assert metrics["warnings"] == metrics["notes"] == []
    assert done.verdicts["all"]["NG"] == 10
    assert not done.notes


def test_evaluate_says_when_it_tests_on_what_was_fitted(model_path: Path, parts: Path, tmp_path: Path) -> None:
    table = tmp_path / "samples.csv"
    fitted = sorted((parts / "train/good").iterdir())
    table.write_text("image,label\n" + "".join(f"{path},good\n" for path in fitted))
    done = evaluate(Model(model_path), table)
    assert any("28 of 40 images were fitted on" in note for note in done.notes)
    assert any(one.startswith("28 of 40 images were fitted on") for one in done.metrics["warnings"])


def test_evaluate_says_when_it_tests_on_what_set_the_thresholds(model_path: Path, parts: Path, tmp_path: Path) -> None:
    """Few of them are rejected whatever the model is worth: after the training, and after another calibration."""
    group = r"part(\d+)"
    again = tmp_path / "model"
    recalibrate(model_path, parts / "test/good", out=again, group=group)
    for path, count, data in ((model_path, 12, parts / "train/good"), (again, 10, parts / "test/good")):
        table = tmp_path / "samples.csv"
        table.write_text("image,label\n" + "".join(f"{one},good\n" for one in sorted(data.iterdir())))
        notes = evaluate(Model(path), table).notes
        assert any(f"{count} of {len(list(data.iterdir()))} images set the thresholds" in note for note in notes)
        assert any("give --group" in note for note in notes)
    assert not evaluate(Model(model_path), parts, group=group).notes


def test_pictures_that_cannot_be_written_stop_with_whole_rows(model_path: Path, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/heatmaps").touch()
    with pytest.raises(DataError, match=r"cannot be written.*another --out"):
        predict(Model(model_path), [parts / "test/good"], out=tmp_path / "out", heatmaps=Heatmaps.ALL)
    assert (tmp_path / "out/results.csv").read_text().count("\n") == 2  # the header, and the row of the first image


def test_results_are_never_written_into_a_model(model_path: Path, parts: Path) -> None:
    before = sorted(model_path.iterdir())
    with pytest.raises(DataError, match=r"holds a model.*another --out"):
        predict(Model(model_path), [parts / "test/good"], out=model_path)
    with pytest.raises(DataError, match=r"holds a model.*another --out"):
        evaluate(Model(model_path), parts, out=model_path)
    assert sorted(model_path.iterdir()) == before
    Model(model_path)


def test_calibrate_changes_thresholds_and_nothing_else(model_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model_path, copy)
    for part in range(50, 90):
        save(tmp_path / f"fresh/part{part}.png", picture(100 * part))
    done = recalibrate(copy, tmp_path / "fresh", group=r"part(\d+)", max_false_reject=0.1)
    before, after = Model(model_path), Model(copy)
    assert done.calibration.n == 40
    assert done.calibration.reject.bound == 0.1
    assert after.bundle.manifest.graph_sha256 == before.bundle.manifest.graph_sha256
    assert after.model_id != before.model_id
    assert len(after.bundle.manifest.calibration.history) == 1
    assert all(not one.flipped for one in replay(after))
    assert not copy.with_name("model.old").exists()
    assert "At most 10 % of good parts are rejected" in (copy / "report.html").read_text()


def test_calibrate_records_what_is_excluded(model_path: Path, tmp_path: Path) -> None:
    for part in range(50, 60):
        save(tmp_path / f"fresh/part{part}.png", picture(100 * part, defect=part == 55))
    copy = tmp_path / "model"
    group = r"part(\d+)"
    with_defect = recalibrate(model_path, tmp_path / "fresh", out=copy, group=group)
    assert with_defect.calibration.reject.set_by == ("part55.png",)
    without = recalibrate(
        model_path,
        tmp_path / "fresh",
        out=copy,
        overwrite=True,
        exclusions=[Exclusion("part55.png", "a hole")],
        group=group,
    )
    assert without.calibration.reject.value == pytest.approx(with_defect.calibration.reject.without)
    assert "confirmed not good" in " ".join(without.calibration.statement)


def test_calibrating_on_what_was_fitted_is_refused(model_path: Path, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="was fitted on this"):
        recalibrate(model_path, parts, out=tmp_path / "model", group=r"part(\d+)")
    fitted = set(Model(model_path).bundle.manifest.data.fit.values())
    save(tmp_path / f"again/part{min(fitted)}_7.png", picture(7))  # a new photograph of a part that was fitted
    with pytest.raises(DataError, match="part"):
        recalibrate(model_path, tmp_path / "again", out=tmp_path / "model", group=r"part(\d+)")
    assert not (tmp_path / "model").exists()


def test_calibrating_without_the_parts_that_the_training_knew_is_refused(
    model_path: Path, parts: Path, tmp_path: Path
) -> None:
    """Otherwise new photographs of a part that was fitted would pass as independent of it."""
    with pytest.raises(DataError, match=r"trained with known parts.*--group"):
        recalibrate(model_path, parts / "test/good", out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_calibrating_on_copies_is_refused(model_path: Path, tmp_path: Path) -> None:
    for part in (50, 51):
        save(tmp_path / f"fresh/part{part}.png", picture(100 * part))
        shutil.copy(tmp_path / f"fresh/part{part}.png", tmp_path / f"fresh/part{part}_again.png")
    group = r"part(\d+)"
    same_part = recalibrate(model_path, tmp_path / "fresh", out=tmp_path / "model", group=group)
    assert same_part.calibration.n == 2  # a part counts once, however often its image is there
    shutil.copy(tmp_path / "fresh/part50.png", tmp_path / "fresh/part52.png")
    with pytest.raises(DataError, match=r"part52\.png is a copy of part50\.png"):
        recalibrate(model_path, tmp_path / "fresh", out=tmp_path / "other", group=group)
    assert not (tmp_path / "other").exists()


def test_the_same_training_gives_the_same_graph(train: Train, parts: Path, model_path: Path, tmp_path: Path) -> None:
    train(parts, tmp_path / "again")
    assert bundle.load(tmp_path / "again").manifest.graph_sha256 == bundle.load(model_path).manifest.graph_sha256


def test_a_defect_in_the_training_split_is_named(train: Train, parts: Path, tmp_path: Path) -> None:
    table = tmp_path / "samples.csv"
    rows = [f"{path},good,train\n" for path in sorted((parts / "train/good").iterdir())[:9]]
    table.write_text("image,label,split\n" + "".join(rows) + f"{parts / 'test/dent/part30_0.png'},dent,train\n")
    with pytest.raises(DataError, match=r"part30_0\.png \(dent\)"):
        train(table, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_existing_model_is_kept(train: Train, parts: Path, model_path: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in model_path.rglob("*")}
    with pytest.raises(ModelError, match="--overwrite"):
        train(parts, model_path)
    assert {path: path.stat().st_mtime_ns for path in model_path.rglob("*")} == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="not a bundle"):
        train(parts, tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_model_that_is_not_a_number_is_never_written(train: Train, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(ParityFailed, match="Nothing was written"):
        train(parts, tmp_path / "model", detector="broken")
    assert not (tmp_path / "model").exists()


def test_mixed_images_are_refused_unless_channels_are_set(train: Train, parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "train/good", tmp_path / "mixed")
    save(tmp_path / "mixed/part98_0.png", picture(1, channels=3))
    with pytest.raises(DataError, match=r"image\.channels"):
        train(tmp_path / "mixed", tmp_path / "model")
    train(tmp_path / "mixed", tmp_path / "model", {"image.channels": 1})
    assert Model(tmp_path / "model").inspect(picture(1, channels=3)).verdict is Verdict.OK
    save(tmp_path / "mixed/part99_0.png", picture(1).astype(np.uint16) * 200)
    with pytest.raises(DataError, match="bit depths are mixed"):
        train(tmp_path / "mixed", tmp_path / "other", {"image.channels": 1})


def test_unreadable_training_images_are_listed_and_left_out(train: Train, parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "train/good", tmp_path / "some")
    whole = (tmp_path / "some/part03_0.png").read_bytes()
    (tmp_path / "some/part03_0.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "some/part04_0.png").write_bytes(b"")
    trained = train(tmp_path / "some", tmp_path / "model")
    listed = dict(trained.bundle.manifest.data.unreadable)
    assert set(listed) == {"part03_0.png", "part04_0.png"}
    measured = trained.calibration.images + len(trained.bundle.manifest.data.fit)
    assert measured + len(listed) == 40


def test_unknown_options_are_named_with_the_nearest(train: Train, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'sigma'"):
        train(parts, tmp_path / "model", settings=["score.sigmma=2"])
    with pytest.raises(ConfigError, match=r"options of 'gauss'.*Did you mean 'floor'.*plugins show gauss"):
        train(parts, tmp_path / "model", settings=["options.flor=2"])
    with pytest.raises(PluginError, match="Did you mean 'gauss'"):
        train(parts, tmp_path / "model", detector="guass")


def test_a_map_of_the_place_is_never_tiled(train: Train, parts: Path, tmp_path: Path) -> None:
    tiles = {"image.mode": "tile", "image.overlap": 8}
    with pytest.raises(ConfigError, match="'placed' depends on the place"):
        train(parts, tmp_path / "model", tiles, detector="placed")
    with pytest.raises(ConfigError, match="'aligned' with these options depends on the place"):
        train(parts, tmp_path / "model", tiles, detector="aligned")
    train(parts, tmp_path / "model", tiles, detector="aligned", settings=["options.aligned=false"])


def test_an_interrupted_training_is_not_trampled_on(train: Train, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "model.partial").mkdir()
    with pytest.raises(ConfigError, match="--resume"):
        train(parts, tmp_path / "model")
    train(parts, tmp_path / "model", overwrite=True)
    assert not (tmp_path / "model.partial").exists()


def test_a_running_training_is_not_an_interrupted_one(
    train: Train, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is its folder taken away, nor does a second one write the same model in the end."""
    refused: list[str] = []
    fit = Gauss.fit

    def meanwhile(self: Gauss, *given: Any) -> None:
        for option in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(ConfigError, match=r"model\.partial: a training is at work there.*Wait for it") as error:
                train(parts, tmp_path / "model", **option)
            refused.append(str(error.value))
        fit(self, *given)

    monkeypatch.setattr(Gauss, "fit", meanwhile)
    train(parts, tmp_path / "model")
    assert len(refused) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_that_another_training_wrote_meanwhile_costs_no_fit(
    train: Train, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both began when there was none."""
    entered = partial.entered

    def late(plan: Any) -> Any:
        monkeypatch.undo()
        train(parts, tmp_path / "model")
        monkeypatch.setattr(Gauss, "fit", lambda *_: pytest.fail("it is fitted in vain"))
        return entered(plan)

    monkeypatch.setattr(partial, "entered", late)
    with pytest.raises(ModelError, match="exists"):
        train(parts, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("theirs", ["notes.txt", "fit/notes.txt", "mine/fit/training.csv", "fold-1/deep/er"])
def test_what_is_of_no_training_is_not_removed(theirs: str, train: Train, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(ParityFailed):
        train(parts, tmp_path / "model", detector="broken")
    mine = tmp_path / "model.partial" / theirs
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=f"holds what no training wrote, as {theirs}, so nothing removes it"):
        train(parts, tmp_path / "model", overwrite=True)
    with pytest.raises(ConfigError, match="another"):
        train(parts, tmp_path / "model", resume=True)
    assert mine.read_text() == "mine"


def test_a_file_in_the_place_of_checkpoints_is_left_alone(train: Train, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "model.partial").write_text("mine")
    with pytest.raises(ConfigError, match=r"model\.partial is no folder"):
        train(parts, tmp_path / "model", overwrite=True)
    assert (tmp_path / "model.partial").read_text() == "mine"


def test_a_training_that_fails_before_its_first_checkpoint_leaves_nothing(
    train: Train, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Gauss.fit
    monkeypatch.setattr(Gauss, "fit", None)
    with pytest.raises(TypeError):
        train(parts, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Gauss, "fit", fit)
    train(parts, tmp_path / "model")  # neither --resume nor --overwrite is asked for


def test_a_place_that_cannot_be_written_is_refused(train: Train, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be written.*choose another --out"):
        train(parts, tmp_path / "file/model")


def test_resuming_what_is_not_there_starts_and_says_so(parts: Path, tmp_path: Path) -> None:
    said: list[str] = []
    request = Request(
        detector="gauss",
        data=parts,
        out=tmp_path / "model",
        overrides={"image.height": 32, "image.width": 32},
        resume=True,
    )
    assert run_training(request, say=said.append)
    assert any("nothing to resume" in line and "model.partial" in line for line in said)


def test_resuming_with_other_settings_is_refused(train: Train, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(ParityFailed):
        train(parts, tmp_path / "model", detector="broken")  # leaves model.partial
    with pytest.raises(ConfigError, match="another configuration"):
        train(parts, tmp_path / "model", {"training.seed": 5}, detector="broken", resume=True)


@pytest.mark.parametrize("kind", ["rendered", "none"])
def test_selfcheck_images_need_not_travel(train: Train, parts: Path, tmp_path: Path, kind: str) -> None:
    train(parts, tmp_path / "model", {"calibration.selfcheck": kind})
    model = Model(tmp_path / "model")
    if kind == "none":
        with pytest.raises(ModelError, match="no self-check images"):
            replay(model)
    else:
        assert len(replay(model)) == 5
        assert not any(one.flipped for one in replay(model))


@pytest.mark.parametrize("kind", ["images", "rendered"])
def test_a_model_that_compares_carries_its_golden_images(train: Train, parts: Path, tmp_path: Path, kind: str) -> None:
    goldens = [save(tmp_path / f"golden{number}.png", picture(number)).name for number in range(2)]

    def pairs(folder: str) -> Path:
        images = sorted((parts / folder).iterdir())
        table = tmp_path / f"{folder.replace('/', '_')}.csv"
        rows = [f"{image},{goldens[number % 2]}" for number, image in enumerate(images)]
        table.write_text("\n".join(["image,reference", *rows]))
        return table

    # by photograph the draw would go by their names, which say where the tests lie
    settings = {"calibration.selfcheck": kind, "calibration.per": "part"}
    train(pairs("train/good"), tmp_path / "model", settings, detector="difference")
    model = Model(tmp_path / "model")
    assert len(replay(model)) == 5
    assert not any(one.flipped or one.score is None for one in replay(model))
    carried = {path.name for path in (tmp_path / "model/selfcheck").glob("reference-*")}
    assert len(carried) == (2 if kind == "images" else 1)
    bad = save(tmp_path / "bad.png", picture(1, defect=True))
    assert model.inspect(bad, reference=tmp_path / goldens[1]).verdict is Verdict.NG
    recalibrate(tmp_path / "model", pairs("test/good"), out=tmp_path / "again", group=r"part(\d+)")
    assert not any(one.flipped or one.score is None for one in replay(Model(tmp_path / "again")))


def test_a_region_of_interest_hides_defects_outside_of_it(train: Train, parts: Path, tmp_path: Path) -> None:
    inside = np.zeros((24, 24), np.uint8)  # another size than the images: stretched over them
    inside[:, :12] = 255
    save(tmp_path / "roi.png", inside)
    train(parts, tmp_path / "model", {"image.roi": str(tmp_path / "roi.png")})
    model = Model(tmp_path / "model")
    left, right = picture(5), picture(5)
    left[20:28, 6:14] = 0
    right[20:28, 34:42] = 0
    assert model.inspect(left).verdict is Verdict.NG
    assert model.inspect(right).verdict is Verdict.OK


@pytest.mark.slow
def test_training_twice_gives_the_same_graph_byte_for_byte(
    inpainting_words: list[str], inpainting_path: Path, tmp_path: Path
) -> None:
    """In two processes, seconds apart, under other names: no time, path or chance in the file."""
    import os
    import subprocess
    import sys

    command = [sys.executable, "-m", "anomalib_lite", *inpainting_words, "--out", str(tmp_path / "other")]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    one, other = ((path / "model.onnx").read_bytes() for path in (inpainting_path, tmp_path / "other"))
    assert one == other


def test_copies_never_count_as_parts_of_their_own(train: Train, parts: Path, tmp_path: Path) -> None:
    """Eight pictures copied twenty times would certify what only 160 parts can carry."""
    for number, one in enumerate(sorted((parts / "train/good").iterdir())[:8]):
        for copy in range(20):
            save(tmp_path / f"copies/{copy}-{number}.png", np.asarray(Image.open(one)))
    with pytest.raises(DataError, match="copied byte by byte"):
        train(tmp_path / "copies", tmp_path / "model", group=None)


def test_a_golden_image_is_no_good_part_to_calibrate_on(train: Train, parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "train/good", tmp_path / "good")
    golden = shutil.copy(tmp_path / "good/part03_0.png", tmp_path / "golden.png")
    trained = train(tmp_path / "good", tmp_path / "model", detector="difference", golden=[Path(golden)])
    data = trained.bundle.manifest.data
    assert len(data.fit) + len(data.calibrated) == 39
    assert min(trained.bundle.manifest.calibration.scores) > 0
    with pytest.raises(DataError, match="all images are golden ones"):
        train(tmp_path / "good", tmp_path / "b", detector="difference", golden=sorted((tmp_path / "good").iterdir()))


def test_resuming_with_other_images_of_the_same_names_is_refused(train: Train, parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "train/good", tmp_path / "good")
    with pytest.raises(ParityFailed):
        train(tmp_path / "good", tmp_path / "model", detector="broken")  # leaves model.partial
    for part in range(20):
        for shot in range(2):
            save(tmp_path / f"good/part{part:02}_{shot}.png", picture(7000 + 100 * part + shot))
    with pytest.raises(ConfigError, match="another set of images"):
        train(tmp_path / "good", tmp_path / "model", detector="broken", resume=True)
    (tmp_path / "model.partial" / partial.ASKED).write_text("{")
    with pytest.raises(ConfigError, match=r"damaged.*--overwrite"):
        train(tmp_path / "good", tmp_path / "model", detector="broken", resume=True)


def test_what_is_marked_for_calibration_is_never_fitted(train: Train, parts: Path, tmp_path: Path) -> None:
    def table(names: list[Path], marked: list[Path]) -> Path:
        rows = [f"{one},{one.stem[:6]},{'calibrate' if one in marked else 'train'}" for one in names]
        (tmp_path / "samples.csv").write_text("\n".join(["image,group,split", *rows]))
        return tmp_path / "samples.csv"

    good = sorted((parts / "train/good").iterdir())
    with pytest.raises(ConfigError, match=r"4 images marked split=calibrate.*leave --crossfit out"):
        train(table(good, good[-4:]), tmp_path / "model", {"calibration.crossfit": 2}, group=None)
    broken = [tmp_path / f"part9{number}.png" for number in range(2)]
    for one in broken:
        one.write_bytes(b"")
    with pytest.raises(DataError, match="none of 2 images marked split=calibrate can be used"):
        train(table([*good, *broken], broken), tmp_path / "model", group=None)


def test_an_excluded_image_is_nowhere_counted_as_good(model_path: Path, tmp_path: Path) -> None:
    for part in range(50, 60):
        save(tmp_path / f"fresh/part{part}.png", picture(100 * part, defect=part == 55))
    done = recalibrate(
        model_path,
        tmp_path / "fresh",
        out=tmp_path / "model",
        exclusions=[Exclusion("part55.png", "a hole")],
        group=r"part(\d+)",
    )
    assert len(done.bundle.manifest.data.calibrated) == 9
    report = (tmp_path / "model/report.html").read_text()
    assert "0 of 9" in report
    assert "of 10 " not in report


def test_pictures_stay_in_their_folder(
    model_path: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(parts / "test/hole", tmp_path / "images")
    save(tmp_path / "deep/here/one.png", picture(1))
    monkeypatch.chdir(tmp_path / "deep/here")
    predict(Model(model_path), [Path("../../images"), Path("one.png")], out=Path("out"), heatmaps=Heatmaps.ALL)
    assert len(list(Path("out/heatmaps").rglob("*.png"))) == 6
    assert len(list((tmp_path / "images").iterdir())) == 5


def test_other_photographs_of_parts_that_set_the_thresholds_are_named(model_path: Path, tmp_path: Path) -> None:
    calibrated = set(Model(model_path).bundle.manifest.data.calibrated.values())
    part = min(calibrated)
    save(tmp_path / f"test/good/part{part}_9.png", picture(1234))
    save(tmp_path / "test/hole/part90_0.png", picture(1235, defect=True))
    notes = evaluate(Model(model_path), tmp_path, group=r"part(\d+)").notes
    assert f"warning: other photographs of parts that set the thresholds are tested: {part}" in notes


def test_metrics_that_cannot_be_written_are_no_bug(model_path: Path, parts: Path, tmp_path: Path) -> None:
    evaluate(Model(model_path), parts, out=tmp_path)
    (tmp_path / "metrics.json").unlink()
    (tmp_path / "metrics.json").mkdir()
    with pytest.raises(DataError, match=r"metrics\.json: .*cannot be removed"):
        evaluate(Model(model_path), parts, out=tmp_path, overwrite=True)


def test_a_disk_that_is_full_at_the_metrics_is_no_bug(
    model_path: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        if path.name == "metrics.json":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("anomalib_lite.edge.disk.write", full)
    with pytest.raises(DataError, match=r"metrics\.json: cannot be written \(No space"):
        evaluate(Model(model_path), parts, out=tmp_path)


def test_a_graph_that_disagrees_costs_no_fit(
    train: Train, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learnt is kept; the message says how far, of what and on which image; after the mend it goes on."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParityFailed, match=r"of the range of the (score|anomaly map)s, on train/good/part.*--resume"):
        train(parts, tmp_path / "model", detector="drifting")
    assert not (tmp_path / "model").exists()
    assert list((tmp_path / "model.partial").rglob("fit.ckpt"))
    Path("mended").touch()
    fit = Gauss.fit
    monkeypatch.setattr(Gauss, "fit", lambda *_: pytest.fail("it is fitted again"))
    train(parts, tmp_path / "model", detector="drifting", resume=True)
    assert not (tmp_path / "model.partial").exists()
    monkeypatch.setattr(Gauss, "fit", fit)
    train(parts, tmp_path / "other", detector="drifting")
    assert Model(tmp_path / "model").thresholds == Model(tmp_path / "other").thresholds
