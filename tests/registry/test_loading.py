"""Plugins that are broken, in every way that we know of, and what still works beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from packages import DETECTOR, GOOD, run, write_package

from anomalib_lite import registry
from anomalib_lite.cli import main
from anomalib_lite.config import DetectorConfig
from anomalib_lite.errors import PluginError
from anomalib_lite.hookspecs import PROJECT, DetectorInfo, ReaderInfo
from anomalib_lite.output.capture import captured
from anomalib_lite.registry import loading, vetting

HOOK = "from anomalib_lite.hookspecs import DetectorInfo, hookimpl\n@hookimpl\n"
BROKEN = {  # package -> its entry module, and what must be said of it
    "acme-missing": (
        "import camera_of_acme",
        "ModuleNotFoundError: No module named 'camera_of_acme' (__init__.py, line 1)",
    ),
    "acme-syntax": ("def register_detectors(:\n    pass", "SyntaxError: invalid syntax (__init__.py, line 1)"),
    "acme-raising": (
        HOOK + "def register_detectors():\n    raise ValueError('no licence key')",
        "ValueError: no licence key (__init__.py, line 4)",
    ),
    "acme-argument": (
        HOOK + "def register_detectors(settings):\n    return []",
        "{'settings'} are declared in the hookimpl but can not be found in the hookspec",
    ),
    "acme-api": (
        GOOD.replace("{name}", "acme_future").replace("config=", "api=99, config=").replace(", api=2", ""),
        "speaks plugin API 99, this host speaks 2",
    ),
    "acme-twin": (
        GOOD.replace("{name}", "acme_pair"),
        "'acme_pair' is provided by acme-double 1.0 and by acme-twin 1.0: uninstall one",
    ),
    "acme-exit": ("import sys\nsys.exit(3)", "it ends the program with sys.exit(3) (__init__.py, line 2)"),
    "acme-nonsense": (
        HOOK + "def register_detectors():\n    return 'nonsense'",
        "register_detectors returned 'nonsense', expected a list of DetectorInfo",
    ),
}
NOISE = """
    import os, sys
    print("to stdout")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to descriptor 1\\n")
    os.system("echo from a shell; echo and its stderr >&2")
"""
SLOW = """
    import os, time
    time.sleep(float(os.environ.get("ACME_SLEEPS", "3")))
"""
NAMES = [name.replace("-", "_") for name in BROKEN]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten plugins with something wrong, the other half of the twin, and a good one."""
    folder = tmp_path_factory.mktemp("site")
    for name, (entry, _) in BROKEN.items():
        write_package(folder, name, entry)
    write_package(folder, "acme-double", GOOD.replace("{name}", "acme_pair"))
    for name, prefix in (
        ("acme-good", ""),
        ("acme-noisy", NOISE),
        ("acme-slow", SLOW),
    ):
        write_package(folder, name, prefix + GOOD, modules={"detector": DETECTOR})
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The same packages in this process; none is loaded that the variable does not name."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv(registry.PLUGINS_VARIABLE, ",".join(NAMES))
    yield monkeypatch
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def listed(site: Path) -> dict[str, Any]:
    """What `plugins list --json` prints beside ten broken plugins."""
    done = run(site, "plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("package", BROKEN)
def test_a_broken_plugin_is_listed_with_package_version_and_reason(listed: dict[str, Any], package: str) -> None:
    problem = next(one for one in listed["problems"] if one["package"] == package)
    assert problem["version"] == "1.0"
    assert problem["entry_point"] == package.replace("-", "_")
    assert BROKEN[package][1] in problem["reason"]


def test_nothing_else_is_a_problem(listed: dict[str, Any]) -> None:
    assert {one["package"] for one in listed["problems"]} == {*BROKEN, "acme-double"}
    bundled = [one["name"] for one in listed["detectors"] if one["package"] == "anomalib-lite"]
    assert "inpainting" in bundled
    assert [one["name"] for one in listed["detectors"]] == ["acme_good", "acme_noisy", "acme_slow", *bundled]


def test_output_at_import_is_held_back_and_reported(listed: dict[str, Any]) -> None:
    note = next(one for one in listed["notes"] if one["package"] == "acme-noisy")
    for said in ("to stdout", "to stderr", "to descriptor 1", "from a shell", "and its stderr"):
        assert said in note["text"]


def test_a_slow_import_is_reported_with_its_seconds(listed: dict[str, Any]) -> None:
    assert [one["package"] for one in listed["notes"]] == ["acme-noisy", "acme-slow"]
    words = listed["notes"][1]["text"].split()
    assert float(words[words.index("s") - 1]) >= 3


@pytest.mark.parametrize("name", [*NAMES, "acme-syntax", "acme_future", "acme_pair"])
def test_asking_for_a_broken_one_exits_with_5_and_the_reason(
    installed: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """By the name of its entry point, and by that of its detector where it is known; the traceback on request."""
    installed.setenv(registry.PLUGINS_VARIABLE, ",".join([*NAMES, "acme_double"]))
    package = {"acme_future": "acme-api", "acme_pair": "acme-twin"}.get(name, name.replace("_", "-"))
    for debug in ([], ["--debug"]):
        with pytest.raises(SystemExit) as exit_:
            main(["plugins", "show", name, *debug])
        error = capsys.readouterr().err
        assert exit_.value.code == 5
        assert f"detector '{name}' cannot be used" in error
        assert BROKEN[package][1] in error
        assert error.count(BROKEN[package][1]) == 1 or debug
        assert ("Traceback" in error) == bool(debug)
    if package == "acme-raising":
        assert "raise ValueError('no licence key')" in error  # the plugin's own line


def test_training_names_the_broken_ones_once_and_the_one_that_is_asked_for_as_the_error(
    installed: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["train", "acme-raising", str(tmp_path), "--out", str(tmp_path / "x")])
    lines = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 5
    assert [line for line in lines if "no licence key" in line] == [lines[-1]]
    assert lines[-1].startswith("error: ")
    warned = [line.split(" (")[0] for line in lines[:-1]]
    assert warned == [f"warning: plugin {name}" for name in sorted(NAMES) if name not in ("acme_raising", "acme_twin")]


@pytest.fixture(scope="module")
def trained(site: Path, parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the good plugin, trained beside the broken ones."""
    out = tmp_path_factory.mktemp("acme") / "model"
    pixels = ("--set", "image.height=48", "--set", "image.width=48")
    done = run(site, "train", "acme-good", parts, "--out", out, "--group", r"part(\d+)", *pixels, ACME_SLEEPS="0")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: plugin acme_") == len(BROKEN) + 1
    assert "Traceback" not in done.stderr
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("--help", "Exit codes"),
        ("predict --help", "--heatmaps"),
        ("predict MODEL DATA/test/good --json", '"verdict": "OK"'),
        ("evaluate MODEL DATA --json", '"image_auroc"'),
        (r"calibrate MODEL DATA/test/good --out NEW --group part(\d+)", "are rejected"),
        ("verify MODEL", "verdicts are the same"),
        ("doctor", "problem           acme_exit (acme-exit 1.0): it ends the program"),
        ("data check DATA", "train: good 40"),
        ("plugins list", "problem  acme_exit (acme-exit 1.0): it ends the program with sys.exit(3)"),
        ("plugins show acme_good", "acme_good: A test."),
        ("plugins show acme_noisy", "acme_noisy: A test."),
    ],
)
def test_every_command_works_beside_ten_broken_plugins(
    site: Path, trained: Path, parts: Path, tmp_path: Path, command: str, said: str
) -> None:
    names = {"MODEL": str(trained), "DATA": str(parts), "NEW": str(tmp_path / "new")}
    for short, path in names.items():
        command = command.replace(short, path)
    done = run(site, *command.split(), ACME_SLEEPS="0")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert "Traceback" not in done.stderr
    assert "to stdout" not in done.stdout.replace("prints when it is imported: to stdout", "")
    if "--json" in command:
        rows = done.stdout.splitlines() if "predict" in command else [done.stdout]
        assert all(json.loads(row) for row in rows)


# ---- one plugin at a time, in this process


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """alone(entry module, ...) -> what the registry says of the plugins acme_0, acme_1, ..."""

    def load(*entries: str) -> registry.Registry:
        for number, entry in enumerate(entries):
            write_package(tmp_path, f"acme-{number}", entry, modules={"detector": DETECTOR})
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv(registry.PLUGINS_VARIABLE, ",".join(f"acme_{number}" for number in range(len(entries))))
        return registry.load()

    yield load
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


def test_an_interrupt_is_the_users(alone: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        alone("raise KeyboardInterrupt")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("class Stop(BaseException): ...\nraise Stop('no')", "Stop: no"),
        ("class Mute(Exception):\n    def __str__(self): 1 / 0\nraise Mute", "Mute: its message cannot be shown"),
        ("", "it provides nothing"),
        (HOOK + "def register_detectors():\n    return []", "it provides nothing"),
        (HOOK + "def register_detectors():\n    return None", "it provides nothing"),
        (HOOK + "def register_detectorz():\n    return []", "unknown hook 'register_detectorz'"),
        (HOOK + "def register_detectors():\n    return [7]", "returned 7, expected a list of DetectorInfo"),
        (HOOK + "def register_detectors():\n    return [DetectorInfo(name='x')]", "missing 3 required keyword-only"),
        ("raise ValueError('long ' * 1000)", " ... (__init__.py, line 1)"),
    ],
)
def test_whatever_it_raises_or_returns_is_its_problem(alone: Any, entry: str, reason: str) -> None:
    found = alone(entry)
    assert not found.detectors
    assert len(found.problems) == 1
    assert reason in found.problems[0].reason
    assert len(found.problems[0].reason) < 400
    assert "\n" not in found.problems[0].reason


def test_a_hook_that_does_not_fit_is_not_held_against_the_next_plugin(alone: Any) -> None:
    found = alone(HOOK + "def register_detectorz():\n    return []", GOOD)
    assert list(found.detectors) == ["acme_1"]
    assert [problem.provider.entry_point for problem in found.problems] == ["acme_0"]


def test_the_good_part_of_a_plugin_is_used(alone: Any) -> None:
    wrong = GOOD.replace("return [", "return [7, DetectorInfo(name='Bad Name', summary='', target='', config=int), ")
    found = alone(wrong)
    assert list(found.detectors) == ["acme_0"]
    assert [problem.names for problem in found.problems] == [(), ("Bad Name",)]


def test_a_name_given_twice_by_one_package_belongs_to_nobody(alone: Any) -> None:
    found = alone(GOOD.replace("return [", "return 2 * ["))
    assert not found.detectors
    assert [problem.reason for problem in found.problems] == ["'acme_0' is provided by acme-0 1.0 more than once"]


def test_streams_are_what_they_were_and_still_open(alone: Any, capfd: pytest.CaptureFixture[str]) -> None:
    stdout = sys.stdout
    found = alone("import sys, io\nsys.stdout = io.StringIO()\nsys.stderr = None\n" + GOOD.replace("\n    ", "\n"))
    assert sys.stdout is stdout
    sys.stdout.write("still here\n")
    assert capfd.readouterr().out == "still here\n"
    assert list(found.detectors) == ["acme_0"]


@pytest.mark.parametrize(
    "prefix",
    [
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')\nprint('wrapped')\n",
        "import logging\nlogging.basicConfig(level='INFO')\nlogging.info('early')\n",
        "import io, sys\nsys.stdout = io.StringIO()\nprint('early', file=sys.stderr)\n",
    ],
    ids=["wraps stdout", "configures logging", "replaces stdout"],
)
def test_what_a_plugin_does_to_the_streams_does_not_break_them(tmp_path: Path, prefix: str) -> None:
    """In a process of its own, where descriptors stand behind the streams."""
    write_package(tmp_path, "acme-stream", prefix + GOOD.replace("\n    ", "\n"))
    code = (
        "import logging\nfrom anomalib_lite import registry\nfound = registry.load()\n"
        "assert 'acme_stream' in found.detectors, found.problems\nassert found.notes, 'nothing was held back'\n"
        "import gc; gc.collect()\nlogging.getLogger().warning('late')\nprint('out')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out\n"
    assert "late" in done.stderr
    assert "early" not in done.stderr


# ---- which are loaded


def test_the_variable_restricts_what_is_loaded(installed: pytest.MonkeyPatch) -> None:
    installed.setenv(registry.PLUGINS_VARIABLE, " acme-exit, inpainting,")
    found = registry.load()
    assert list(found.detectors) == ["inpainting"]
    assert [problem.provider.entry_point for problem in found.problems] == ["acme_exit"]
    with pytest.raises(PluginError, match=r"no detector 'gauss'.*ANOMALIB_LITE_PLUGINS=' acme-exit, inpainting,'"):
        found.detector("gauss")


def test_a_name_that_no_plugin_has_is_a_problem(
    installed: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.setenv(registry.PLUGINS_VARIABLE, "inpaintin")
    with pytest.raises(SystemExit) as exit_:
        main(["plugins", "list"])
    assert exit_.value.code == 0
    assert (
        "problem  inpaintin: ANOMALIB_LITE_PLUGINS names it, but no installed package has a plugin of this name."
        " Did you mean 'inpainting'?"
    ) in capsys.readouterr().out


def test_an_empty_variable_loads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.PLUGINS_VARIABLE, "")
    found = registry.load()
    assert (found.detectors, found.problems) == ({}, ())


def test_no_plugins_keeps_even_the_worst_from_running(tmp_path: Path) -> None:
    """Nothing can catch os._exit; what names it is not loaded."""
    write_package(tmp_path, "acme-abort", "import os\nos._exit(9)")
    assert run(tmp_path, "plugins", "list").returncode == 9
    assert run(tmp_path, "plugins", "list", "--no-plugins").returncode == 0
    kept = run(tmp_path, "plugins", "list", "--json", ANOMALIB_LITE_PLUGINS="inpainting")
    assert [one["name"] for one in json.loads(kept.stdout)["detectors"]] == ["inpainting"]


# ---- what hooks describe

SOUND = DetectorInfo(name="acme", summary="A test.", target="acme.detector:Acme", config=DetectorConfig, api=2)


class Demanding(DetectorConfig):
    camera: str


class Contradicting(DetectorConfig):
    size: int = "large"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": "Acme"}, "lower-case"),
        ({"name": "acme-gauss"}, "lower-case"),
        ({"name": 7}, "name 7"),
        ({"summary": ""}, "a line of text"),
        ({"summary": "two\nlines"}, "a line of text"),
        ({"target": "acme.detector.Acme"}, "package.module:Class"),
        ({"target": "acme.detector:"}, "package.module:Class"),
        ({"target": None}, "package.module:Class"),
        ({"config": dict}, "subclass of anomalib_lite.config.DetectorConfig"),
        ({"config": DetectorConfig()}, "subclass of anomalib_lite.config.DetectorConfig"),
        ({"config": Demanding}, "camera: field required"),
        ({"config": Contradicting}, "size: input should be a valid integer"),
        ({"inputs": ("picture",)}, "expected ('image',)"),
        ({"inputs": ["image"]}, "expected ('image',)"),
        ({"inputs": "image"}, "expected ('image',)"),
        ({"align": True}, "no reference among the inputs"),
        ({"positional": "no"}, "positional 'no'"),
        ({"paper": 2021}, "paper 2021"),
        ({"weights": ["a"]}, "weights ['a']"),
        ({"defaults": {"score.sigmma": 1}}, "Did you mean 'sigma'"),
        ({"defaults": {"score.sigma": -1}}, "score.sigma: input should be greater"),
        ({"defaults": {"sigma": 1}}, "sigma is not an option"),
        ({"defaults": {"options.window": 3}}, "defaults in its config"),
        ({"defaults": {"score": 1, "score.sigma": 1}}, "'score' is 1, not a section"),
        ({"defaults": [("score.sigma", 1)]}, "expected dotted keys"),
        ({"defaults": {1: 2}}, "expected dotted keys"),
        ({"fit_on": "bad"}, "fit_on 'bad': expected 'good' or 'unlabelled'"),
        ({"api": 3}, "speaks plugin API 3"),
        ({"api": None, "name": 7}, "speaks plugin API None"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(change: dict[str, Any], fault: str) -> None:
    assert vetting.faults(SOUND) == []
    found = vetting.faults(replace(SOUND, **change))
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    "sound",
    [
        replace(SOUND, inputs=("image", "reference"), align=True),
        replace(SOUND, defaults={"score.sigma": 2, "image.mode": "letterbox", "training.steps": 9}),
        replace(SOUND, paper="Somebody, 2021", positional=True),
    ],
)
def test_a_description_that_fits_is_taken(sound: DetectorInfo) -> None:
    assert vetting.faults(sound) == []


@pytest.mark.parametrize(
    ("suffixes", "fault"),
    [
        ((".dcm", ".nii.gz"), None),
        ((), "expected a tuple"),
        ([".dcm"], "expected a tuple"),
        (".dcm", "expected a tuple"),
        (("dcm",), "expected a dot"),
        ((".DCM",), "expected a dot"),
        ((".",), "expected a dot"),
        (("./x",), "expected a dot"),
        ((7,), "expected a dot"),
        ((".png",), "the host reads these files itself"),
        ((".acme.png",), "the host reads these files itself"),
        ((".csv",), "the host reads these files itself"),
    ],
)
def test_suffixes_of_a_reader(suffixes: Any, fault: str | None) -> None:
    found = vetting.faults(ReaderInfo(suffixes=suffixes, target="acme:read", api=2))
    assert found == [] if fault is None else fault in found[0]


# ---- importing what they name


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import camera_of_acme", "No module named 'camera_of_acme'"),
        ("raise SystemExit(2)", "it ends the program"),
        ("1 / 0", "ZeroDivisionError"),
        ("pass", "has no attribute 'Darkness'"),
    ],
)
def test_a_class_that_cannot_be_imported_is_a_plugin_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "acme_target.py").write_text(source)
    monkeypatch.delitem(sys.modules, "acme_target", raising=False)
    with pytest.raises(PluginError, match=r"detector 'acme': 'acme_target:Darkness' cannot be imported") as caught:
        registry.resolve("acme_target:Darkness", "detector 'acme'")
    assert reason in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_detector_that_cannot_be_built_is_a_plugin_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acme_refusing.py").write_text(
        "from anomalib_lite.config import DetectorConfig\nfrom anomalib_lite.hookspecs import DetectorInfo, hookimpl\n"
        "class Refusing:\n    def __init__(self, config, image):\n        raise RuntimeError('wrong moon')\n"
        "@hookimpl\ndef register_detectors():\n    return [DetectorInfo(name='acme_refusing', summary='No.',"
        " target='acme_refusing:Refusing', config=DetectorConfig)]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("acme_refusing", "acme_refusing", PROJECT)
    monkeypatch.setattr(loading, "_entry_points", lambda: [point])
    with pytest.raises(SystemExit) as exit_:
        main(["train", "acme_refusing", str(parts), "--out", str(tmp_path / "x")])
    assert exit_.value.code == 5
    error = capsys.readouterr().err
    assert "detector 'acme_refusing' cannot be built: RuntimeError: wrong moon (acme_refusing.py, line 5)" in error
    assert not (tmp_path / "x").exists()


def test_what_plugins_print_is_held_back_where_no_file_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with --read-only has no folder for temporary files."""
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    monkeypatch.setattr(tempfile, "tempdir", None)
    with captured() as held:
        os.write(1, b"said")
    assert held.getvalue() == "said"
