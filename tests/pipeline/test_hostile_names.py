"""Any name that Linux allows works in every command, and is obeyed by nothing that shows it."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import pytest
from conftest import SIZE, call, picture, save
from needs import need

from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher

NAMES = [
    "a\nOK             0.1  good.png", "b\x1b[2J\x1b]0;x\x07.png", "c\rOK.png", "=1+1.png", "  =1+1.png",
    "\uff1d1+1.png", "d\u202egnp.exe.png", os.fsdecode(b"\xff\xfe.png"), "é" * 125 + ".png", "<script>x<br>.png",
    "%s{0}[red]x[bold].png", "-rf.png", "x;y,z\"'`$(id)|&.png", "\u2028line.png", "\x9b31m.png", "back\\slash.png",
    "tab\there.png", " .png", "a.PNG", "\u3000x.png", "nul\x01.png", " x .png", "~", "*?[a].png", "\ufeffa.png",
]  # fmt: skip
KINDS = ["good", "de\nnt\x1b[1m", os.fsdecode(b"\xfe"), "=kind", "-x"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, of such names themselves."""
    need(sys.platform == "linux", "other systems allow fewer names")
    place = tmp_path_factory.mktemp("names") / os.fsdecode(b"pl\xffa\n\x1bce")
    for number in range(25):
        save(place / f"da\nta/train/good/{number}.png", picture(number))
    for number, name in enumerate(NAMES):
        new = save(place / "new.png", picture(9000 + number))
        new.rename(place / "da\nta/train/good" / name)
        for other, kind in enumerate(KINDS):
            (place / "da\nta/test" / kind).mkdir(parents=True, exist_ok=True)
            save(new, picture(9100 + 100 * other + number, defect=kind != "good"))
            new.rename(place / "da\nta/test" / kind / name)
    return place


def obeyed(text: str) -> set[str]:
    """Characters that a terminal or a reader of lines obeys."""
    return {one for one in text if not one.isprintable() and one not in "\n\u3000"}


def test_every_command_takes_every_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model, out = place / "da\nta", place / "mo\rdel", place / "out"
    fresh = place / "fresh"
    fresh.mkdir()
    for number, name in enumerate(NAMES):
        save(place / "new.png", picture(5000 + number)).rename(fresh / name)
    size = ["--set", f"image.height={SIZE}", "--set", f"image.width={SIZE}"]
    commands: list[list[str | Path]] = [
        ["data", "check", data],
        ["train", "gauss", data, "--out", model, *size],
        ["train", "gauss", data, "--out", model, "--overwrite", *size],
        ["verify", model],
        ["predict", model, data, "--out", out / "predicted", "--heatmaps"],
        ["predict", model, data / "test/good", "--json"],
        ["evaluate", model, data, "--out", out / "evaluated"],
        ["export", model, "--out", place / "part.zip"],
        ["verify", place / "part.zip"],
        ["calibrate", model, fresh, "--all-good"],
        ["calibrate", model, fresh, "--all-good", "--group", "(?s)(.+)", "--out", place / "again"],
    ]
    for command in commands:
        assert call(*command) == 0, command
        said = capsys.readouterr()
        assert not obeyed(said.out + said.err), command
        forged = [line for line in said.out.splitlines() if line.endswith("  good.png") and line.startswith("OK")]
        assert all("a\\nOK" in line for line in forged), "a name made a line of its own"
    for folder, number in (("predicted", 25 + 6 * len(NAMES)), ("evaluated", 5 * len(NAMES))):
        with (out / folder / "results.csv").open(newline="", encoding="utf-8") as file:
            cells = [row["image"] for row in csv.DictReader(file)]
        lines = (out / folder / "results.jsonl").read_bytes().decode("ascii").splitlines()
        assert len(cells) == len(lines) == number
        assert all(os.path.lexists(json.loads(line)["image"]) for line in lines) or folder == "evaluated"
        report = (out / folder / "report.html").read_text("utf-8")
        assert "<script>x" not in report
        assert not obeyed(report)
    assert not obeyed((model / "manifest.json").read_text("utf-8"))
    assert len([row for row in lines if json.loads(row).get("label") == os.fsdecode(b"\xfe")]) == len(NAMES)


def test_watch_takes_every_name(place: Path, model_path: Path) -> None:
    folder = place / "wat\nched"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        save(place / "new.png", picture(5000 + number)).rename(folder / name)
    with Watcher(Model(model_path), folder, settle=0.0) as one:
        found = list(one.step())
        remarks = one.remarks()
    assert {row["image"] for row in found} == set(NAMES)
    assert remarks == []
    assert all((folder / row["moved_to"]).is_file() for row in found)
    assert len((folder / "results.jsonl").read_bytes().decode("ascii").splitlines()) == len(found)
