"""The README: every block can be copied as it stands, in its order, and works; its pictures are there, and small.

Of the guide, whose commands need clusters and stores, the Python runs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import call
from environments import ROOT
from examples import serves, shortened, three_of_each_design, watches, words_of
from needs import need

from anomalib_lite.calibration.binomial import in_all, needed
from anomalib_lite.edge import Model

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "deploy/GUIDE.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [*FENCED.findall(README), *(block for block in FENCED.findall(GUIDE) if block[0] == "python")]
PICTURES = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", README)
MAX_BYTES = 300_000


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block with the comments above it, and its words."""
    for piece in re.findall(r"(?:^#.*\n)*^[^#\n](?:.*\\\n)*.*\n", block, re.MULTILINE):
        yield piece, words_of(piece)


def test_every_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines() if line[0:1] != "#"]
    assert not [line for line in lines if re.search(r"\S {2,}\S", line)], (
        "a remark beside a command is not to be copied"
    )


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a checkout as far as the README's commands look at it."""
    shutil.copytree(ROOT / "data_samples", tmp_path / "data_samples")
    three_of_each_design(tmp_path / "data_samples/board/pairs.csv")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.long
def test_the_blocks_work_in_their_order(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = 0
    for kind, block in BLOCKS:
        if kind == "python":
            short = '{"training.steps": 2, "options.cells": [8], "options.widths": [8, 8], "image.height": 128}'
            exec(block.replace('{"training.minutes": 20}', short), {})
            ran += 1
            continue
        for text, words in commands(block):
            run(text, words)
            ran += 1
    assert ran == sum(1 if kind == "python" else len(list(commands(block))) for kind, block in BLOCKS) > 15
    assert {"results", "evaluation", "part.zip", "board_results"} <= {path.name for path in checkout.iterdir()}


def run(text: str, words: list[str]) -> None:
    """Run one command, the installing ones as far as that goes without a network."""
    match words:
        case ["make", target]:
            said = subprocess.run(["make", "-n", target], check=True, capture_output=True, text=True).stdout
            assert {"demo": "anomalib-lite demo", "test": "pytest"}[target] in said
        case ["python3", "-m", "venv", place]:
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        case [".", script]:
            assert Path(script).is_file()
        case ["pip", "install", "-e", what]:
            extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert set(re.findall(r"\w+", what)) <= set(extras)
        case ["mkdir", folder]:
            Path(folder).mkdir()
        case ["anomalib-lite", "watch", *_]:
            assert watches(words[1:], Path("data_samples/part/test/good/part081_1.jpg")) in ("OK", "REVIEW", "NG")
        case ["anomalib-lite", "serve", *_]:
            assert serves(shortened(words[1:]), text) in ("OK", "REVIEW", "NG")
        case ["anomalib-lite", *rest]:
            assert call(*shortened(rest)) == 0, text
        case _:
            pytest.fail(f"nobody knows how to run: {text}")


def test_the_pictures_are_made_by_the_script_and_small() -> None:
    made = ROOT / "data_samples/pictures"
    assert {ROOT / path for _, path in PICTURES} == set(made.iterdir())
    assert sum(path.stat().st_size for path in made.iterdir()) <= MAX_BYTES
    script = (ROOT / "data_samples/pictures.py").read_text(encoding="utf-8")
    assert all(path.stem in script for path in made.iterdir())
    assert "python data_samples/pictures.py" in README


def test_the_numbers_of_parts_are_those_of_the_rule() -> None:
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| at most ([\d.]+) % \|$", README, re.MULTILINE)
    assert len(rows) == 4
    for held_out, total, rate in rows:
        assert int(held_out.replace(",", "")) == needed(float(rate) / 100, 0.95)
        assert int(total.replace(",", "")) == in_all(int(held_out.replace(",", "")), 0.3)


@pytest.mark.parametrize("word", ["Windows", "GPU", "disk space", "REVIEW", "Where the rejects are", "your part"])
def test_what_everybody_asks_is_answered(word: str) -> None:
    assert word in README


def test_the_pictures_can_be_made_again(model_path: Path, parts: Path, tmp_path: Path) -> None:
    import pictures

    assert pictures.draw_part(Model(model_path), parts / "test", tmp_path).parent.name in ("dent", "hole")
    assert {path.name for path in tmp_path.iterdir()} == {"part.jpg", "heatmap.jpg"}
    need(shutil.which("chromium"), "Chromium photographs the report")
    page = tmp_path / "report.html"
    page.write_text("<h1>A report</h1>")
    assert pictures.draw_report(page, tmp_path / "report.jpg")
    assert (tmp_path / "report.jpg").stat().st_size > 1000
