"""Decisions of people on results: what counts as a good part, what is undecided, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call

from anomalib_lite.edge import bundle
from anomalib_lite.edge.following import Following
from anomalib_lite.edge.manifest import Manifest
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.decisions import Decided, certified, read
from anomalib_lite.review.decision import Decision as Said
from anomalib_lite.review.decision import Judged, Label, key_of
from anomalib_lite.review.log import DecisionLog


@pytest.fixture(scope="module")
def manifest(model_path: Path) -> Manifest:
    return bundle.load(model_path).manifest


def result(image: str, verdict: str, code: str | None = None, model_id: str = "m") -> dict[str, Any]:
    score = None if verdict == "ERROR" else 1.0
    return {"image": image, "verdict": verdict, "score": score, "error_code": code, "model_id": model_id}


LINE = [
    *(result(f"part{number}_0.png", "OK") for number in range(50)),
    result("part50_0.png", "NG"),
    result("part51_0.png", "NG"),
    result("part52_0.png", "NG"),
    result("part53_0.png", "REVIEW"),
    result("part54_0.png", "REVIEW"),
    result("part55_0.png", "ERROR", "not_alike"),
    result("part56_0.png", "ERROR", "truncated"),
    result("part57_0.png", "OK"),
    result("part57_1.png", "NG"),
    result("part58_0.png", "OK", model_id="another"),
]
SAID: dict[str, Any] = {
    "part50_0.png": "good",
    "part51_0.png": "defect",
    "part53_0.png": "good",
    "part55_0.png": "good",
}


def by_name(said: dict[str, Any]) -> Decided:
    return Decided({key_of(name, ""): one for name, one in said.items()}, {key_of(name, ""): name for name in said})


def told(decided: Decided) -> dict[str, str]:
    return {decided.names[key]: one for key, one in decided.said.items()}


def counted(manifest: Manifest, said: dict[str, Any], per: Any = "part") -> Any:
    following = Following.of(manifest, "m", r"part(\d+)")
    calibration = replace(manifest.calibration, per=per)
    return certified(LINE, by_name(said), following, calibration)[0]


def test_good_parts_are_counted_and_what_is_undecided_is_on_the_safe_side(manifest: Manifest) -> None:
    live = counted(manifest, SAID)
    assert (live.accepted, live.taken, live.rejected, live.undecided, live.left_out) == (51, 50, 2, 2, 1)
    assert live.parts == 55
    decided = counted(manifest, SAID | {"part52_0.png": "defect", "part57_1.png": "defect", "part54_0.png": "good"})
    assert (decided.accepted, decided.rejected, decided.undecided, decided.left_out) == (52, 2, 0, 0)
    assert decided.bound < live.bound
    said = " ".join(live.sentences())
    assert "of 55 good parts since the first row, 4 rejected" in said
    assert "50 of them nobody decided on, and they are taken as good" in said
    assert "2 rejected and not decided: counted as good ones" in said
    assert "1 REVIEW and not decided: not counted" in said


def test_of_photographs_the_first_of_each_part_counts(manifest: Manifest) -> None:
    live = counted(manifest, SAID, "photograph")
    assert (live.accepted, live.taken, live.rejected, live.undecided) == (52, 51, 2, 1)
    with pytest.raises(ConfigError, match="decides once for a part"):
        counted(manifest, SAID, "part-median")


def test_decisions_that_cannot_be_used_are_told(manifest: Manifest) -> None:
    rows = [*LINE, result("part50_0.png", "NG")]
    live, notes = certified(rows, by_name({**SAID, "x.png": "good"}), Following.of(manifest, "m", r"part(\d+)"),
                            replace(manifest.calibration, per="part"))  # fmt: skip
    assert any(note.startswith("decisions on 1 image without a result: x.png") for note in notes)
    assert any(note.startswith("decisions on 1 name of several results, not used: part50_0.png") for note in notes)
    assert (live.rejected, live.undecided) == (1, 3)


@pytest.mark.parametrize(
    "text",
    [
        "image,decision\na.png,good\nb.png,Defect\n",
        "\ufeffDecision;who;Image\ngood;me;a.png\ndefect;me;b.png\n",
        '{"image": "a.png", "decision": "good"}\n\n{"image": "b.png", "decision": "DEFECT", "by": 7}\n',
    ],
)
def test_decisions_are_read_from_tables_and_json_lines(text: str, tmp_path: Path) -> None:
    (tmp_path / "decisions").write_text(text, encoding="utf-8")
    assert told(read(tmp_path / "decisions")) == {"a.png": "good", "b.png": "defect"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "no column 'image' among none"),
        (b"image,decision\n", "holds no decision"),
        (b"image,verdict\na.png,NG\n", "no column 'decision' among image, verdict"),
        (b"image,decision\na.png,maybe\n", r"line 2: image 'a\.png', decision 'maybe'"),
        (b"image,decision\na.png\n", r"line 2: image 'a\.png', decision None"),
        (b"image,decision\na.png,good\na.png,defect\n", r"line 3: a\.png is decided good and defect"),
        (b'{"image": "a.png", "decision": "good"}\nimage\n', "line 2: is no JSON object"),
        (b'{"image": 7, "decision": "good"}\n', "line 1: image 7"),
        (b"image,decision\n\xff,good\n", "is not UTF-8"),
    ],
)
def test_what_is_no_decision_is_refused_by_its_line(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "decisions.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "decisions.csv")


def test_monitor_certifies_and_warns(model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = bundle.load(model_path)
    scores = np.random.default_rng(3).choice(loaded.manifest.calibration.scores, 120)
    rows = [
        result(f"part{number}.png", "NG" if number >= 40 else "OK", model_id=loaded.model_id)
        | {"score": float(scores[number])}
        for number in range(120)
    ]
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "few.csv").write_text("image,decision\npart40.png,defect\n")
    (tmp_path / "all.csv").write_text(
        "image,decision\n" + "".join(f"part{number}.png,good\n" for number in range(40, 120))
    )
    asked = ("monitor", tmp_path, "--model", model_path, "--group", r"part(\d+)", "--decisions")
    assert call(*asked, tmp_path / "few.csv", "--out", tmp_path / "page.html") == 0, "undecided, so nothing is broken"
    told = capsys.readouterr()
    assert "live certificate: of 119 good parts since the first row, 79 rejected" in told.err
    assert "79 rejected and not decided" in (tmp_path / "page.html").read_text("utf-8")
    assert call(*asked, tmp_path / "all.csv") == 1
    assert "more good parts are rejected than certified: 80 that people found good" in capsys.readouterr().err
    assert call("monitor", tmp_path, "--decisions", tmp_path / "all.csv") == 2
    assert "give --model MODEL" in capsys.readouterr().err


def test_a_log_of_decisions_is_read_and_what_is_unsure_in_it_is_passed_over(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    for number, said in enumerate(Label):
        one = {**result(f"{number}.png", "NG"), "sha256": "", "reject_threshold": 1.0, "review_threshold": 1.0}
        log.append("Ada", Judged.of(one), Said(said))
    assert told(read(log.path)) == {"0.png": "good", "1.png": "defect"}
    log.path.write_bytes(log.path.read_bytes().replace(b"NG", b"OK", 1))
    with pytest.raises(DataError, match="line 2: does not continue"):
        read(log.path)


def test_a_camera_that_calls_each_photograph_the_same_is_told_by_hashes(manifest: Manifest, tmp_path: Path) -> None:
    rows = [
        result("part.png", "NG") | {"sha256": f"{number}" * 64, "reject_threshold": 1.0, "review_threshold": 1.0}
        for number in range(5)
    ]
    log = DecisionLog(tmp_path)
    for row, said in zip(rows, ("good", "defect", "good", "defect"), strict=False):
        log.append("Ada", Judged.of(row), Said(Label(said)))
    following = Following.of(manifest, "m", r"image(\d+)")
    calibration = replace(manifest.calibration, per="photograph")
    live, notes = certified(rows, read(log.path), following, calibration)
    assert (live.rejected, live.undecided, live.parts, notes) == (2, 1, 3, [])
    _, notes = certified([*rows[1:], rows[1]], read(log.path), following, calibration)
    assert notes == [
        "decisions on 1 image without a result: part.png", "decisions on 1 image of several results, not used: part.png"
    ]  # fmt: skip
