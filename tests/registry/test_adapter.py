"""Plugins of API 1 are loaded through one adapter, and told what to change."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from environments import ROOT

from anomalib_lite import registry
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError
from anomalib_lite.hookspecs import API_VERSION, PROJECT
from anomalib_lite.registry import loading
from anomalib_lite.registry.vetting import faults


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> registry.Registry:
    monkeypatch.syspath_prepend(ROOT / "tests/api_1")
    monkeypatch.setattr(loading, "_entry_points", lambda: [EntryPoint("acme_old", "acme_old", PROJECT)])
    return registry.load()


def test_it_is_loaded_with_a_line_that_says_what_to_change(old: registry.Registry) -> None:
    assert not old.problems
    assert old.detectors["acme_old"].api == API_VERSION
    assert ".old" in old.readers
    detector, reader = (str(note) for note in old.notes)
    assert "'acme_old' is written for plugin API 1 and works. For API 2 say api=2" in detector
    assert "the reader .old is written for plugin API 1" in reader


def test_its_options_say_what_depends_on_the_place(old: registry.Registry) -> None:
    info = old.detectors["acme_old"]
    for place in (False, True):
        assert registry.described(info, info.config.model_validate({"place": place})).positional is place
    with pytest.raises(Exception, match="place"):
        info.config.model_validate({"place": "perhaps"})


def test_it_trains_and_judges(old: registry.Registry, train: Any, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"image\.mode=tile: the map of 'acme_old' with these options depends"):
        train(
            parts,
            tmp_path / "x",
            {"image.mode": "tile", "image.overlap": 8, "options.place": True},
            detector="acme_old",
        )
    train(parts, tmp_path / "model", detector="acme_old")
    assert Model(tmp_path / "model").inspect(parts / "test/hole/part35_0.png").verdict is Verdict.NG


def test_a_later_version_is_refused_with_both_numbers(old: registry.Registry) -> None:
    later = replace(old.detectors["acme_old"], api=3)
    assert faults(later) == [f"it speaks plugin API 3, this host speaks {API_VERSION}: install a matching version"]
