"""Several detectors on the same images: one table, and what to take."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call

from anomalib_lite.errors import AnomalibLiteError
from anomalib_lite.metrics.bootstrap import auroc_draws, difference_interval
from anomalib_lite.metrics.ranking import ranked
from anomalib_lite.metrics.scores import auroc
from anomalib_lite.pipeline.compare import Comparison, compare

GROUP = ("--group", r"part(\d+)")
SIZE = ("--set", "image.height=48", "--set", "image.width=48")


def judged(scores: dict[str, list[float | None]], parts: int = 40) -> list[dict[str, Any]]:
    return [
        {"image": f"{label}{number}", "label": label, "group": f"{label}{number % parts}", "score": score}
        for label, values in scores.items()
        for number, score in enumerate(values)
    ]


def drawn(shift: float, seed: int) -> dict[str, list[float | None]]:
    random = np.random.default_rng(seed)
    return {"good": random.normal(0, 1, 80).tolist(), "dent": random.normal(shift, 1, 80).tolist()}


def test_the_best_comes_first_and_what_cannot_be_told_from_it_is_said() -> None:
    rows = {"weak": judged(drawn(0.3, 0)), "strong": judged(drawn(2.5, 1)), "alike": judged(drawn(2.45, 2))}
    ranks = ranked(rows)
    by_name = {one.name: one for one in ranks}
    assert [one.name for one in ranks][2] == "weak"
    assert not by_name["weak"].may_be_best
    assert all(by_name[name].may_be_best for name in ("strong", "alike"))
    interval = by_name["weak"].interval
    assert interval is not None
    assert interval.low < by_name["weak"].behind < interval.high


def test_the_interval_of_a_difference_is_paired() -> None:
    """Two detectors that err on the same images differ little, though each for itself is uncertain."""
    one = drawn(1.0, 3)
    other = {
        label: [(value or 0.0) + 0.01 * index % 0.05 for index, value in enumerate(values)]
        for label, values in one.items()
    }
    parts = [f"p{number}" for number in range(80)]
    pairs: list[Any] = [
        ((half["good"], parts), (half["dent"], [f"d{part}" for part in parts])) for half in (one, other)
    ]
    interval = difference_interval(pairs[0], pairs[1])
    alone = np.nanpercentile(auroc_draws(*pairs[0]), [2.5, 97.5])
    assert interval is not None
    assert interval.high - interval.low < 0.2 * (alone[1] - alone[0])


def test_the_curve_is_that_of_thresholds_at_good_images() -> None:
    scores: dict[str, list[float | None]] = {"good": [1.0, 2.0, 3.0, 4.0], "dent": [0.5, 2.5, 3.5, 9.0]}
    (rank,) = ranked({"a": judged(scores)})
    assert rank.curve == [(0.0, 0.75), (0.25, 0.5), (0.5, 0.25), (0.75, 0.25), (1.0, 0.0)]
    assert rank.auroc == auroc([1.0, 2.0, 3.0, 4.0], [0.5, 2.5, 3.5, 9.0])


def test_images_that_one_cannot_measure_count_for_none() -> None:
    whole, less = drawn(2.0, 4), drawn(2.0, 4)
    less["good"][0] = None
    one, other = ranked({"a": judged(whole), "b": judged(less)})
    assert one.auroc == other.auroc
    with pytest.raises(ValueError, match="no good or no defective"):
        ranked({"a": judged({"good": [None], "dent": [1.0]})})


def test_the_command_compares_and_goes_on(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "comparison"
    asked = ("compare", parts, *GROUP, *SIZE, "--out", out)
    assert call(*asked, "--detectors", "gauss,contrast") == 0
    table = json.loads((out / "comparison.json").read_text())
    assert {one["detector"] for one in table["detectors"]} == {"gauss", "contrast"}
    assert table["advice"] in capsys.readouterr().out.replace("\n", " ")
    page = (out / "report.html").read_text()
    assert "gauss" in page
    assert page.count("<polyline") == 2
    before = (out / "gauss/model/manifest.json").stat().st_mtime_ns
    shutil.rmtree(out / "contrast/evaluation")  # as if it had been interrupted there
    assert call(*asked, "--detectors", "gauss,contrast,placed") == 0
    assert (out / "gauss/model/manifest.json").stat().st_mtime_ns == before
    assert len(json.loads((out / "comparison.json").read_text())["detectors"]) == 3
    rows = [json.loads(line) for line in (out / "gauss/evaluation/results.jsonl").read_text().splitlines()]
    mine = next(one for one in table["detectors"] if one["detector"] == "gauss")
    good, bad = ([row["score"] for row in rows if (row["label"] == "good") is wanted] for wanted in (True, False))
    assert mine["image_auroc"] == auroc(good, bad)
    shutil.rmtree(out / "contrast/evaluation")
    said: list[str] = []
    again = Comparison(
        data=parts, out=out, detectors=["gauss", "contrast", "difference"], settings=SIZE[1::2], group=GROUP[1]
    )
    done = compare(again, engine=Elsewhere(), threads=1, say=said.append)
    assert said[1:] == ["contrast: measured", "gauss: measured"]
    assert said[0] == f"difference: {done.failed['difference']}"
    assert [line.to_json()["image_auroc"] for line in done.lines] == [one["image_auroc"] for one in table["detectors"]]


class Elsewhere:
    """Runs the last piece first, and hands over what travels."""

    def each(self, work: Any, shared: Any, pieces: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for piece in reversed(list(pieces)):
            called, given = pickle.loads(pickle.dumps((work, shared)))  # noqa: S301 - our own
            try:
                yield piece, called(given, piece)
            except AnomalibLiteError as error:
                yield piece, error


def test_one_that_cannot_be_trained_does_not_stop_the_others(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("compare", parts, *GROUP, *SIZE, "--out", tmp_path / "out")
    assert call(*asked, "--detectors", "difference,gauss") == 0
    assert "failed  difference" in capsys.readouterr().out
    assert "difference" in json.loads((tmp_path / "out/comparison.json").read_text())["failed"]


@pytest.mark.parametrize(
    ("data", "words", "code", "said"),
    [
        ("parts", ["--detectors", "gauss"], 2, "two detectors at least"),
        ("parts", ["--detectors", "gauss,nobody"], 5, "nobody"),
        ("parts/train", ["--detectors", "gauss,contrast"], 3, "labelled"),
        ("parts/test/dent", ["--detectors", "gauss,contrast"], 3, "labelled"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_training(
    data: str, words: list[str], code: int, said: str, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = parts.joinpath(*data.split("/")[1:])
    assert call("compare", place, *GROUP, *SIZE, "--out", tmp_path / "out", *words) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_comparison_is_left_alone(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("compare", parts, "--out", tmp_path / "out", "--detectors", "gauss,contrast", *SIZE)
    assert call(*asked, *GROUP) == 0
    assert call(*asked, *GROUP, "--seed", "3") == 2
    assert "another overrides" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    assert call("compare", parts, "--out", tmp_path / "full", "--detectors", "gauss,contrast", *GROUP, *SIZE) == 2
