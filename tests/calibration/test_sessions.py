"""Sessions left out in turn: what is counted, how surely one is unlike the others, and what is said of it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anomalib_lite.calibration import Calibration, Exclusion, ScoredImage, calibrate
from anomalib_lite.calibration.sessions import MOST, chance_of
from anomalib_lite.config import Rates
from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import without_names
from anomalib_lite.edge.manifest.parsing import parsed, plain
from anomalib_lite.pipeline.train import Trained

FIVE_PERCENT = Rates.of(0.05)


def parts(session: str | None, scores: list[float], prefix: str = "") -> list[ScoredImage]:
    """An image of each part of a session."""
    named = enumerate(scores)
    return [ScoredImage(f"{prefix}{session}{i}", f"{prefix}{session}{i}", s, s, session=session) for i, s in named]


def certified(images: list[ScoredImage], **asked: object) -> Calibration:
    return calibrate(images, FIVE_PERCENT, grouped=True, **asked)  # type: ignore[arg-type]


def numbered(n: int, above: float = 0.0) -> list[float]:
    return [above + i / n for i in range(n)]


@pytest.mark.parametrize(("n", "m", "allowed"), [(1, 1, 0), (3, 2, 0), (3, 2, 1), (2, 4, 1), (4, 3, 3)])
def test_the_chance_of_a_number_is_that_of_all_orders(n: int, m: int, allowed: int) -> None:
    """Every order of n + m different scores is as likely: the first n are those of the others."""
    orders = list(itertools.permutations(range(n + m)))
    above = [sum(one > sorted(order[:n])[n - 1 - allowed] for one in order[n:]) for order in orders]
    for rejected in range(m + 1):
        expected = sum(one >= rejected for one in above) / len(orders)
        assert chance_of(rejected, m, n, allowed) == pytest.approx(expected)


def test_each_session_by_the_threshold_of_the_others() -> None:
    made = certified([*parts("a", numbered(20)), *parts("b", numbered(20)), *parts("c", numbered(10, above=5.0))])
    a, b, c = made.sessions
    assert [(one.name, one.parts, one.others, one.rejected) for one in (a, b, c)] == [
        ("a", 20, 30, 0), ("b", 20, 30, 0), ("c", 10, 40, 10),
    ]  # fmt: skip
    assert c.expected == pytest.approx(1 / 41)
    assert c.chance == pytest.approx(1 / math.comb(50, 10))
    said = " ".join(made.statement)
    assert "by the threshold of the others 10 of 50 parts of 3 sessions are rejected: 10 of 10 of 'c'" in said
    assert "a measurement and no bound" in said
    assert "Session 'c' is not like the others" in said
    assert parsed(Calibration, json.loads(json.dumps(plain(made)))) == made


def test_sessions_that_are_alike_are_seldom_said_to_differ() -> None:
    random, runs, differ = np.random.default_rng(0), 300, 0
    for run in range(runs):
        draw: Callable[..., np.ndarray] = (random.normal, random.lognormal, random.exponential)[run % 3]
        three = [one for name in "abc" for one in parts(name, [float(s) for s in draw(size=25)])]
        differ += any("is not like the others" in line for line in certified(three).statement)
    assert differ / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_a_single_session_is_what_the_bound_is_about() -> None:
    made = certified(parts("2026-03-01", numbered(20)))
    assert [(one.parts, one.others, one.rejected) for one in made.sessions] == [(20, 0, None)]
    assert any(line.startswith("All held-out parts are of one session, '2026-03-01'") for line in made.statement)


def test_a_session_of_one_part_counts_as_that() -> None:
    made = certified([*parts("a", numbered(20)), *parts("b", [9.0])])
    assert [(one.parts, one.rejected, one.chance) for one in made.sessions] == [(20, 0, 1.0), (1, 1, 1 / 21)]
    assert any("'b' is not like" in line for line in made.statement) is False, "2 x 1 / 21 is no proof"


def test_a_part_in_two_sessions_sets_the_threshold_of_neither() -> None:
    images = [*parts("a", numbered(20)), *parts("b", numbered(20))]
    images += [ScoredImage("x1", "x", 7.0, 0, session="a"), ScoredImage("x2", "x", 7.0, 0, session="b")]
    made = certified(images, per="part")
    assert [(one.parts, one.others, one.rejected) for one in made.sessions] == [(21, 20, 1), (21, 20, 1)]
    overlap = [
        ScoredImage(f"{part}{shot}", f"p{part}", part + shot / 9, 0, session=f"day {shot}")
        for part in range(9)
        for shot in (0, 1)
    ]
    made = certified(overlap, per="part")
    assert [one.rejected for one in made.sessions] == [None, None]
    assert "Sessions overlap, or are too small, so none can be left out." in made.statement


def test_where_sessions_are_not_known_nothing_is_said() -> None:
    for images in (
        parts(None, numbered(20)),
        [*parts("a", numbered(20)), *parts(None, numbered(5), "n")],
        [one for i, score in enumerate(numbered(MOST + 1)) for one in parts(f"s{i}", [score])],
    ):
        made = certified(images)
        assert made.sessions == ()
        assert not any("session" in line for line in made.statement)


def test_what_the_gate_refused_is_rejected_and_what_a_person_left_out_is_not_there() -> None:
    images = [*parts("a", numbered(30)), *parts("b", [*numbered(10), math.inf, math.inf])]
    left_out = certified(images, exclusions=[Exclusion("b10", "an empty belt")], row=1).sessions
    assert [(one.parts, one.others, one.rejected) for one in left_out] == [(30, 11, 2), (11, 30, 1)]
    assert certified(images).sessions[0].rejected is None, "of the others so many are refused that none is certified"


def test_training_measures_stores_and_shows_them(train: Callable[..., Trained], parts: Path, tmp_path: Path) -> None:
    trained = train(parts, tmp_path / "model", session=r"part(\d)")
    assert [one.name for one in trained.calibration.sessions] == ["0", "1"]
    assert {one.session for one in bundle.load(tmp_path / "model").manifest.data.held_out} == {"0", "1"}
    assert "Each session left out in turn" in (tmp_path / "model/report.html").read_text()
    hidden = without_names(trained.bundle.manifest)
    names = [one.name for one in hidden.calibration.sessions]
    assert all(name.startswith("name-") for name in names)
    assert {one.session for one in hidden.data.held_out} == set(names)
    told = next(line for line in hidden.calibration.statement if line.startswith("Leaving one session out"))
    assert f"of '{names[0]}'" in told
    assert "'0'" not in told
    assert hidden.calibration.statement[0] == trained.calibration.statement[0], "a digit elsewhere is no name"
