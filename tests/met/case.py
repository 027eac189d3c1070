"""A line of the table of what users met, and how it is run: the input, commands, the exit code, and what is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from conftest import call, picture, save

GROUP = ("--group", r"part(\d+)")
SIZE = ("--set", "image.height=48", "--set", "image.width=48")
TRAIN = ("train", "gauss", "DATA", "--out", "OUT", *SIZE)
CHECK = ("data", "check", "DATA")
EVALUATE = ("evaluate", "MODEL", "DATA")
PREDICT = ("predict", "MODEL", "DATA")
CALIBRATE = ("calibrate", "MODEL", "DATA", *GROUP, "--out", "OUT")
MENDING = (
    r"--[a-z-]+|\b(give|name|add|remove|move|mark|put|set|paint|correct|save|leave|choose|check|write|see|run|install|"
    r"expected|copy|rename|mount|stop|read|record|restore|calibrate|train|try|must exist|did you mean|fill)\b"
)
PLACES = re.compile(r"\b(DATA|OUT|MODEL|ROI|HERE)\b")


class Places(NamedTuple):
    """Where the words of a command lie."""

    data: Path
    out: Path
    model: Path
    here: Path

    def in_(self, word: str) -> str:
        named = {
            "DATA": self.data,
            "OUT": self.out,
            "MODEL": self.model,
            "HERE": self.here,
            "ROI": self.here / "roi.png",
        }
        return PLACES.sub(lambda found: str(named[found[1]]), word)


class Case(NamedTuple):
    """A line of the table."""

    line: int  # of the list of what users met; 0 of a mistake
    what: str
    make: Callable[[Path], object]  # what is in DATA
    words: tuple[str, ...]
    code: int
    said: tuple[str, ...]  # on either stream
    unsaid: tuple[str, ...] = ()
    before: tuple[str, ...] = ()  # a command that is run first, and works
    patch: Callable[[pytest.MonkeyPatch], object] | None = None  # what is otherwise on this machine
    check: Callable[[Places], bool] | None = None  # what must hold of the files
    line_like: str = ""  # a regular expression that a line of the output matches, as it is printed


def nothing(root: Path) -> None:
    """An empty folder."""


def good(root: Path, folder: str = "", number: int = 8, first: int = 100) -> None:
    for part in range(first, first + number):
        save(root / folder / f"part{part}_0.png", picture(100 * part))


def bad(root: Path, folder: str, number: int = 4, first: int = 200) -> None:
    for part in range(first, first + number):
        save(root / folder / f"part{part}_0.png", picture(100 * part, defect=True))


def labelled(root: Path) -> None:
    """Good and defective parts with masks, to be measured."""
    good(root, "test/good", 6)
    bad(root, "test/dent")
    for part in range(200, 204):
        mask = (picture(100 * part, defect=True) < 30).astype(np.uint8) * 255
        save(root / f"ground_truth/dent/part{part}_0_mask.png", mask)


def run(case: Case, places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a line, and hold it to what it says; returns what was printed last of an error."""
    places.data.mkdir()
    case.make(places.data)
    if case.before:
        assert call(*map(places.in_, case.before)) == 0, capsys.readouterr()
        capsys.readouterr()
    if case.patch:
        case.patch(monkeypatch)
    code = call(*map(places.in_, case.words))
    printed = capsys.readouterr()
    said = " ".join((printed.out + printed.err).split())
    assert code == case.code, said
    for words in case.said:
        assert words in said
    for words in case.unsaid:
        assert words not in printed.out + printed.err
    assert re.search(case.line_like, printed.out, re.MULTILINE), printed.out
    assert case.check is None or case.check(places)
    if not code:
        return ""
    error = (printed.err.strip() or printed.out.strip()).replace("\n\n", "\n")
    return " ".join(error.split()) if error.startswith("Usage:") else error.splitlines()[-1]
