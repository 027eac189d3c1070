"""What `--help` says: words, defaults, layout; and that every example works as it stands there."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from conftest import Once, call
from examples import opens, serves, shortened, watches, words_of
from PIL import Image

from anomalib_lite.cli import app, demo, help
from anomalib_lite.config import CalibrationConfig, TrainingConfig
from anomalib_lite.review.decision import Decision, Judged, Label
from anomalib_lite.review.log import DecisionLog

ROOT = Path(__file__).parents[2]
BOARDS = ROOT / "data_samples" / "board"
BLOCKS = help.EXAMPLES.read_text(encoding="utf-8").strip().split("\n\n")
SLOW = ("demo", "train", "plugins check", "watch", "serve")


def commands(group: Any = None, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command and group below `group`: its words, and what typer makes of it."""
    top: Any = group or typer.main.get_command(app)
    for name, command in top.commands.items():
        yield f"{above}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")


ALL = dict(commands())
LEAVES = {name: command for name, command in ALL.items() if not hasattr(command, "commands")}


def command_of(block: str) -> str:
    """The command that an example is of; fails where there is none."""
    typed = words_of(block)
    (name,) = [name for name in LEAVES if typed[1 : 1 + len(name.split())] == name.split()]
    return name


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The help of a command on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def show(command: str) -> str:
        assert call(*command.split(), "--help") == 0
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize("command", ["", *ALL])
def test_help_fits_80_columns_as_plain_text(command: str, shown: Callable[[str], str]) -> None:
    text = shown(command)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert text.isascii()
    assert not re.search(r"<\w+>|\[default|\[required|\[x|\x1b", text)
    assert not [line for line in text.splitlines()[1:] if line.endswith("..")], "a sentence is cut off"


@pytest.mark.parametrize("command", LEAVES)
def test_every_parameter_has_a_sentence_and_a_type_in_words(command: str) -> None:
    for one in LEAVES[command].params:
        assert re.fullmatch(r"[A-Z].*\.", one.help, re.DOTALL), one.name
        assert getattr(one, "is_flag", False) or re.fullmatch(r"[A-Z]\w*(=[A-Z]+)?", one.metavar), one.name


@pytest.mark.parametrize("command", ["train", "predict", "serve"])
def test_options_stand_under_headings(command: str, shown: Callable[[str], str]) -> None:
    headings = re.findall(r"^(\w.*):$", shown(command), re.MULTILINE)
    assert headings[0] == "Arguments"
    assert headings[-2:] == [help.SHARED, "Examples"]
    assert "Options" not in headings
    assert len(headings) == len(set(headings))


def test_usage_names_what_cannot_be_left_out(shown: Callable[[str], str]) -> None:
    assert "train [OPTIONS] DETECTOR DATA --out FOLDER" in shown("train")
    assert "bench [OPTIONS] MODEL [IMAGE...]" in shown("bench")
    assert "predict [OPTIONS] MODEL INPUT..." in shown("predict")


def test_a_default_is_that_of_the_configuration() -> None:
    """Where an option changes a setting, its help says what the setting is without it."""
    calibration, training = CalibrationConfig(), TrainingConfig()
    stated = {one.opts[0]: one.help.rpartition("Default: ")[2].rstrip(".") for one in LEAVES["train"].params}
    assert {option: stated[option] for option in ("--max-false-reject", "--confidence", "--holdout")} == {
        "--max-false-reject": f"{calibration.max_false_reject:.0%}",
        "--confidence": f"{calibration.confidence:.0%}",
        "--holdout": f"{calibration.holdout:.0%}",
    }
    assert stated["--selfcheck"] == calibration.selfcheck
    names = ("seed", "device", "devices", "nodes", "minutes")
    assert {name: stated[f"--{name}"] for name in names} == {
        name: str(getattr(training, name)).lower() for name in names
    }
    (minutes,) = [one.help for one in LEAVES["demo"].params if one.name == "minutes"]
    assert f"Default: {demo._request(Path(), Path(), None, None, None).overrides['training.minutes']}." in minutes


def test_every_command_has_one_to_three_examples() -> None:
    counts = {name: len(help.examples(name)) for name in LEAVES}
    assert {name: count for name, count in counts.items() if not 1 <= count <= 3} == {}
    assert sum(counts.values()) == len(BLOCKS)


@pytest.mark.parametrize("command", LEAVES)
def test_help_ends_with_the_examples_as_they_are_typed(command: str, shown: Callable[[str], str]) -> None:
    ending = shown(command).partition("\nExamples:\n")[2]
    assert [line.removeprefix("  ") for line in ending.splitlines()] == "\n\n".join(help.examples(command)).splitlines()


@pytest.fixture(scope="module")
def prepared(parts: Path, ungated_path: Path, cameras: Path, views: Path, two: Path, once: Once) -> Path:
    """A folder with everything that the examples name. Not to be changed: copy it."""
    return once("examples", lambda folder: _prepare(folder, parts, ungated_path, cameras, views, two))


def _prepare(folder: Path, parts: Path, ungated_path: Path, cameras: Path, views: Path, two: Path) -> None:
    shutil.copytree(parts, folder / "parts")
    for name in ("new_images", "good_images"):
        shutil.copytree(parts / "test" / "good", folder / name)
    (folder / "boards").mkdir()
    with (BOARDS / "pairs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "good" and "design2" in row["reference"]]
    for row in rows:
        shutil.copy(BOARDS / row["image"], folder / "boards")
    Image.open(BOARDS / rows[0]["reference"]).save(folder / "golden.png")
    (folder / "settings.yaml").write_text("detector: inpainting\noptions:\n  cells: [8]\n  widths: [8, 8]\n")
    shutil.copytree(ungated_path, folder / "model")  # whose gate would let no image of the size of an example pass
    assert call("export", str(folder / "model"), "--out", str(folder / "part.zip")) == 0
    assert call("predict", str(folder / "model"), str(folder / "new_images"), "--out", str(folder / "results")) == 0
    for share in (1, 2):
        words: list[str | Path] = ["predict", folder / "model", folder / "new_images", "--shard", f"{share}/2"]
        assert call(*words, "--out", folder / f"share_{share}") == 0
    for name in ("top", "side"):
        shutil.copytree(cameras / name, folder / f"{name}_model")
    for name, model in (("bottle_model", "bar"), ("can_model", "ring")):
        shutil.copytree(two / model, folder / name)
    shutil.copytree(views / "new", folder / "both_views")
    (folder / "incoming").mkdir()
    (folder / "plan.csv").write_text(  # a training is a process of its own, which knows no detector of the tests
        "name,detector,data,group,image.height,image.width\nlid,neighbours,parts,part(\\d+),48,48\n"
    )
    (folder / "decisions.csv").write_text("image,decision\nnew_images/part20_0.png,good\n")
    lines, log = (folder / "results/results.jsonl").read_text().splitlines(), DecisionLog(folder / "results")
    for number, line in enumerate(lines):  # all of them: a selection is not taught
        said = Decision(Label.DEFECT, "dent") if number else Decision(Label.GOOD)
        log.append("Ada", Judged.of(json.loads(line)), said)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, marks=[pytest.mark.slow] * (command_of(block) in SLOW))
        for block in BLOCKS
        if words_of(block) != ["anomalib-lite", "demo"]  # which `test_readme.py` runs
    ],
    ids=lambda block: shlex.join(words_of(block)[1:]),
)
def test_an_example_works(
    block: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tmp_path / "here"
    shutil.copytree(prepared, here)
    monkeypatch.chdir(here)
    monkeypatch.setattr(demo, "sample_parts", lambda out, say: here / "parts")
    command = command_of(block)
    words = shortened(words_of(block)[1:])
    out = words[words.index("--out") + 1] if "--out" in words else None
    if out and "--overwrite" not in words:
        shutil.rmtree(out, ignore_errors=True)
        Path(out).unlink(missing_ok=True)
    if command == "watch":
        assert watches(words, Path("new_images/part20_0.png")) == "OK"
    elif command == "serve":
        assert serves(words, block) == "OK"
    elif command == "review":
        assert opens(words, monkeypatch)
    else:
        assert call(*words) == 0
        assert out is None or Path(out).exists() or Path(out.replace("int8", "float")).exists()
