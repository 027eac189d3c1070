"""plugins/README.md, from an empty folder to what PyPI gets: every block is run, in order, as one shell script."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from environments import Environment

README = Path(__file__).parents[1] / "plugins" / "README.md"
PUBLISHING = """\
git init -b main
git add .
git commit -m "Start from the template of anomalib-lite"
git remote add origin https://github.com/ACME/acme-gauss.git
git tag v0.1.0
git push -u origin main v0.1.0
"""
"""The one block that is not run: it needs the reader's own repository."""


class Block(NamedTuple):
    """What stands between two fences."""

    language: str
    title: str | None  # of a file: where it goes
    text: str


def blocks() -> list[Block]:
    fenced = re.findall(r'^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$', README.read_text("utf-8"), re.M | re.S)
    return [Block(language, title or None, text) for language, title, text in fenced]


def script(wanted: list[Block], marker: str) -> str:
    """One shell script: files are written, commands run; what each block prints follows a line with the marker."""
    lines = ["set -euo pipefail", "exec 2>&1"]
    for number, block in enumerate(wanted):
        lines.append(f"echo '{marker} {number}'")
        if block.title:
            lines += [f"mkdir -p $(dirname {block.title})", f"cat > {block.title} <<'{marker}'", block.text + marker]
        elif block.language == "bash" and block.text != PUBLISHING:
            lines.append(block.text)
    return "\n".join(lines)


def shows(line: str, printed: str) -> bool:
    """Whether a line of expected output is in what was printed; `...` stands for anything on the line."""
    pattern = r".*?".join(re.escape(" ".join(part.split())) for part in line.split("..."))
    return any(re.search(pattern.replace(r"\ .*?", ".*?"), " ".join(one.split())) for one in printed.splitlines())


def test_every_block_is_a_file_a_command_or_what_it_prints() -> None:
    for before, block in zip([None, *blocks()], blocks(), strict=False):
        assert block.language in ("bash", "text") or block.title, block
        if block.language == "text":
            assert before is not None
            assert before.language == "bash", block
    assert [block.text for block in blocks()].count(PUBLISHING) == 1
    assert README.read_text("utf-8").count("\n```") == 2 * len(blocks())


def test_what_is_shown_is_told_from_what_is_not() -> None:
    assert shows("NG ... bad.png", "NG       12.3  bad.png\n")
    assert not shows("NG ... bad.png", "OK  1 good.png\nNG  2\nbad.png\n")


@pytest.mark.slow
@pytest.mark.long
def test_the_tutorial_works_as_written(host_wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / ".venv")  # the one that the first block makes: torch is lent to it
    environment.install("--no-deps", host_wheel)
    environment.lend()
    wanted, marker = blocks(), "END-OF-BLOCK"
    command = ["bash", "-c", script(wanted, marker)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment.variables())
    assert done.returncode == 0, done.stdout[-6000:]
    printed = re.split(rf"^{marker} \d+\n", done.stdout, flags=re.M)[1:]
    assert len(printed) == len(wanted)
    for before, block in zip(["", *printed], wanted, strict=False):
        missing = [line for line in block.text.splitlines() if block.language == "text" and not shows(line, before)]
        assert not missing, f"{missing} not in:\n{before}"
