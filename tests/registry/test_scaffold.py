"""`plugins new`: what it writes, and the names it refuses without writing anything."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from needs import need

from anomalib_lite import registry
from anomalib_lite.cli import main
from anomalib_lite.errors import ConfigError
from anomalib_lite.hookspecs import API_VERSION
from anomalib_lite.registry import scaffold
from anomalib_lite.registry.plugin import Problem, Provider
from anomalib_lite.registry.scaffold import Kind
from anomalib_lite.version import __version__

FILES = [
    ".github/workflows/ci.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "src/acme_gauss/__init__.py",
    "src/acme_gauss/config.py",
    "src/acme_gauss/detector.py",
    "tests/test_acme_gauss.py",
]
LINES: dict[Kind, int] = {"image": 60, "reference": 60, "backbone": 80}  # at most
ALL = pytest.mark.parametrize("kind", LINES)


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@ALL
@pytest.mark.parametrize("name", ["acme-gauss", "acme_gauss"])
def test_the_package_has_all_its_files(name: str, kind: Kind, tmp_path: Path) -> None:
    folder = scaffold.create(name, tmp_path / "new", kind)
    assert folder == tmp_path / "new" / "acme-gauss"
    assert written(folder.parent) == [f"acme-gauss/{file}" for file in FILES]
    assert [path.name for path in folder.parent.iterdir()] == ["acme-gauss"]


@ALL
def test_a_detector_takes_few_lines(kind: Kind, tmp_path: Path) -> None:
    """All lines count, empty ones too."""
    folder = scaffold.create("acme_gauss", tmp_path, kind)
    lines = sum(len(path.read_text().splitlines()) for path in (folder / "src").rglob("*.py"))
    assert 0 < lines <= LINES[kind]


@ALL
def test_the_metadata_names_the_host_the_entry_point_and_the_api(kind: Kind, tmp_path: Path) -> None:
    folder = scaffold.create("acme_gauss", tmp_path, kind)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "acme-gauss"
    assert project["entry-points"] == {"anomalib_lite": {"acme_gauss": "acme_gauss"}}
    assert project["dependencies"] == [f"anomalib-lite>={__version__}"]
    assert "anomalib-lite[train]" in project["optional-dependencies"]["test"]
    tree = ast.parse((folder / "src/acme_gauss/__init__.py").read_text())
    stated = {key.arg: key.value for call in ast.walk(tree) if isinstance(call, ast.Call) for key in call.keywords}
    assert ast.literal_eval(stated["api"]) == API_VERSION  # the number: the host's constant would always agree
    assert ("inputs" in stated) == (kind == "reference")
    assert ("weights" in stated) == (kind == "backbone")


@ALL
def test_a_tag_is_tested_and_published_without_a_password(kind: Kind, tmp_path: Path) -> None:
    folder = scaffold.create("acme_gauss", tmp_path, kind)
    jobs = yaml.safe_load((folder / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert [step["with"]["python-version"] for step in jobs["test"]["steps"] if "with" in step] == [
        "${{ matrix.python }}"
    ]
    publish = jobs["publish"]
    assert (jobs["build"]["needs"], publish["needs"]) == ("test", "build")
    assert publish["permissions"] == {"id-token": "write"}
    assert "refs/tags/v" in publish["if"]
    actions = [step.get("uses", "").split("@")[0] for step in publish["steps"]]
    assert actions == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]


@ALL
def test_no_template_language_and_no_other_name_is_left(kind: Kind, tmp_path: Path) -> None:
    folder = scaffold.create("other_name", tmp_path, kind)
    for file in written(folder):
        text = (folder / file).read_text().replace("${{ matrix.python }}", "3.13")
        assert not [mark for mark in ("{{", "{%", "acme", " \n", "\n\n\n\n") if mark in text], file
        assert text.endswith("\n"), file


@pytest.mark.slow
def test_the_code_is_formatted_and_typed(tmp_path: Path) -> None:
    """By the rules that its author meets first: those of ruff and mypy without a configuration, and strict.

    All kinds in one run: mypy spends its time on the types of torch.
    """
    need(find_spec("ruff") and find_spec("mypy"), "ruff and mypy: pip install 'anomalib-lite[dev]'")
    kinds: dict[str, Kind] = {"acme_gauss": "image", "acme_difference": "reference", "acme_patches": "backbone"}
    folders = [scaffold.create(name, tmp_path, kind) for name, kind in kinds.items()]
    for command in ("ruff format --isolated --check .", "ruff check --isolated --select E,F,I,B,UP,N,RET,SIM ."):
        for folder in folders:  # where ruff finds src/, and with it what is of the package
            subprocess.run([sys.executable, "-m", *command.split()], cwd=folder, check=True)
    sources, tests = ([str(folder / name) for folder in folders] for name in ("src", "tests"))
    typing = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", *sources, *tests]
    subprocess.run(typing, cwd=tmp_path, check=True, env=os.environ | {"MYPYPATH": os.pathsep.join(sources)})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Acme-Gauss", "such as 'acme_gauss'"),
        ("9lives", "such as 'lives'"),
        ("acme gauss", "such as 'acme_gauss'"),
        ("acme__gauss", "such as 'acme_gauss'"),
        ("acme.gauss", "such as 'acme_gauss'"),
        ("../acme", "such as 'acme'"),
        ("_", "such as 'acme_gauss'"),
        ("", "such as 'acme_gauss'"),
        ("class", "as 'acme_class'"),
        ("statistics", "as 'acme_statistics'"),
        ("gauss", "detector 'gauss' is installed already"),
        ("numpy", "package 'numpy' is installed already"),
        ("anomalib-lite", "package 'anomalib_lite' is installed already"),
    ],
)
def test_a_name_that_would_not_work_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        scaffold.create(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["acme_broken", "acme-named"])
def test_the_name_of_a_broken_plugin_is_taken(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(Provider("acme_broken", "acme-broken", "2.0"), "it fails", ("acme_named",))
    monkeypatch.setattr(registry, "load", lambda: SimpleNamespace(detectors={}, providers={}, problems=(problem,)))
    with pytest.raises(ConfigError, match=r"installed already, from acme-broken 2\.0"):
        scaffold.create(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_the_same_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_gauss").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert scaffold.package_name("acme-gauss") == "acme_gauss"


def test_what_exists_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "acme-gauss").mkdir()
    (tmp_path / "acme-gauss" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        scaffold.create("acme_gauss", tmp_path)
    assert written(tmp_path) == ["acme-gauss/mine.txt"]


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def until_full(path: Path, *arguments: str, **options: str) -> int:
        if path.name == "config.py":
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", until_full)
    with pytest.raises(ConfigError, match="No space left on device"):
        scaffold.create("acme_gauss", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("option", "word"), [((), "spreads"), (("--backbone",), "backbone")])
def test_the_command_says_what_to_do_next(
    option: tuple[str, ...],
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["plugins", "new", "acme-gauss", *option])
    assert not ended.value.code
    assert "cd acme-gauss\n" in capsys.readouterr().out
    assert written(tmp_path / "acme-gauss") == FILES
    assert word in (tmp_path / "acme-gauss/src/acme_gauss/detector.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["class"], "Python itself"),
        (["x", "--out", "FILE"], "--out"),
        (["acme-both", "--reference", "--backbone"], "give one of them"),
    ],
)
def test_the_command_exits_with_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["plugins", "new", *(str(tmp_path / "file") if word == "FILE" else word for word in arguments)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
