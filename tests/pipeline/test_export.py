"""What a device gets: everything it needs, nothing else, and the same verdicts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, picture, save

from anomalib_lite.edge import bundle, selfcheck
from anomalib_lite.edge.bundle import archive
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError, ExportError, ModelError
from anomalib_lite.pipeline.bench import bench
from anomalib_lite.pipeline.export import export


@pytest.fixture(scope="module")
def zipped(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(model_path, tmp_path_factory.mktemp("export") / "part.zip").bundle.path


def test_a_device_gets_graph_manifest_and_self_check_alone(model_path: Path, zipped: Path, tmp_path: Path) -> None:
    folder = export(model_path, tmp_path / "part").bundle.path
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("selfcheck/")} == {"manifest.json", "model.onnx"}
    assert len(names) == 7
    with zipfile.ZipFile(zipped) as held:
        assert set(held.namelist()) == names
        assert all(held.read(name) == (folder / name).read_bytes() for name in names)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["exported"]["from"] == bundle.load(model_path).model_id
    assert manifest["graph_sha256"] == bundle.load(model_path).manifest.graph_sha256


def test_exporting_twice_gives_the_same_bytes(model_path: Path, zipped: Path, tmp_path: Path) -> None:
    again = export(model_path, tmp_path / "again.zip").bundle.path
    assert again.read_bytes() == zipped.read_bytes()


def test_every_command_takes_a_zip(
    zipped: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = ("--group", r"part(\d+)")
    assert call("verify", zipped) == 0
    assert "5 of 5 verdicts are the same" in capsys.readouterr().out
    assert call("predict", zipped, parts / "test/dent", "--out", tmp_path / "results") == 0
    assert call("evaluate", zipped, parts, *group) == 0
    assert call("export", zipped, "--out", tmp_path / "again.zip") == 0
    assert call("calibrate", zipped, parts / "train/good", *group) == 3  # the images it was fitted on, still known
    assert "fitted on" in capsys.readouterr().err
    out = tmp_path / "new.zip"
    assert call("calibrate", zipped, parts / "test/good", *group, "--max-false-reject", "30%", "--out", out) == 0
    assert zipfile.is_zipfile(out)
    assert call("verify", out) == 0


def test_a_zip_gives_the_verdicts_of_the_folder(model_path: Path, zipped: Path) -> None:
    folder, packed = Model(model_path), Model(zipped)
    for seed in range(6):
        one, other = (model.inspect(picture(seed, defect=seed % 2 == 0)) for model in (folder, packed))
        assert (one.score, one.verdict, one.regions) == (other.score, other.verdict, other.regions)


def test_nothing_is_overwritten_unasked(model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.zip"
    out.write_bytes(b"holiday pictures")
    for overwrite, message in ((False, "exists"), (True, "not a bundle")):
        with pytest.raises(ModelError, match=message):
            export(model_path, out, overwrite=overwrite)
    out.unlink()
    export(model_path, out)
    export(model_path, out, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["part.zip"]


def test_the_folder_at_hand_can_be_written_to(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "device").mkdir()
    monkeypatch.chdir(tmp_path / "device")
    assert call("export", model_path, "--out", ".", "--overwrite") == 0, capsys.readouterr().err
    assert Model(tmp_path / "device").model_id in capsys.readouterr().out
    for part in range(50, 60):
        save(tmp_path / f"fresh/part{part}.png", picture(100 * part))
    monkeypatch.chdir(tmp_path / "device")
    assert call("calibrate", ".", tmp_path / "fresh", "--group", r"part(\d+)") == 0, capsys.readouterr().err
    assert Model(tmp_path / "device").model_id in capsys.readouterr().out


def unzipped(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def rezipped(zipped: Path, out: Path, change: Callable[[dict[str, bytes]], Any]) -> Path:
    contents = unzipped(zipped)
    change(contents)
    out.write_bytes(archive.pack(contents))
    return out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.pop("manifest.json"), "no model bundle in this zip"),
        (lambda files: files.pop("model.onnx"), "is missing"),
        (lambda files: files.pop("selfcheck/low.png"), "is missing"),
        (lambda files: files.update({"model.onnx": files["model.onnx"] + b"\x72\x00"}), "was changed"),
        (lambda files: files.update({"manifest.json": b"{"}), "not a manifest"),
        (
            lambda files: files.update(
                {"manifest.json": files["manifest.json"].replace(b'"schema_version": 3', b'"schema_version": 4')}
            ),
            "upgrade",
        ),
    ],
)
def test_a_changed_zip_is_refused(zipped: Path, tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Model(rezipped(zipped, tmp_path / "changed.zip", change))


def test_a_zip_that_is_none_is_refused(zipped: Path, tmp_path: Path) -> None:
    for content in (b"", b"hello", zipped.read_bytes()[:-40], zipped.read_bytes()[: len(zipped.read_bytes()) // 2]):
        (tmp_path / "part.zip").write_bytes(content)
        with pytest.raises(ModelError, match="neither a model folder nor a sound zip"):
            Model(tmp_path / "part.zip")


def test_a_zip_bomb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as held,
        held.open("model.onnx", "w", force_zip64=True) as big,
    ):
        for _ in range(1025):
            big.write(bytes(2**20))
    with pytest.raises(ModelError, match="a bundle has at most"):
        Model(path)


def test_a_name_held_twice_is_refused(zipped: Path, tmp_path: Path) -> None:
    shutil.copy(zipped, tmp_path / "twice.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "a") as held, pytest.warns(UserWarning, match="Duplicate"):
        held.writestr("manifest.json", b"{}")
    with pytest.raises(ModelError, match="holds a file twice"):
        Model(tmp_path / "twice.zip")


def test_names_that_lead_out_are_never_files_of_a_bundle(model_path: Path, tmp_path: Path) -> None:
    shutil.copytree(model_path, tmp_path / "model")
    manifest = json.loads((tmp_path / "model/manifest.json").read_text())
    for name in ("../secret", "/etc/passwd", "selfcheck/../../secret"):
        (tmp_path / "model/manifest.json").write_text(
            json.dumps(manifest | {"files": manifest["files"] | {name: "00" * 32}})
        )
        with pytest.raises(ModelError, match="not a file of this bundle"):
            Model(tmp_path / "model")


def test_the_graph_of_another_bundle_is_refused(zipped: Path, parts: Path, train: Any, tmp_path: Path) -> None:
    """Two models of one detector and one signature: swapping the graphs gives no model."""
    train(parts, tmp_path / "other", {"training.seed": 5, "score.sigma": 2.0})
    foreign = (tmp_path / "other/model.onnx").read_bytes()
    with pytest.raises(ModelError, match="was changed"):
        Model(rezipped(zipped, tmp_path / "swapped.zip", lambda files: files.update({"model.onnx": foreign})))


def test_a_bundle_without_self_check_says_so(parts: Path, train: Any, tmp_path: Path, capsys: Any) -> None:
    train(parts, tmp_path / "model", {"calibration.selfcheck": "none", "gate.enabled": False})
    assert call("export", tmp_path / "model", "--out", tmp_path / "part.zip", "--source-size", "90x70") == 0
    assert call("verify", tmp_path / "part.zip") == 4
    assert "carries no self-check images" in capsys.readouterr().err


def test_an_unwritable_target_is_said(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ModelError, match="cannot be written"):
        export(model_path, tmp_path / "file/part.zip")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(ModelError, match="cannot be written"):
            export(model_path, tmp_path / "locked/part.zip")


@pytest.fixture(scope="module")
def camera(ungated_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """An export for a camera of 130 x 100 pixels."""
    return Model(export(ungated_path, tmp_path_factory.mktemp("camera") / "part.zip", source_size=(100, 130)).bundle)


def test_a_camera_export_takes_its_images_and_gives_the_same_scores(ungated_path: Path, camera: Model) -> None:
    calibrated = Model(ungated_path)
    for seed in range(8):
        pixels = np.ascontiguousarray(picture(seed, defect=seed % 2 == 0, size=130)[:100])
        one, other = camera.inspect(pixels), calibrated.inspect(pixels)
        assert one.verdict is other.verdict
        assert one.score == pytest.approx(other.score, rel=1e-6)
        assert one.regions == other.regions
    assert {one.verdict for one in selfcheck.replay(camera)} == {Verdict.OK, Verdict.NG}
    assert not any(one.flipped for one in selfcheck.replay(camera))


def test_a_camera_export_refuses_other_sizes(camera: Model) -> None:
    result = camera.inspect(picture(1))
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "wrong_size")
    assert "130 x 100" in str(result.error)


def test_no_export_is_made_for_a_camera_of_which_the_gate_lets_no_image_pass(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"100x130: .* no image of that height .* 41 to 56.*gate.enabled=false"):
        export(model_path, tmp_path / "x.zip", source_size=(100, 130))
    assert not (tmp_path / "x.zip").exists()
    near = Model(export(model_path, tmp_path / "near.zip", source_size=(44, 54)).bundle)
    assert not any(one.flipped for one in selfcheck.replay(near))


def test_a_camera_export_keeps_the_region_of_interest(parts: Path, train: Any, tmp_path: Path) -> None:
    mask = np.ones((48, 48, 1), np.uint8)
    mask[:, :24] = 0
    roi = save(tmp_path / "roi.png", mask * 255)
    train(parts, tmp_path / "model", {"image.roi": str(roi), "gate.enabled": False})
    calibrated = Model(tmp_path / "model")
    here = Model(export(tmp_path / "model", tmp_path / "part.zip", source_size=(96, 144)).bundle)
    pixels = np.full((96, 144, 1), 120, np.uint8)
    one, other = here.inspect(pixels), calibrated.inspect(pixels)
    assert (one.score, one.verdict, one.regions) == (other.score, other.verdict, other.regions)


@pytest.mark.parametrize(
    ("size", "message"), [("100", "HEIGHTxWIDTH"), ("0x5", "HEIGHTxWIDTH"), ("axb", "HEIGHTxWIDTH"), ("-1x5", "HEIGHT")]
)
def test_sizes_that_make_no_sense_are_usage_errors(
    model_path: Path, tmp_path: Path, size: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("export", model_path, "--out", tmp_path / "x.zip", f"--source-size={size}") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()


def test_only_a_stretching_model_can_embed_its_resize(parts: Path, train: Any, camera: Model, tmp_path: Path) -> None:
    train(parts, tmp_path / "tiles", {"image.mode": "tile", "image.overlap": 8}, detector="contrast")
    with pytest.raises(ConfigError, match="mode=tile"):
        export(tmp_path / "tiles", tmp_path / "x.zip", source_size=(100, 100))
    with pytest.raises(ConfigError, match="already"):
        export(camera.bundle.path, tmp_path / "x.zip", source_size=(100, 100))


def test_a_resize_that_changes_scores_is_not_exported(
    ungated_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anomalib_lite.graph import resize

    nearest = resize.weights

    def shifted(source: int, target: int) -> Any:
        return np.roll(nearest(source, target), 1, axis=0)

    monkeypatch.setattr(resize, "weights", shifted)
    with pytest.raises(ExportError, match="Nothing was written"):
        export(ungated_path, tmp_path / "x.zip", source_size=(100, 100))
    assert not (tmp_path / "x.zip").exists()


def test_without_self_check_rendered_images_are_compared(
    parts: Path, train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anomalib_lite.graph import resize

    train(parts, tmp_path / "model", {"calibration.selfcheck": "none", "gate.enabled": False})
    done = export(tmp_path / "model", tmp_path / "part.zip", source_size=(100, 130))
    assert "of the score of a rendered image" in done.notes[0]
    assert done.bundle.manifest.selfcheck == ()
    nearest = resize.weights
    monkeypatch.setattr(resize, "weights", lambda *sizes: np.roll(nearest(*sizes), 1, axis=0))
    with pytest.raises(ExportError, match=r"rendered image 1: .* Nothing was written"):
        export(tmp_path / "model", tmp_path / "x.zip", source_size=(100, 130))
    assert not (tmp_path / "x.zip").exists()


def test_golden_images_travel_with_the_model(parts: Path, train: Any, tmp_path: Path) -> None:
    golden = sorted((parts / "train/good").iterdir())[0]
    train(parts, tmp_path / "model", detector="difference", golden=[golden])
    path = export(tmp_path / "model", tmp_path / "part.zip").bundle.path
    assert unzipped(path)[f"reference/{golden.name}"] == golden.read_bytes()
    model = Model(path)
    assert not any(one.flipped or one.score is None for one in selfcheck.replay(model))
    for image in (parts / "test").rglob("*.png"):
        assert model.inspect(image).score == Model(tmp_path / "model").inspect(image).score
    assert set(bench(path, [], runs=2, threads=[1])["threads"]) == {"1"}
    tried = export(tmp_path / "model", tmp_path / "int8.zip", int8=parts, group=r"part(\d+)")
    assert not any(one.flipped or one.score is None for one in selfcheck.replay(Model(tried.bundle.path)))
    with pytest.raises(ModelError, match="is missing"):
        Model(rezipped(path, tmp_path / "without.zip", lambda files: files.pop(f"reference/{golden.name}")))


def test_a_model_that_compares_needs_its_golden_images(parts: Path, train: Any, tmp_path: Path) -> None:
    """A bundle without them is refused; an image without one is an ERROR, never OK."""
    good = sorted((parts / "train/good").iterdir())
    table = tmp_path / "pairs.csv"
    table.write_text("image,reference,group\n" + "".join(f"{one},{good[0]},{one.stem[:6]}\n" for one in good))
    train(table, tmp_path / "model", detector="difference", group=None)
    path = export(tmp_path / "model", tmp_path / "part.zip").bundle.path
    golden = next(name for name in unzipped(path) if "reference-" in name)
    with pytest.raises(ModelError, match="is missing"):
        Model(rezipped(path, tmp_path / "without.zip", lambda files: files.pop(golden)))
    model = Model(path)
    assert not any(one.flipped for one in selfcheck.replay(model))
    result = model.inspect(good[1])
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "missing")
    with pytest.raises(ConfigError, match="golden image"):
        export(path, tmp_path / "x.zip", source_size=(100, 100))


def test_the_export_of_an_export_is_the_same_model(zipped: Path, tmp_path: Path) -> None:
    again = export(zipped, tmp_path / "again.zip").bundle
    first = bundle.load(zipped)
    assert again.graph != first.graph  # its metadata name where it comes from
    assert again.manifest.graph_sha256 == first.manifest.graph_sha256
    assert replace(again, path=zipped).manifest.calibration == first.manifest.calibration


def test_nothing_is_reported_to_the_makers_of_the_runtime(model_path: Path, tmp_path: Path) -> None:
    """onnxruntime 1.31 writes an identifier and a queue of events into the home folder, and sends them where it can."""
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "ORT_DISABLE_TELEMETRY")}
    (tmp_path / "home").mkdir()
    subprocess.run(
        [sys.executable, "-m", "anomalib_lite", "verify", model_path],
        env=environment | {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")},
        check=True,
        capture_output=True,
    )
    assert not any("nnxruntime" in path.as_posix() for path in (tmp_path / "home").rglob("*"))
