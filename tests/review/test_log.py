"""The log of decisions: nothing that was confirmed is lost, whoever is killed, and nothing is changed unnoticed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import killed_stations
import pytest
from conftest import call
from faults import faults, full_from
from needs import need

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.errors import DataError
from anomalib_lite.review.audit import audit
from anomalib_lite.review.decision import Decision, Judged, Label, Line
from anomalib_lite.review.log import FIRST, DecisionLog

NASTY = '=HYPERLINK("x")<script>\x1b[31m\u202e"\n.png'
GOOD, SCRATCH = Decision(Label.GOOD), Decision(Label.DEFECT, "scratch", "at the edge")


def judged(name: str = "a.png", sha256: str | None = None, **changed: Any) -> Judged:
    digest = hashlib.sha256(name.encode()).hexdigest() if sha256 is None else sha256
    row = {"image": name, "sha256": digest, "model_id": "m1", "verdict": "NG", "score": 1.5}
    return Judged.of(row | {"reject_threshold": 1.0, "review_threshold": 0.5} | changed)


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path)


def test_a_decision_is_in_force_until_another_or_until_it_is_taken_back(log: DecisionLog) -> None:
    first = log.append("Ada", judged(), SCRATCH)
    second = log.append("Ben", judged(), Decision(Label.UNSURE))
    log.append("Ben", judged("b.png", "11" * 32), GOOD)
    assert log.current()[first.key] == second
    undone = log.undo("Ada", second.number)
    assert (undone.undoes, undone.decision) == (2, None)
    assert log.current()[first.key] == first
    log.undo("Ada", 1)
    assert [line.judged.image for line in log.current().values()] == ["b.png"]
    again = DecisionLog(log.path)
    assert again.current() == log.current()
    assert (again.lines, again.digest) == (log.lines, log.digest)


def test_only_what_is_in_force_is_taken_back(log: DecisionLog) -> None:
    log.append("Ada", judged(), SCRATCH)
    log.append("Ben", judged(), GOOD)
    log.undo("Ben", 2)
    for number in (0, 2, 3, 9):
        with pytest.raises(DataError, match=f"line {number} cannot be taken back"):
            log.undo("Ada", number)
    DecisionLog(log.path).append("Ben", judged(), GOOD)
    with pytest.raises(DataError, match="Somebody may have decided"):
        log.undo("Ada", 1)
    assert len(log.path.read_bytes().splitlines()) == 4


def test_a_line_says_who_when_what_and_on_what(log: DecisionLog) -> None:
    now = datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=-3.5)))
    log.append("Zoë  ", judged(NASTY, note="no column of ours"), Decision(Label.DEFECT, "", NASTY), now=now)
    line = json.loads(log.path.read_bytes())
    assert line == {
        "line": 1, "time": "2026-03-29T02:30:00.000-03:30", "operator": "Zoë", "decision": "defect", "kind": "defect",
        "note": NASTY, "image": NASTY, "sha256": hashlib.sha256(NASTY.encode()).hexdigest(), "model_id": "m1",
        "verdict": "NG", "score": 1.5, "reject_threshold": 1.0, "review_threshold": 0.5, "before": FIRST,
    }  # fmt: skip
    assert log.path.read_bytes().isascii()
    assert audit(log.path).lines[0].time == now


def test_copies_are_one_image_and_what_could_not_be_read_goes_by_its_name() -> None:
    same = judged("a/1.png", "00" * 32).key
    assert same == judged("b/2.png", "00" * 32).key != judged("a/1.png").key
    gone = {"verdict": Verdict.ERROR, "score": None}
    assert judged("a/1.png", "", **gone).key != judged("b/1.png", "", **gone).key


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda: Decision(Label.GOOD, "scratch"), "Leave it out"),
        (lambda: Decision(Label.DEFECT, "Good"), "no kind of defect"),
        (lambda: Decision(Label.DEFECT, "OK"), "no kind of defect"),
        (lambda: Decision(Label.DEFECT, "\x1b[31m"), "cannot be seen"),
        (lambda: Decision(Label.DEFECT, "a" * 101), "at most 100"),
        (lambda: Decision(Label.GOOD, "", "a" * 2001), "at most 2,000"),
        (lambda: judged(score=float("nan")), "no number"),
        (lambda: judged(verdict="FINE"), "no verdict"),
        (lambda: Judged.of({"part": "7", "verdict": "NG"}), "no result of an image"),
        (lambda: DecisionLog(Path("never")).append(" ", judged(), GOOD), "name of who decides"),
        (lambda: DecisionLog(Path("never")).append("A", judged(), GOOD, now=datetime(2026, 1, 1)), "offset"),
        (lambda: DecisionLog(Path("never/such")).append("A", judged(), GOOD), "does not count"),
        (lambda: audit(Path("never")), "is no file"),
    ],
)
def test_what_is_no_decision_is_refused(what: Callable[[], object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        what()


def changed(text: bytes) -> dict[str, bytes]:
    one, two, three, four = text.splitlines(keepends=True)
    swapped = json.loads(three) | {"undoes": 1}
    return {
        "3: does not continue": one + two.replace(b"NG", b"OK") + three + four,
        "2: calls itself line 3": one + three + four,
        "1: calls itself line 2": two + three + four,
        "2: is no JSON": one + b"\0" * 80 + b"\n" + three,
        "3: is no line of a log": one + two + b"{}\n",
        "3: line 1 cannot be taken back": one + two + json.dumps(swapped).encode() + b"\n",
        "2: has the time": one + two.replace(b"+00:00", b""),
        "2: score is nan": one + two.replace(b"1.5", b"NaN"),
        "4: calls itself line 3": one + two + three + three,
    }


def test_a_broken_chain_is_refused_with_its_line(tmp_path: Path) -> None:
    log, now = DecisionLog(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    log.append("Ada", judged(), SCRATCH, now=now)
    log.append("Ada", judged(), GOOD, now=now)
    log.undo("Ada", 2, now=now)
    log.append("Ada", judged("b.png"), GOOD, now=now)
    whole = log.path.read_bytes()
    for said, text in changed(whole).items():
        log.path.write_bytes(text)
        for use in (DecisionLog(log.path).refresh, lambda: DecisionLog(log.path).append("Ada", judged(), GOOD)):
            with pytest.raises(DataError, match=f"line {said}"):
                use()
        assert log.path.read_bytes() == text
    for end in (whole[: whole.rindex(b"{")], whole.replace(b"b.png", b"c.png"), None):
        log.path.write_bytes(end) if end else log.path.unlink()
        with pytest.raises(DataError, match=r"are gone|not the line that was read"):
            log.append("Ada", judged(), GOOD)
        assert end or not log.path.exists()


def test_a_torn_line_is_kept_aside_and_never_continued(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    first = log.append("Ada", judged(), SCRATCH)
    whole = log.path.read_bytes()
    second = Line(2, first.time, "Ada", judged("b.png"), GOOD, None, log.digest).encoded()
    for cut in (1, len(second) // 2, len(second) - 1):
        log.path.write_bytes(whole + second[:cut])
        reader = DecisionLog(tmp_path)
        assert (len(reader.current()), reader.torn) == (1, cut)
        again = DecisionLog(tmp_path)
        again.append("Ben", judged("c.png"), GOOD)
        assert "never confirmed" in again.kept_aside[0]
        assert again.torn == 0
        assert (tmp_path / "decisions.jsonl.torn").read_bytes().endswith(second[:cut] + b"\n")
        assert [line.operator for line in audit(tmp_path).lines] == ["Ada", "Ben"]


def test_a_full_disk_leaves_the_log_as_it_was_and_the_decision_unconfirmed(tmp_path: Path) -> None:
    DecisionLog(tmp_path).append("Ada", judged(), SCRATCH)
    whole = (tmp_path / "decisions.jsonl").read_bytes()
    number = failed = 0
    while failed == number:
        number += 1
        (tmp_path / "decisions.jsonl").write_bytes(whole + b'{"torn')
        log = DecisionLog(tmp_path)
        with faults(full_from(number)):
            try:
                log.append("Ben", judged("b.png"), GOOD)
            except DataError as error:
                failed += "No space left" in str(error)
        assert len(audit(tmp_path).lines) == (1 if failed == number else 2)
        if failed == number:  # the disk has room again
            log.append("Ben", judged("b.png"), GOOD)
            assert len(audit(tmp_path).lines) == 2
    assert failed > 4


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("")
    (tmp_path / "decisions.jsonl").symlink_to(tmp_path / "theirs")
    with pytest.raises(DataError, match="cannot be written"):
        DecisionLog(tmp_path).append("Ada", judged(), GOOD)
    assert not (tmp_path / "theirs").read_text()


@pytest.mark.parametrize("words", [["--decisions", "40"], ["--kills", "5"]], ids=["together", "killed"])
def test_two_stations_lose_no_confirmed_decision(tmp_path: Path, words: list[str]) -> None:
    need(os.name == "posix", "this system has neither locks nor kill -9")
    program = Path(killed_stations.__file__)
    environment = os.environ | {"PYTHONPATH": f"{program.parents[2]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    told = subprocess.run([sys.executable, program, tmp_path, *words], capture_output=True, text=True, env=environment)
    assert told.returncode == 0, told.stderr
    kills, ticks, lines, lost, _ = map(int, re.findall(r"\d+", told.stdout))
    assert (lost, ticks > 0, ticks <= lines) == (0, True, True), told.stdout
    assert kills or (ticks, lines) == (80, 80)
    assert call("audit", tmp_path) == 0


def test_audit_tells_what_to_write_down_and_finds_what_was_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    log = DecisionLog(tmp_path)
    log.append("Ada", judged(NASTY), SCRATCH, now=now)
    log.append("Ben", judged("b.png"), GOOD, now=now.astimezone(timezone(timedelta(hours=9))))
    log.append("Ben", judged("b.png"), GOOD, now=now - timedelta(hours=1))
    written = log.digest
    assert call("audit", tmp_path) == 0
    out, err = capsys.readouterr()
    assert all(said in out for said in ("the chain is whole", "3, 2 decisions in force", "Ben: 2", written))
    assert re.findall(r"line (\d): its time is before", err) == ["3"]
    assert call("audit", log.path, "--holds", written.upper()) == 0
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[: whole.rindex(b"{")] + b"{")
    assert call("audit", tmp_path) == 0
    assert "1 bytes of one that was never confirmed" in capsys.readouterr().err
    assert call("audit", tmp_path, "--holds", written) == 3
    assert "no line has the digest" in capsys.readouterr().err
    assert call("audit", tmp_path / "none") == 3
