"""Standard output that is full, closed, or read by nobody any more, and words that are empty."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import call
from needs import need

COMMANDS = [  # one for each way to print: all print through `console`, and so alike
    ["--help"],
    ["--version"],
    ["doctor"],
    ["plugins", "list", "--json"],
    ["verify", "MODEL"],
    ["predict", "MODEL", "DATA/test/good"],
    ["predict", "MODEL", "DATA/test/good", "--json"],
    ["evaluate", "MODEL", "DATA", "--json"],
    ["calibrate", "MODEL", "DATA/test/good", "--out", "OUT", "--group", r"part(\d+)"],
    ["export", "MODEL", "--out", "OUT"],
]


@pytest.fixture
def command(request: pytest.FixtureRequest, model_path: Path, parts: Path, tmp_path: Path) -> str:
    named = {"MODEL": model_path, "DATA": parts, "OUT": tmp_path / "out"}
    words = []
    for word in request.param:
        for name, path in named.items():
            word = word.replace(name, str(path))
        words.append(f"'{word}'")
    return f"{sys.executable} -m anomalib_lite {' '.join(words)}"


def run(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join, indirect=True)
def test_no_command_calls_a_full_or_closed_output_a_bug(command: str) -> None:
    need(os.path.exists("/dev/full"), "this system has no full device")  # noqa: PTH110
    full = run(f"{command} > /dev/full")
    assert full.returncode == 3
    assert full.stderr.splitlines()[-1] == (
        "error: standard output cannot be written (No space left on device). Lead it to where there is room."
    )
    command = command.replace("/out'", "/again'")
    closed = run(f"{command} >&-")
    assert (closed.returncode, "bug" in closed.stderr) == (0, False), closed.stderr
    command = command.replace("/again'", "/more'")
    unread = run(f"{{ {command}; echo $? >&2; }} | true")
    assert unread.stderr.splitlines()[-1] == "141"
    assert "error" not in unread.stderr


def test_what_cannot_be_said_changes_no_exit_code(tmp_path: Path) -> None:
    need(os.path.exists("/dev/full"), "this system has no full device")  # noqa: PTH110
    for stream in ("2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        assert run(f"{sys.executable} -m anomalib_lite verify '{tmp_path}/nothing' {stream}").returncode == 4


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["predict", "model", ""], "argument 3 is empty"),
        (["predict", "", "images"], "argument 2 is empty"),
        (["watch", "model", ""], "argument 3 is empty"),
        (["train", "gauss", "data", "--out", ""], "--out has an empty value"),
        (["train", "gauss", "data", "--out="], "--out has an empty value"),
        (["evaluate", "model", "data", "--group", ""], "--group has an empty value"),
        ([""], "argument 1 is empty"),
    ],
)
def test_an_empty_word_is_no_path(words: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    assert capsys.readouterr().err.startswith(f"error: {named}: is a variable of your shell not set?")
