"""The examples in docstrings: each runs as it stands there, on files of the names that it uses."""

from __future__ import annotations

import doctest
import re
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from environments import ROOT
from needs import need

PACKAGES = (ROOT / "anomalib_lite", *sorted((ROOT / "plugins").glob("anomalib_lite_*")))
BESIDE = {"anomalib_lite": ("parts", "part.png"), "anomalib_lite.edge": ("model", "part.png")}
"""What the examples of a module find in their folder."""


def modules_with_examples() -> list[str]:
    """Found in the text: only what has an example is imported, and only when it is run."""
    found = []
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE):
                found.append(".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"))
    return found


def lay(name: str, folder: Path, request: pytest.FixtureRequest) -> None:
    if name == "part.png":
        shutil.copy(request.getfixturevalue("parts") / "test/good/part20_0.png", folder / name)
    else:
        shutil.copytree(request.getfixturevalue({"model": "model_path"}.get(name, name)), folder / name)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_run(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(name not in BESIDE or find_spec("torch"), f"the examples of {name} need torch, for a trained model")
    for beside in BESIDE.get(name, ()):
        lay(beside, tmp_path, request)
    monkeypatch.chdir(tmp_path)
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        need(False, f"the examples of {name} need {error.name}")
    failed, tried = doctest.testmod(module, extraglobs={"detector": "gauss"})
    assert tried  # otherwise it stands elsewhere than in a docstring
    assert not failed, "doctest says above what was expected"


def test_there_are_examples() -> None:
    assert {*BESIDE, "anomalib_lite.testing.running"} <= set(modules_with_examples())
