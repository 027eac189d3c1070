"""A detector made of others: what the user left out is left out, and what it is made of reaches the manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import edited  # noqa: F401 - the fixtures of the tests' plugin

import anomalib_lite as al
from anomalib_lite import members
from anomalib_lite.config import DetectorConfig
from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError, PluginError
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import described

SPEC = ImageSpec(48, 48, 1, "uint8", 255.0)


class Blurred(DetectorConfig):
    members: tuple[str, ...] = ("gauss",)
    """Which."""
    place: bool = False
    """Whether the map depends on the place."""

    def describe(self, info: Any) -> Any:
        return replace(info, members=self.members, positional=self.place, defaults={"score.sigma": 2.0})


INFO = DetectorInfo(name="blurred", summary="x", target="tests:Blurred", config=Blurred, api=2)


def test_what_is_installed_is_named() -> None:
    assert {"gauss", "draem"} <= set(al.detectors())
    assert al.detectors()["gauss"].name == "gauss"


def test_a_member_is_built_with_its_options() -> None:
    detector = al.build("gauss", {"floor": 0.5}, SPEC)
    assert detector.config.floor == 0.5
    assert detector.image == SPEC
    with pytest.raises(ConfigError, match="flor is not an option"):
        al.build("gauss", {"flor": 0.5}, SPEC)
    with pytest.raises(PluginError, match="no detector 'gaus'"):
        al.build("gaus", {}, SPEC)


def test_what_the_user_left_out_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOMALIB_LITE_PLUGINS", "draem")
    assert set(members.detectors()) == {"draem"}
    with pytest.raises(PluginError, match="restricts which plugins are loaded"):
        members.build("gauss", {}, SPEC)


def test_options_change_the_description_in_one_place() -> None:
    found = described(INFO, Blurred(place=True))
    assert (found.members, found.positional, dict(found.defaults)) == (("gauss",), True, {"score.sigma": 2.0})


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "expected its DetectorInfo"),
        (replace(INFO, name="other"), "expected its DetectorInfo"),
        (replace(INFO, positional="no"), "positional 'no': expected True or False"),  # type: ignore[arg-type]
        (replace(INFO, defaults={"score.sigmma": 1}), "score.sigmma is not an option"),
    ],
)
def test_a_description_that_makes_no_sense_is_a_plugin_error(returned: Any, said: str) -> None:
    class Broken(DetectorConfig):
        def describe(self, info: Any) -> Any:
            return returned

    with pytest.raises(PluginError, match=said):
        described(replace(INFO, config=Broken), Broken())


def test_the_manifest_names_what_a_model_is_made_of(train: Any, parts: Path, tmp_path: Path) -> None:
    train(parts, tmp_path / "model", detector="twice")
    (member,) = bundle.load(tmp_path / "model").manifest.detector.members
    assert (member.name, member.plugin) == ("gauss", "?")
