"""A made-up file type, through every command and on the device: one plugin reads it, nothing else knows it."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from conftest import picture, recalibrate, save
from packages import run, write_package

from anomalib_lite import api, registry
from anomalib_lite.cli import main
from anomalib_lite.data import find
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.errors import DataError, ModelError
from anomalib_lite.pipeline.train import Trained

HOOK = """
    from anomalib_lite.hookspecs import ReaderInfo, hookimpl

    @hookimpl
    def register_readers():
        return [ReaderInfo(suffixes=(".acme", ".raw.acme"), target="{module}.reading:read")]
"""
READING = """
    import struct
    import numpy as np

    def read(file):
        head = file.read(8)
        if head[:4] != b"ACME":
            raise ValueError("not a file of an Acme camera")
        height, width = struct.unpack("<HH", head[4:])
        if height * width > 10_000_000:
            raise ValueError("larger than any Acme camera")
        pixels = np.frombuffer(file.read(2 * height * width), "<u2")
        return pixels.reshape(height, width, 1)
"""
GROUP = ["--group", r"part(\d+)"]
SIZE = {"image.height": 48, "image.width": 48, "image.white": 4095}
KNOWN = [{"suffix": ".acme", "package": "acme-reader", "version": "1.2"}]


def acme(path: Path, pixels: np.ndarray) -> Path:
    """A file of the Acme camera: a header, and 12 bits in 16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = pixels[..., 0].astype("<u2") * 16
    path.write_bytes(b"ACME" + struct.pack("<HH", *values.shape) + values.tobytes())
    return path


def call(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_package(folder, "acme-reader", HOOK, version="1.2", modules={"reading": READING})
    return folder


@pytest.fixture(scope="module", autouse=True)
def reader_is_installed(site: Path) -> Iterator[None]:
    """For this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        yield
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MVTec layout in files of the Acme camera; masks are of either type."""
    root = tmp_path_factory.mktemp("acme") / "scans"
    for part in range(20):
        acme(root / f"train/good/part{part:02}.ACME", picture(100 * part))
    for part in range(20, 26):
        acme(root / f"test/good/part{part:02}.acme", picture(100 * part))
    for part in range(30, 36):
        pixels = picture(100 * part, defect=True)
        acme(root / f"test/dent/part{part:02}.acme", pixels)
        mask = (pixels < 30).astype(np.uint8) * 255
        write = acme if part % 2 else save
        write(root / f"ground_truth/dent/part{part:02}_mask{'.acme' if part % 2 else '.png'}", mask)
    (root / "notes.txt").write_text("of the Acme camera")
    return root


@pytest.fixture(scope="module")
def trained(train: Callable[..., Trained], scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "acme"
    train(scans, out, SIZE)
    return out


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where the reader is not installed."""
    monkeypatch.setenv(registry.PLUGINS_VARIABLE, "gauss")


# ---- with the reader


def test_data_check_knows_the_files(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("data", "check", scans) == 0
    said = capsys.readouterr().out
    assert "32 images = 32 usable + 0 unreadable" in said
    assert "pixels: 16-bit grey 32" in said
    assert "test: dent 6, 6 masks" in said
    assert "1 file passed over, no images: .txt 1" in said
    assert "image.white" in said  # 12 bits in 16


def test_the_manifest_names_suffix_and_package_and_nothing_to_import(trained: Path) -> None:
    text = (trained / "manifest.json").read_text()
    assert json.loads(text)["readers"] == KNOWN
    assert "acme_reader" not in text
    assert "reading" not in text


def test_from_files_to_verdicts(trained: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert call("predict", trained, scans / "test", "--json", "--out", out, "--heatmaps") == 0
    rows = {Path(row["image"]): row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert len(rows) == 12
    for path, row in rows.items():
        assert row["verdict"] == ("NG" if "dent" in path.parts else "OK")
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(list((out / "heatmaps").rglob("*.png"))) == 12
    assert "data:image/webp" in (out / "report.html").read_text()


def test_evaluate_reads_images_and_masks(trained: Path, scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", trained, scans, "--json") == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["image_auroc"] == 1.0
    assert metrics["pixel_auroc"] > 0.95
    assert metrics["errors"]["count"] == 0


def test_calibrate_keeps_what_reads_the_self_check(trained: Path, scans: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert call("calibrate", trained, scans / "test/good", *GROUP, "--out", again, "--max-false-reject", "0.3") == 0
    assert json.loads((again / "manifest.json").read_text())["readers"] == KNOWN
    assert call("verify", again) == 0


def test_calibrating_on_such_files_makes_them_known(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of ordinary images, and a reader that gives the same kind of pixels."""
    reading = importlib.import_module("acme_reader.reading")
    whole = reading.read
    monkeypatch.setattr(reading, "read", lambda file: (whole(file) // 16).astype(np.uint8))
    for part in range(50, 60):
        acme(tmp_path / f"fresh/part{part}.acme", picture(100 * part))
    done = recalibrate(model_path, tmp_path / "fresh", out=tmp_path / "model", group=GROUP[1])
    assert done.calibration.n == 10
    assert [asdict(one) for one in done.bundle.manifest.readers] == [one | {"options": None} for one in KNOWN]
    assert "readers" in json.loads((model_path / "manifest.json").read_text())


def test_verify_replays_the_files_themselves(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carried = {path.suffix for path in (trained / "selfcheck").iterdir()}
    assert carried == {".acme", ".png"}  # held-out files, and patches planted into one
    assert call("verify", trained) == 0
    assert "5 of 5 verdicts are the same" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["letterbox", "tile"])
def test_other_framings(train: Callable[..., Trained], scans: Path, tmp_path: Path, mode: str) -> None:
    train(scans, tmp_path / "model", {**SIZE, "image.mode": mode, "image.overlap": 8, "image.height": 32})
    model = api.load(tmp_path / "model")
    assert model.inspect(scans / "test/good/part20.acme").verdict is Verdict.OK
    assert model.inspect(scans / "test/dent/part30.acme").verdict is Verdict.NG


@pytest.mark.slow
def test_sibling_models_read_them_too(train: Callable[..., Trained], scans: Path, tmp_path: Path) -> None:
    trained = train(scans, tmp_path / "model", {**SIZE, "calibration.crossfit": 2})
    assert trained.calibration.n == 20
    assert not trained.errors


def test_golden_images_of_that_type(train: Callable[..., Trained], scans: Path, tmp_path: Path) -> None:
    golden = acme(tmp_path / "golden.acme", picture(7))
    rows = [f"{path},{golden}" for path in sorted((scans / "train/good").iterdir())]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,reference", *rows]))
    train(tmp_path / "pairs.csv", tmp_path / "model", SIZE, detector="difference")
    model = api.load(tmp_path / "model")
    assert not any(one.flipped or one.score is None for one in replay(model))
    assert list((tmp_path / "model/selfcheck").glob("reference-*.acme"))
    assert model.inspect(scans / "test/dent/part30.acme", reference=golden).verdict is Verdict.NG


def test_a_model_carries_golden_images_of_that_type(train: Callable[..., Trained], scans: Path, tmp_path: Path) -> None:
    golden = acme(tmp_path / "golden.acme", picture(7))
    images = tmp_path / "images"
    for path in (scans / "train/good").iterdir():
        save(images / f"{path.stem}.png", imaging.read(path, readers=registry.load().readers).pixels)
    train(images, tmp_path / "model", SIZE, detector="difference", golden=[golden])
    manifest = json.loads((tmp_path / "model/manifest.json").read_text())
    assert manifest["reference"] == {"files": ["reference/golden.acme"], "pattern": None}
    assert manifest["readers"] == KNOWN
    model = api.load(tmp_path / "model")
    assert not any(one.flipped or one.score is None for one in replay(model))
    assert model.inspect(scans / "test/good/part20.acme").verdict is Verdict.OK
    assert model.inspect(scans / "test/dent/part30.acme").verdict is Verdict.NG
    with pytest.raises(ModelError, match=r"golden images cannot be read here.*install acme-reader"):
        Model(tmp_path / "model")


def test_a_file_that_the_reader_refuses_is_listed(
    train: Callable[..., Trained], trained: Path, scans: Path, tmp_path: Path
) -> None:
    shutil.copytree(scans / "train/good", tmp_path / "some")
    (tmp_path / "some/part00.ACME").write_bytes(b"BMP?" + bytes(100))
    done = train(tmp_path / "some", tmp_path / "model", SIZE)
    ((name, reason),) = done.bundle.manifest.data.unreadable
    assert name == "part00.ACME"
    assert "the reader of '.acme' files failed (ValueError: not a file of an Acme camera)" in reason
    result = api.load(trained).inspect(tmp_path / "some/part00.ACME")
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "reader_failed")


def test_eight_threads_get_what_one_gets(trained: Path, scans: Path) -> None:
    model = api.load(trained)
    paths = sorted((scans / "test").rglob("*.acme")) * 4
    alone = {path: model.inspect(path).score for path in set(paths)}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda path: model.inspect(path).score, paths)) == [alone[path] for path in paths]


def test_masks_pair_by_name_however_many_dots_the_suffix_has(tmp_path: Path) -> None:
    acme(tmp_path / "test/dent/0.raw.acme", picture(1))
    acme(tmp_path / "test/good/0.raw.acme", picture(1))
    acme(tmp_path / "ground_truth/dent/0_mask.raw.acme", picture(1))
    dataset = find(tmp_path, opener=Opener(registry.load().readers))
    assert [[mask.name for mask in sample.masks] for sample in dataset.samples] == [["0_mask.raw.acme"], []]


# ---- on the device


def test_on_a_device_the_reader_is_handed_over(trained: Path, scans: Path) -> None:
    """Nothing of the plugin machinery is there; the verdicts and scores are the same."""
    code = (
        "import json, struct, sys\nimport numpy as np\nfrom anomalib_lite.edge import Model\n"
        "def read(file):\n"
        "    height, width = struct.unpack('<4xHH', file.read(8))\n"
        "    return np.frombuffer(file.read(), '<u2').reshape(height, width, 1)\n"
        f"model = Model({str(trained)!r}, readers={{'.acme': read}})\n"
        "print(json.dumps([[one.verdict, one.score] for one in map(model.inspect, sys.argv[1:])]))\n"
        "assert not {'typer', 'pydantic', 'pluggy', 'yaml', 'rich', 'torch', 'acme_reader'} & set(sys.modules)"
    )
    paths = sorted((scans / "test").rglob("*.acme"))
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    here = api.load(trained)
    assert json.loads(done.stdout) == [[one.verdict, one.score] for one in map(here.inspect, paths)]


# ---- without the reader

INSTALL = "install acme-reader (the model was made with 1.2)"


def test_without_the_reader_the_verdict_is_error_and_says_what_to_install(trained: Path, scans: Path) -> None:
    result = Model(trained).inspect(scans / "test/good/part20.acme")
    assert (result.verdict, result.error_code, result.score) == (Verdict.ERROR, "no_reader", None)
    assert INSTALL in str(result.error)
    assert Model(trained).inspect(picture(1).astype(np.uint16) * 16).verdict is Verdict.OK  # pixels need no reader


@pytest.mark.usefixtures("without")
def test_without_the_reader_no_file_is_passed_over(
    trained: Path, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("predict", trained, scans / "test", "--json") == 3
    printed = capsys.readouterr()
    rows = [json.loads(row) for row in printed.out.splitlines()]
    assert [row["verdict"] for row in rows] == ["ERROR"] * 12
    assert all(INSTALL in row["error"] for row in rows)
    assert "ERROR 12" in printed.err


@pytest.mark.usefixtures("without")
def test_without_the_reader_verify_refuses(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", trained) == 4
    error = capsys.readouterr().err
    assert "cannot be verified here" in error
    assert INSTALL in error
    assert "onnxruntime" not in error  # nothing is wrong with this machine


@pytest.mark.usefixtures("without")
def test_without_the_reader_nothing_is_calibrated(trained: Path, scans: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        recalibrate(trained, scans / "test/good", out=tmp_path / "model", group=GROUP[1])
    assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("without")
def test_without_the_reader_such_files_are_no_images(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("data", "check", scans / "train/good") == 3
    assert "no images: .acme 20" in capsys.readouterr().err


def test_replaying_without_the_reader_is_refused(trained: Path) -> None:
    with pytest.raises(ModelError, match="acme-reader"):
        replay(Model(trained))


# ---- readers that are broken


def test_a_reader_that_cannot_be_imported_leaves_its_files_unreadable(scans: Path, tmp_path: Path) -> None:
    write_package(tmp_path, "acme-reader", HOOK, modules={"reading": "import driver_of_acme"})
    done = run(tmp_path, "data", "check", scans / "train/good")
    assert done.returncode == 3
    assert "reader of '.acme' files (acme-reader 1.0): 'acme_reader.reading:read' cannot be imported" in done.stdout
    assert "No module named 'driver_of_acme'" in done.stdout
    assert "Traceback" not in done.stderr


def test_two_readers_of_one_type_are_none(scans: Path, tmp_path: Path) -> None:
    for name in ("acme-reader", "acme-scanner"):
        write_package(tmp_path, name, HOOK, modules={"reading": READING})
    listed = json.loads(run(tmp_path, "plugins", "list", "--json").stdout)
    assert not {".acme", ".raw.acme"} & {one["suffix"] for one in listed["readers"]}
    assert {problem["reason"] for problem in listed["problems"]} == {
        f"'{suffix}' is provided by acme-reader 1.0 and by acme-scanner 1.0: uninstall one"
        for suffix in (".acme", ".raw.acme")
    }
    done = run(tmp_path, "data", "check", scans / "train/good")
    assert done.returncode == 3
    assert done.stderr.count("uninstall one") == 4
    assert "no images found" in done.stderr


def test_readers_are_listed(site: Path) -> None:
    assert "reader   .acme (acme-reader 1.2)" in run(site, "plugins", "list").stdout
    listed = json.loads(run(site, "plugins", "list", "--json").stdout)
    assert listed["readers"][0] == {
        "suffix": ".acme", "entry_point": "acme_reader", "package": "acme-reader", "version": "1.2"
    }  # fmt: skip


@pytest.mark.slow
def test_what_a_reader_prints_is_no_result(trained: Path, scans: Path, tmp_path: Path) -> None:
    loud = READING.replace("head = file", "print('print'); __import__('os').write(1, b'write\\n'); head = file")
    write_package(tmp_path, "acme-reader", HOOK, modules={"reading": "    print('import')\n" + loud})
    for command, data in (("predict", scans / "test/good"), ("evaluate", scans)):
        done = run(tmp_path, command, trained, data, "--json")
        assert done.returncode == 0, done.stderr
        rows = done.stdout.splitlines() if command == "predict" else [done.stdout]
        assert all(json.loads(row) for row in rows)
        assert {"print", "write", "import"} <= set(done.stderr.split())
