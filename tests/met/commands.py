"""What users met with commands, lines 16 to 18 and 21 to 23."""

from __future__ import annotations

import csv
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import picture, save
from environments import ROOT

from anomalib_lite.edge import watch as watching
from anomalib_lite.pipeline import int8
from met.case import CALIBRATE, CHECK, EVALUATE, GROUP, PREDICT, TRAIN, Case, Places, bad, good, labelled, nothing

RESULTS = ("--out", "HERE/results")
LONG = "x" * 248 + ".png"
ONE_LINE = r"^At most .* 299 held-out images are needed: .*\.$"
INT8 = ("export", "MODEL", "--int8", "--data", "DATA", *GROUP, "--out", "HERE/part_int8.zip")
WATCH = ("watch", "MODEL", "DATA", "--settle", "0.05")


def mixed(root: Path) -> None:
    good(root, number=3)
    bad(root, "", 2)


def tabled(root: Path) -> None:
    mixed(root / "pictures")
    rows = sorted(path.name for path in (root / "pictures").iterdir())
    (root / "table.csv").write_text("datei\n" + "".join(f"pictures/{name}\n" for name in rows))


def long_name(root: Path) -> None:
    save(root / LONG, picture(200, defect=True))


def broken(root: Path) -> None:
    for name in ("good/a.png", "dent/b.png"):
        (root / "test" / name).parent.mkdir(parents=True)
        (root / "test" / name).write_bytes(b"no image")


def partly_broken(root: Path) -> None:
    labelled(root)
    (root / "test/good/broken.png").write_bytes(b"no image")


def only(*names: str) -> Callable[[Places], bool]:
    """What lies in the folder of results, however deep."""

    def check(places: Places) -> bool:
        found = {
            path.relative_to(places.here / "results").as_posix() for path in (places.here / "results").rglob("*.*")
        }
        return found == {"results.csv", "results.jsonl", "report.html", *names}

    return check


def row_names_its_picture(places: Places) -> bool:
    with (places.here / "results/results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    return (places.here / "results" / row["heatmap"]).is_file()


def no_locks(patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(37, "No locks available")

    patch.setattr("fcntl.flock", refuse)
    steps(patch)


def steps(patch: pytest.MonkeyPatch) -> None:
    """Watch for a moment, and end."""

    def some(watcher: Any, stop: Any, each: Callable[[Any], None], say: Callable[[str], None]) -> None:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for row in watcher.step():
                each(row)
            time.sleep(0.05)
        for remark in watcher.remarks():
            say(remark)

    patch.setattr(signal, "signal", lambda *_: None)
    patch.setattr(watching, "watch", some)


def dated(root: Path) -> None:
    bad(root, "2026-11-28", 1)
    (root / "notes.txt").write_text("hello")
    (root / "none.png").write_bytes(b"no image")


def taken(patch: pytest.MonkeyPatch) -> None:
    """Port 8765 belongs to another program, as far as this process sees."""
    bind = socket.socket.bind

    def refuse(self: socket.socket, address: Any) -> None:
        if address[1] == 8765:
            raise OSError(98, "Address already in use")
        bind(self, address)

    patch.setattr(socket.socket, "bind", refuse)


def of_training_and_new(root: Path) -> None:
    good(root, first=0)
    good(root, number=6, first=500)


def never_faster(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(int8, "MIN_SPEEDUP", 1e9)


def settings(root: Path) -> None:
    good(root, number=20)
    (root.parent / "settings.yaml").write_text("calibration:\n  max_false_reject: 2%\n  holdout: 40 %\n")


def readme_runs(places: Places) -> bool:
    """The README's blocks are run by `test_readme.py`, its pictures are there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = {ROOT / path for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", readme)}
    return len(named) == 3 and all(path.is_file() for path in named)


CASES = [
    Case(16, "an earlier result", good, (*PREDICT, *RESULTS), 2, ("holds an earlier result", "--overwrite"),
         before=(*PREDICT, *RESULTS)),
    Case(16, "an earlier evaluation", labelled, (*EVALUATE, *RESULTS), 2, ("holds an earlier result", "--overwrite"),
         before=(*EVALUATE, *RESULTS)),
    Case(16, "replaced without remains", labelled, (*PREDICT, *RESULTS, "--overwrite"), 0, ("OK 6", "NG 4"),
         before=(*EVALUATE, *RESULTS, "--overwrite"), check=only()),
    Case(17, "a table", tabled, ("predict", "MODEL", "DATA/table.csv", "--column", "image=datei"), 0, ("OK 3", "NG 2")),
    Case(17, "patterns", tabled, ("predict", "MODEL", "DATA/pict*/part1*.png", "DATA/**/part200*"), 0,
         ("OK 3", "NG 1")),
    Case(17, "a pattern without a match", tabled, ("predict", "MODEL", "DATA/*.jpg"), 3,
         ("no file matches this pattern", "Check the folder")),
    Case(17, "heat maps of rejects", mixed, (*PREDICT, *RESULTS, "--heatmaps", "ng"), 0, ("NG 2",),
         check=only("heatmaps/part200_0.png.png", "heatmaps/part201_0.png.png")),
    Case(17, "heat maps alone", mixed, (*PREDICT, *RESULTS, "--heatmaps"), 0, ("NG 2",),
         check=only(*[f"heatmaps/part{part}_0.png.png" for part in (100, 101, 102, 200, 201)])),
    Case(17, "a name of 252 characters", long_name, (*PREDICT, *RESULTS, "--heatmaps"), 0, ("NG 1",),
         check=row_names_its_picture),
    Case(18, "nothing measured", broken, EVALUATE, 3, ("ERROR test/dent/b.png", "2 images could not be measured"),
         ("false reject rate",)),
    Case(18, "something measured", partly_broken, EVALUATE, 0, ("ERROR test/good/broken.png", "measured 1")),
    Case(18, "strictly", partly_broken, (*EVALUATE, "--strict"), 3, ("1 image could not be measured",)),
    Case(21, "no locks on a share", good, WATCH, 3, ("its file system has no locks", "Mount the share with locks"),
         ("writable",), patch=no_locks),
    Case(21, "folders of days", dated, (*WATCH, "--recursive"), 0, ("ng/2026-11-28/part200_0.png",), patch=steps),
    Case(21, "folders of days, unasked", dated, WATCH, 0, ("2026-11-28", "--recursive", "notes.txt"), ("ng/",),
         patch=steps),
    Case(22, "threads of calibrate", lambda root: good(root, first=500), (*CALIBRATE, "--threads", "1"), 0, ("model",)),
    Case(22, "threads of export", nothing, ("export", "MODEL", "--out", "OUT", "--threads", "1"), 0, ("model",)),
    Case(22, "threads of train", good, (*TRAIN, "--threads", "1"), 0, ("model",)),
    Case(22, "threads of rescore", lambda root: good(root, first=500),
         ("rescore", "MODEL", "DATA", *GROUP, "--set", "score.sigma=2", "--out", "OUT", "--threads", "1"), 0,
         ("model",)),
    Case(22, "rescore to a file's name", nothing, ("rescore", "MODEL", "DATA", "--out", "HERE/part.csv"), 2,
         ("Leave '.csv' out",)),
    Case(22, "a port that is taken", nothing, ("serve", "MODEL", "--port", "8765"), 2,
         ("127.0.0.1:8765 cannot be served", "--port 8766"), ("serving",), patch=taken),
    Case(22, "export to a file's name", nothing, ("export", "MODEL", "--out", "HERE/part.onnx"), 2,
         ("part.onnx: a folder, or a zip file", "Leave '.onnx' out"),
         check=lambda places: not (places.here / "part.onnx").exists()),
    Case(22, "int8 that stays float", of_training_and_new, INT8, 0,
         ("part_float.zip", "float: int8 is not adopted"), patch=never_faster,
         check=lambda places: [path.name for path in places.here.glob("*.zip")] == ["part_float.zip"]),
    Case(22, "shares in YAML", settings, (*CHECK, "--config", "HERE/settings.yaml"), 0,
         ("12 images to fit, 8 images to calibrate", "for 2 %")),
    Case(22, "shares in --set", settings, (*CHECK, "--set", "calibration.max_false_reject=2%"), 0, ("for 2 %",)),
    Case(22, "an option within an option", good, (*TRAIN, "--set", "image.hight=3"), 2,
         ("image.hight is not an option", "Did you mean 'height'"), ("..",)),
    Case(22, "promises that are piped", good, TRAIN, 0, ("At most",), line_like=ONE_LINE),
    Case(22, "steps behind the bar", good, TRAIN, 0,
         ("exporting the graph, and comparing it with torch", "writing the model and its report")),
    Case(22, "plugins at 80 columns", nothing, ("plugins", "list"), 0, ("gauss (", "A Gaussian per pixel.")),
    Case(23, "the README", nothing, ("--version",), 0, ("anomalib-lite",), check=readme_runs),
]  # fmt: skip
