"""Libraries that are too old are refused where a model is loaded, not at each image."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import onnxruntime
import PIL
import pytest
from environments import ROOT

from anomalib_lite.edge import libraries
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError


@pytest.mark.parametrize(
    ("library", "version", "said"),
    [
        (PIL, "10.0.1", r"pillow 10\.0\.1 is installed, 11 or newer is needed.*pip install --upgrade 'pillow>=11'"),
        (PIL, "9.5.0", r"pillow 9\.5\.0"),
        (onnxruntime, "1.17.3", r"onnxruntime 1\.17\.3 is installed, 1\.20 or newer is needed"),
        (onnxruntime, "1.9.0", r"onnxruntime 1\.9\.0"),
    ],
)
def test_an_old_library_is_refused_by_name(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, library: object, version: str, said: str
) -> None:
    monkeypatch.setattr(library, "__version__", version)
    with pytest.raises(ConfigError, match=said):
        Model(model_path)


def test_newer_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries.check()
    monkeypatch.setattr(PIL, "__version__", "100.0.0rc1")
    monkeypatch.setattr(onnxruntime, "__version__", "2.0.0+cu12")
    libraries.check()


def test_they_are_those_that_the_package_requires() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for name, needed in libraries.NEEDED.items():
        (found,) = [one for one in required if re.fullmatch(rf"{name}>=[\d.]+", one)]
        assert found == f"{name}>={'.'.join(map(str, needed))}"
