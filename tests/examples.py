"""Runs command lines as they stand in the help and in the README: shorter trainings, free ports, files that arrive."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import call

WITH = {  # what is added to a command where it would take long, or need a port that is taken
    "demo": ["--steps", "2"],
    "train": ["--minutes", "0.02", "--set", "image.height=128", "--set", "image.width=128"],
    "train inpainting": ["--set", "options.cells=[8]", "--set", "options.widths=[8, 8]"],
    "train change": ["--steps", "1"],
    "compare": ["--minutes", "0.02", "--set", "image.height=128", "--set", "image.width=128"],
    "export": ["--blind"],  # so short a training sees nothing
    "serve": ["--port", "PORT"],
    "review": ["--port", "PORT"],
}

BOARDS = "data_samples/board/inspected"
FEW = {BOARDS: [f"{BOARDS}/board{number:03}.jpg" for number in range(1, 9)]}  # each is aligned with every golden image


def words_of(block: str) -> list[str]:
    """What a shell would run."""
    return shlex.split(block.replace("\\\n", ""), comments=True)


def shortened(words: list[str]) -> list[str]:
    """The words of a command, with those that make it short; where it takes many images, some of them."""
    words = [few for word in words for few in FEW.get(word, [word])]
    added = [*WITH.get(words[0], []), *WITH.get(" ".join(words[:2]), [])]
    if words[:2] == ["train", "change"]:
        added = WITH["train change"]
    return words + added


def three_of_each_design(pairs: Path) -> None:
    """Leave the first three photographs of each design in a table of boards: each is aligned, in every fit."""
    header, *rows = pairs.read_text(encoding="utf-8").splitlines()
    designs = [re.findall(r"golden/\w+", row)[0] for row in rows]
    few = [row for place, row in enumerate(rows) if designs[:place].count(designs[place]) < 3]
    pairs.write_text("\n".join([header, *few]), encoding="utf-8")


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command line in a process of its own, which ends as a service manager would end it."""
    command = [sys.executable, "-m", "anomalib_lite", *words, "--no-plugins"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def watches(words: list[str], image: Path) -> str:
    """The verdict on an image that arrives in incoming/."""
    with started(words) as process:
        shutil.copy(image, "incoming/.part")
        Path("incoming/.part").rename(f"incoming/{image.name}")
        results = Path("incoming/results.jsonl")
        while process.poll() is None and not (results.exists() and results.read_text().endswith("\n")):
            time.sleep(0.05)
        return str(json.loads(results.read_text())["verdict"])


def serves(words: list[str], block: str) -> str:
    """The verdict on what the comment above it sends with curl."""
    pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with started([port if word == "PORT" else word for word in words]) as process:
        assert process.stderr is not None
        assert "serving" in process.stderr.readline()
        typed = block.partition("curl ")[2].partition("\nanomalib-lite")[0].replace("\\\n#", "")
        url, _, header, _, file = shlex.split(typed)
        name, value = header.split(": ")
        request = urllib.request.Request(url.replace("8000", port), Path(file[1:]).read_bytes(), {name: value})
        return _verdict(request)


def opens(words: list[str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a station comes as far as being asked."""
    started = []
    monkeypatch.setattr(pytest.importorskip("uvicorn").Server, "run", lambda self, **options: started.append(self))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return call(*(port if word == "PORT" else word for word in words)) == 0 and len(started) == 1


def _verdict(request: urllib.request.Request) -> str:
    for _ in range(100):
        try:
            with urllib.request.urlopen(request) as answer:
                return str(json.load(answer)["verdict"])
        except urllib.error.HTTPError as error:
            pytest.fail(error.read().decode())
        except OSError:  # it does not listen yet
            time.sleep(0.1)
    pytest.fail("the service does not answer")
