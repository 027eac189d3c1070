"""The Markdown files: prose within 120 columns, links that lead somewhere, and one name for each thing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WIDTH = 120
NAMES = {"golden sample": "golden image", "score map": "anomaly map", "workpiece": "part"}
"""What would be a second name for a thing, and its name."""


def documents() -> list[Path]:
    """Every Markdown file of the project; not those that are installed or built in hidden folders and elsewhere."""
    folders = [ROOT / name for name in ("anomalib_lite", "configs", "data_samples", "deploy", "plugins", "tests")]
    found = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))]
    return sorted(path for path in found if "node_modules" not in path.parts)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, those of code and of tables left out."""
    fenced, before = False, "blank"
    for number, line in enumerate(text.splitlines(), 1):
        fence = line.lstrip().startswith("```")
        indented = line.startswith("    ") and before != "prose"
        if not (fence or fenced or indented or line.startswith("|")):
            yield number, line
        before = "blank" if not line.strip() else "code" if indented else "prose"
        fenced ^= fence


def told(path: Path, number: int, what: str) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{number}: {what}"


def too_wide(path: Path) -> list[str]:
    lines = prose(path.read_text(encoding="utf-8"))
    return [told(path, number, f"{len(line)} columns") for number, line in lines if len(line) > WIDTH]


def misnamed(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [
        told(path, text.count("\n", 0, match.start()) + 1, f"{second} is called {name}")
        for second, name in NAMES.items()
        for match in re.finditer(second.replace(" ", r"\s+"), text, re.I)
    ]


def astray(path: Path) -> list[str]:
    lines = prose(path.read_text(encoding="utf-8"))
    links = ((number, link) for number, line in lines for link in re.findall(r"\]\(([^)#:]+)\)", line))
    return [told(path, number, f"no {link}") for number, link in links if not (path.parent / link).exists()]


def test_prose_is_within_120_columns() -> None:
    assert not [fault for path in documents() for fault in too_wide(path)]


def test_each_thing_has_one_name() -> None:
    assert not [fault for path in documents() for fault in misnamed(path)]


def test_links_between_files_lead_somewhere() -> None:
    assert not [fault for path in documents() for fault in astray(path)]


def test_the_documents_are_found() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in documents()}
    assert {"README.md", "CHANGELOG.md", "plugins/README.md", "deploy/README.md", "data_samples/README.md"} <= found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("prose\n```\ncode\n```\nprose", [1, 5]),
        ("| a | table |\n\n- item\n  goes on\n", [2, 3, 4]),
        ("before\n\n    code\n    code\n\nafter", [1, 2, 5, 6]),
        ("1. item\n    goes on", [1, 2]),
    ],
)
def test_prose_is_told_from_code_and_tables(text: str, lines: list[int]) -> None:
    assert [number for number, _ in prose(text)] == lines


def test_offenders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "a.md"
    path.write_text("A [link](b.md)\nto a golden\nsample. " + "x" * 120)
    assert too_wide(path) == ["a.md:3: 128 columns"]
    assert misnamed(path) == ["a.md:2: golden sample is called golden image"]
    assert astray(path) == ["a.md:1: no b.md"]
