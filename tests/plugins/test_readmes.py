"""Every plugin's README answers the same questions, in the same order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
READMES = sorted(PLUGINS.glob("*/README.md"))
DETECTORS = [path for path in READMES if "register_detectors" in (path.parent / "__init__.py").read_text("utf-8")]
HEADINGS = ["When to use it", "When not", "How it works", "Options", "Measured", "How to repeat it"]


def sections(text: str) -> dict[str, str]:
    """What stands under each heading of the second level."""
    parts = (part.partition("\n") for part in re.split(r"^## ", text, flags=re.M)[1:])
    return {heading: body.strip() for heading, _, body in parts}


def commands(text: str) -> list[str]:
    return [block for block in re.findall(r"^```\n(.*?)^```$", text, re.M | re.S) if block.strip()]


def test_every_plugin_has_a_readme() -> None:
    folders = [init.parent for init in PLUGINS.glob("*/__init__.py")]
    assert folders
    assert sorted(folder / "README.md" for folder in folders) == READMES


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_the_headings_are_those_of_the_template(readme: Path) -> None:
    found = sections(readme.read_text(encoding="utf-8"))
    assert list(found) == HEADINGS
    assert all(found.values()), [heading for heading, body in found.items() if not body]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_what_was_measured_can_be_repeated(readme: Path) -> None:
    assert commands(sections(readme.read_text(encoding="utf-8"))["How to repeat it"])


@pytest.mark.parametrize("readme", DETECTORS, ids=lambda path: path.parent.name)
def test_what_was_measured_outside_of_the_development_is_told(readme: Path) -> None:
    measured = " ".join(sections(readme.read_text(encoding="utf-8"))["Measured"].split())
    assert re.search(r"\*\*On (tiles that took no part in development|pairs of other boards)\*\*", measured)


def test_experiments_are_linked_from_the_readme_beside_them() -> None:
    for path in PLUGINS.glob("*/EXPERIMENTS.md"):
        assert "(EXPERIMENTS.md)" in (path.parent / "README.md").read_text(encoding="utf-8"), path
