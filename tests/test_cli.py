"""The command line as a user meets it: what it imports, prints, and exits with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import call, one_thread, picture, save

from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import MissingExtra

HEAVY = ("numpy", "torch", "pydantic", "pluggy", "PIL", "onnxruntime", "cv2", "rich", "yaml", "jinja2")
COMMANDS = (
    "demo",
    "train",
    "predict",
    "evaluate",
    "compare",
    "calibrate",
    "rescore",
    "export",
    "verify",
    "bench",
    "watch",
    "serve",
    "doctor",
    "plugins",
    "data",
)


def start_nothing(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `watch` and `serve` come as far as their loop, and no further."""
    if command == "serve":
        monkeypatch.setattr(pytest.importorskip("uvicorn").Server, "run", lambda *arguments, **options: None)
    monkeypatch.setattr("anomalib_lite.edge.watch.watch", lambda *arguments: None)
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)  # this process keeps its own


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import runpy, sys\nsys.argv = ['anomalib-lite', '--help']\n"
        "try:\n    runpy.run_module('anomalib_lite', run_name='__main__')\n"
        "except SystemExit as exit:\n    assert not exit.code, exit.code\n"
        f"assert not [name for name in {HEAVY} if name in sys.modules], sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_imports_nothing_heavy(command: str) -> None:
    code = (
        f"import sys\nfrom anomalib_lite.cli import main\ntry:\n    main(['{command}', '--help'])\n"
        "except SystemExit as exit:\n    assert not exit.code, exit.code\n"
        f"assert not [name for name in {HEAVY} if name in sys.modules], sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "anomalib_lite", "--help"], capture_output=True, text=True, check=True)
    assert all(command in done.stdout for command in COMMANDS)
    assert "70 bug" in done.stdout


def test_listing_plugins_imports_no_torch() -> None:
    code = (
        "import sys\nfrom anomalib_lite.cli import main\ntry: main(['plugins', 'list'])\n"
        "except SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "inpainting" in done.stdout


def test_showing_a_plugin_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("plugins", "show", "gauss") == 0
    shown = capsys.readouterr().out
    assert "options.floor" in shown
    assert "calibration.max_false_reject" in shown


def test_no_plugins_means_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANOMALIB_LITE_PLUGINS", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "anomalib_lite", "plugins", "show", "inpainting", "--no-plugins"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 5
    assert "no detector 'inpainting'" in done.stderr


def test_from_images_to_a_verdict(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    size = ("--per", "part", "--set", "image.height=48", "--set", "image.width=48")
    assert (
        call("train", "gauss", parts, "--out", model, "--group", r"part(\d+)", "--max-false-reject", "5%", *size) == 0
    )
    assert "from 6 held-out parts" in " ".join(capsys.readouterr().out.split())
    assert call("verify", model) == 0
    assert "5 of 5 verdicts are the same" in capsys.readouterr().out
    assert call("predict", model, parts / "test/good", "--json", "--fail-on-ng") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["verdict"] for row in rows} == {"OK"}
    assert call("predict", model, parts / "test", "--fail-on-ng", "--out", tmp_path / "out") == 1
    assert call("evaluate", model, parts, "--group", r"part(\d+)") == 0
    assert "false reject rate" in capsys.readouterr().out
    assert call("calibrate", model, parts / "test/good", "--group", r"part(\d+)", "--max-false-reject", "0.2") == 0
    assert "Calibrated 1 time before" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "nothing", ".", "--out", "x"], 5, "no detector 'nothing'"),
        (["train", "gauss", "nowhere", "--out", "x"], 3, "does not exist"),
        (["train", "gauss", "EMPTY", "--out", "x"], 3, "no images found"),
        (["train", "gauss", "nowhere", "--out", "x", "--set", "score"], 2, "expected key=value"),
        (["train", "gauss", "nowhere", "--out", "x", "--config", "none.yaml"], 2, "cannot be read"),
        (["train", "gauss", "nowhere", "--out", "x", "--steps", "1", "--minutes", "1"], 2, "not both"),
        (["train", "gauss", "nowhere", "--out", "x", "--max-false-reject", "150%"], 2, "such as 1%"),
        (["train", "gauss", "nowhere", "--out", "x", "--crossfit", "3", "--devices", "2"], 2, "one device"),
        (["train", "gauss", "nowhere"], 2, "--out"),
        (["predict", "nowhere", "x.png"], 4, "no model bundle here"),
        (["verify", "EMPTY"], 4, "no model bundle here"),
        (["data", "check", "EMPTY"], 3, "no images found"),
        (["calibrate", "MODEL", "EMPTY", "--exclude", "a.png"], 2, "--because"),
        (["calibrate", "MODEL", "EMPTY", "--because", "a dent"], 2, "--exclude FILE"),
        (["evaluate", "MODEL", "GOOD"], 3, "no labelled"),
        (["predict", "MODEL", "x.png", "--reference", "golden.png"], 2, "compares with nothing. Leave it out"),
        (["predict", "MODEL", "x.png", "--heatmaps"], 2, "--out"),
        (["train", "gauss", "GOOD", "--out", "x", "--set", "training=5", "--steps", "5"], 2, "not a section"),
        (["train", "gauss", "GOOD", "--out", "x", "--set", "score.sigma=2024-13-45"], 2, "not valid YAML"),
        (["data", "check", "a" * 300], 2, "too long"),
    ],
)
def test_mistakes_exit_with_their_code_and_a_remedy(
    arguments: list[str],
    code: int,
    message: str,
    model_path: Path,
    parts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    names = {"MODEL": str(model_path), "GOOD": str(parts / "train/good")}
    assert call(*(names.get(word, word) for word in arguments)) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("command", ["watch", "serve"])
def test_a_golden_image_for_a_model_that_compares_with_nothing_is_refused(
    command: str,
    model_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_nothing(command, monkeypatch)
    folder = [tmp_path] if command == "watch" else []
    assert call(command, model_path, *folder, "--golden", "golden.png") == 2
    said = capsys.readouterr()
    assert "--golden golden.png" in said.err
    assert "compares with nothing. Leave it out" in said.err
    assert "serving" not in said.err


def test_unusable_images_count_and_only_fail_when_nothing_is_left(
    model_path: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(parts / "test/good", tmp_path / "in")
    (tmp_path / "in/text.png").write_text("hello")
    assert call("predict", model_path, tmp_path / "in") == 0
    assert "ERROR 1" in capsys.readouterr().err
    assert call("predict", model_path, tmp_path / "in", "--strict") == 3
    assert call("predict", model_path, tmp_path / "in/text.png") == 3


def test_a_file_name_that_is_no_utf_8_ends_no_prediction(model_path: Path, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    try:
        shutil.copy(os.fsencode(parts / "test/good/part20_0.png"), os.fsencode(tmp_path / "in") + b"/a\xff.png")
    except OSError:  # not on macOS, nor on Windows
        pytest.skip("this file system takes no such name")
    shutil.copy(parts / "test/good/part21_0.png", tmp_path / "in/b.png")
    command = [sys.executable, "-m", "anomalib_lite", "predict", str(model_path), str(tmp_path / "in"), "--no-plugins"]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"})
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(b"/")[2] for line in done.stdout.splitlines()] == [b"a\\udcff.png", b"b.png"]


def test_fail_on_ng_passes_no_part_that_was_not_measured(model_path: Path, parts: Path, tmp_path: Path) -> None:
    """A script of a line reads 0 as: every part was measured, and none is NG."""
    shutil.copytree(parts / "test/good", tmp_path / "in")
    assert call("predict", model_path, tmp_path / "in", "--fail-on-ng") == 0
    (tmp_path / "in/text.png").write_text("hello")
    assert call("predict", model_path, tmp_path / "in", "--fail-on-ng") == 3
    assert call("predict", model_path, tmp_path / "in", parts / "test/dent", "--fail-on-ng") == 3
    assert call("predict", model_path, parts / "test", "--fail-on-ng") == 1


def test_a_bug_exits_with_70_and_debug_shows_where(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from anomalib_lite.edge import selfcheck

    monkeypatch.setattr(selfcheck, "replay", lambda model: 1 / 0)
    assert call("verify", model_path) == 70
    error = capsys.readouterr().err
    assert "Run again with --debug" in error
    assert "Traceback" not in error
    assert call("verify", model_path, "--debug") == 70
    assert "lambda model: 1 / 0" in capsys.readouterr().err


def test_another_verdict_here_is_refused(model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle whose recorded self-check says otherwise than this machine, as a faulty processor would."""
    from anomalib_lite.edge import bundle

    loaded = bundle.load(model_path)
    first, *rest = loaded.manifest.selfcheck
    wrong = replace(first, verdict="NG", score=first.score * 100)
    manifest = replace(loaded.manifest, selfcheck=(wrong, *rest))
    contents = {name: loaded.read(name) for name in loaded.manifest.files}
    bundle.write(tmp_path / "model", manifest, contents)
    assert call("verify", tmp_path / "model") == 4
    assert "do not use it on this machine" in capsys.readouterr().err


def test_a_self_check_that_cannot_be_measured_says_why(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as a model that aligns, on a machine without OpenCV: not a matter of onnxruntime's version."""

    def lacking(*arguments: object) -> None:
        raise MissingExtra("cv2", "reference", "aligning images")

    monkeypatch.setattr(Runtime, "measure", lacking)
    assert call("verify", model_path) == 4
    error = capsys.readouterr().err
    assert "pip install 'anomalib-lite[reference]'" in error
    assert "onnxruntime" not in error


def test_an_image_that_is_excluded_twice_is_recorded_once(model_path: Path, tmp_path: Path) -> None:
    for part in range(50, 60):
        save(tmp_path / f"fresh/part{part}.png", picture(100 * part, defect=part == 55))
    twice = ("--exclude", "part55.png") * 2
    out = tmp_path / "model"
    asked = ("--group", r"part(\d+)", "--out", out, *twice, "--because", "a dent")
    assert call("calibrate", model_path, tmp_path / "fresh", *asked) == 0
    recorded = json.loads((out / "manifest.json").read_text())["calibration"]["exclusions"]
    assert [one["image"] for one in recorded] == ["part55.png"]


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        (
            ["calibrate"],
            [
                "such as 1%. Default: as in the last calibration.",
                "such as 95%. Default: as in the last calibration.",
                "Default: as in the last calibration; with --max-false-reject 5%, or five times that where it is more.",
            ],
        ),
        (["plugins", "check"], ["defects. Default: 120."]),
    ],
)
def test_help_names_the_defaults(command: list[str], defaults: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*command, "--help") == 0
    shown = "".join(capsys.readouterr().out.split())  # wherever the lines break
    assert [one for one in defaults if "".join(one.split()) not in shown] == []


def test_data_check_says_what_is_there(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("data", "check", parts, "--group", r"part(\d+)") == 0
    assert "train: good 40 of 20 groups" in capsys.readouterr().out
    save(tmp_path / "in/a.png", picture(1))
    save(tmp_path / "in/b.png", picture(1, channels=3))
    assert call("data", "check", tmp_path / "in") == 3
    assert "grey and colour are mixed" in capsys.readouterr().out


def test_doctor_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor") == 0
    assert "CPUExecutionProvider" in capsys.readouterr().out


def test_doctor_reports_an_onnxruntime_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert call("doctor") == 0
    shown = capsys.readouterr().out
    assert "pip install --upgrade onnxruntime" in shown
    assert "gauss" in shown


@pytest.mark.slow
def test_an_interrupted_training_is_resumed(inpainting_words: list[str], inpainting_path: Path, tmp_path: Path) -> None:
    """Ctrl-C in a real process, then --resume: the same graph as a training that was never stopped."""
    out = tmp_path / "model"
    log = out.with_name("model.partial") / "fit" / "training.csv"
    command = [sys.executable, "-m", "anomalib_lite", *inpainting_words, "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 3):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "--resume" in said
    assert not out.exists()
    with one_thread():
        assert call(*inpainting_words, "--out", out, "--resume") == 0
    manifests = [json.loads((path / "manifest.json").read_text()) for path in (inpainting_path, out)]
    assert manifests[0]["graph_sha256"] == manifests[1]["graph_sha256"]
    assert not log.exists()


@pytest.mark.slow
def test_two_processes_train_one_model(inpainting_words: list[str], inpainting_path: Path, tmp_path: Path) -> None:
    """The whole command line with --devices 2: one bundle, of as many steps as a single process takes."""
    out = tmp_path / "model"
    command = [sys.executable, "-m", "anomalib_lite", *inpainting_words, "--out", str(out), "--devices", "2"]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
    curves = [(path / "training.csv").read_text().splitlines() for path in (inpainting_path, out)]
    assert len(curves[0]) == len(curves[1]) == 41
    assert not (tmp_path / "model.partial").exists()


def test_a_section_without_a_line_is_a_mistake_in_the_file(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text("training:\nimage:\n  height: 32\n  width: 32\n")
    words = ("--config", tmp_path / "small.yaml", "--group", r"part(\d+)")
    for more in ((), ("--steps", "1")):
        assert call("train", "gauss", parts, "--out", tmp_path / "model", *words, *more) == 2
        assert "training" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["watch", "serve", "predict"])
def test_a_golden_image_that_cannot_be_read_stops_at_once(
    command: str,
    parts: Path,
    tmp_path: Path,
    train: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A typing mistake would otherwise sweep everything that arrives into error/."""
    start_nothing(command, monkeypatch)
    golden = sorted((parts / "train/good").iterdir())[0]
    train(parts, tmp_path / "model", detector="difference", golden=[golden])
    folder = {"watch": [tmp_path], "predict": [golden], "serve": []}[command]
    option = "--reference" if command == "predict" else "--golden"
    assert call(command, tmp_path / "model", *folder, option, tmp_path / "no.png") == 2
    said = capsys.readouterr().err
    assert option in said
    assert "no.png" in said


def test_warnings_of_detectors_are_told_without_their_place_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: Any, **__: Any) -> None:
        told = [warnings.formatwarning("few images", kind, "detector.py", 51) for kind in (UserWarning, RuntimeWarning)]
        assert told[0] == "warning: few images\n"
        assert "detector.py:51" in told[1]

    before = warnings.formatwarning
    monkeypatch.setattr("anomalib_lite.cli.app", warn)
    assert call("doctor") == 0
    assert warnings.formatwarning is before
