"""What users met, line by line, and typical mistakes: the input, the command, its exit code, and what it says.

Each line is a kind; further inputs of the same kinds are in the tests of the modules. A message alone says how to mend
what it refuses.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from met import commands, data, figures, images, mistakes
from met.case import MENDING, Case, Places, run

CASES = [*images.CASES, *data.CASES, *commands.CASES, *figures.CASES]


@pytest.fixture
def places(tmp_path: Path, model_path: Path) -> Places:
    return Places(tmp_path / "data", tmp_path / "model", model_path, tmp_path)


REFUSED = (1, 2, 6)  # lines with pictures that a gate refuses: noise that is made a JPEG file, a ramp that is turned


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.line}: {case.what}")
def test_what_happens_now(
    case: Case,
    places: Places,
    ungated_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if case.line in REFUSED:
        places = places._replace(model=ungated_path)
    message = run(case, places, capsys, monkeypatch)
    if case.code:
        assert re.search(MENDING, message, re.IGNORECASE), message
        assert case.before or not places.out.exists()


@pytest.mark.parametrize("case", mistakes.CASES, ids=lambda case: case.what)
def test_a_message_alone_says_how_to_mend_a_mistake(
    case: Case, places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = run(case, places, capsys, monkeypatch)
    assert re.search(MENDING, message, re.IGNORECASE), message
    assert ".." not in message.replace("...", "")
    assert "Traceback" not in message
    assert case.before or not places.out.exists()


def test_every_line_has_its_place() -> None:
    assert {case.line for case in CASES} == set(range(1, 28))
    assert len(mistakes.CASES) >= 60
    assert len({case.what for case in mistakes.CASES}) == len(mistakes.CASES)
