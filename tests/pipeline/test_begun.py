"""Shares that were begun: whether they are of the same files, and what those who judge them know of these."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import picture, save

from anomalib_lite.data.addresses import Remote
from anomalib_lite.edge.model import Model
from anomalib_lite.engines import Local
from anomalib_lite.errors import ConfigError
from anomalib_lite.pipeline import keeping
from anomalib_lite.pipeline import spread as module
from anomalib_lite.pipeline.inputs import Chosen
from anomalib_lite.pipeline.shards import Shard, Work
from anomalib_lite.pipeline.spread import spread
from anomalib_lite.pipeline.travelling import Travelling


@pytest.fixture(scope="module")
def model(ungated_path: Path) -> Model:
    return Model(ungated_path, threads=1)


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Two folders of images with the same names: sound ones on the first day, defective ones on the second."""
    for day in (1, 2):
        for number in range(4):
            save(tmp_path / f"day{day}/part{number}.png", picture(number, defect=day == 2))
    return tmp_path


def ended(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def verdicts(out: Path) -> list[str]:
    return [json.loads(line)["verdict"] for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def begun(model: Model, days: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of results of the first day, where all shares are finished, and the command was ended."""
    monkeypatch.setattr(module, "SIZE", 2)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "merge", ended)
        with pytest.raises(KeyboardInterrupt):
            spread(model, [str(days / "day1")], Local(), out=days / "out")
    return days / "out"


def test_the_same_command_goes_on(begun: Path, model: Model, days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "judge", None)  # all of it is finished
    monkeypatch.chdir(days)
    spread(model, ["day1"], Local(), out=begun, overwrite=True)
    assert verdicts(begun) == ["OK"] * 4


def test_images_of_the_same_names_are_other_work(begun: Path, model: Model, days: Path) -> None:
    with pytest.raises(ConfigError, match="another images: give the same command"):
        spread(model, [str(days / "day2")], Local(), out=begun)
    spread(model, [str(days / "day2")], Local(), out=begun, overwrite=True)
    assert verdicts(begun) == ["NG"] * 4


def test_an_image_that_was_replaced_is_other_work(begun: Path, model: Model, days: Path) -> None:
    (days / "day2/part0.png").replace(days / "day1/part0.png")
    os.utime(days / "day1/part0.png", (1, 1))
    with pytest.raises(ConfigError, match="another images"):
        spread(model, [str(days / "day1")], Local(), out=begun)
    spread(model, [str(days / "day1")], Local(), out=begun, overwrite=True)
    assert verdicts(begun) == ["NG", "OK", "OK", "OK"]


def test_views_golden_images_and_marks_tell_work_apart(model: Model, days: Path) -> None:
    def inputs(one: Chosen, reference: Path | None = None) -> str:
        record = Work("model", [one], reference=reference).record(Shard(1, 1), 0)
        return module._of_these(record, [one], reference, model.opener).inputs

    first, second = days / "day1/part0.png", days / "day2/part0.png"
    plain = Chosen(first, "part0.png", first.parent)
    remote = Chosen(first, "part0.png", first.parent, remote=remote_of("etag1"))
    every = [
        inputs(plain), inputs(plain, first), inputs(plain, second), inputs(plain, days / "day1"),
        inputs(replace(plain, reference=first)), inputs(replace(plain, reference=second)),
        inputs(replace(plain, view="top")), inputs(remote), inputs(replace(remote, remote=remote_of("etag2"))),
    ]  # fmt: skip
    assert len(set(every)) == len(every)
    assert inputs(plain, days / "day1") == every[3]


def remote_of(stamp: str) -> Remote:
    return Remote("s3://plant/day/part0.png", "s3://plant/day", stamp)


def test_objects_of_a_list_are_judged_anew_on_demand(model: Model, days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were not listed, so nothing tells whether they changed."""
    system = pytest.importorskip("fsspec").filesystem("memory")
    (days / "list.csv").write_text("image\nmemory://begun/part0.png\n")

    def put(day: int) -> None:
        system.pipe_file("/begun/part0.png", (days / f"day{day}/part0.png").read_bytes())

    put(1)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "merge", ended)
        with pytest.raises(KeyboardInterrupt):
            spread(model, [str(days / "list.csv")], Local(), out=days / "out")
    put(2)
    spread(model, [str(days / "list.csv")], Local(), out=days / "out", overwrite=True)
    assert verdicts(days / "out") == ["NG"]


def test_what_is_known_of_series_is_found_from_relative_paths(
    model: Model, days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(days)
    name, files = Path("day1/../day1/part0.png"), [Path("day1/part0.png"), Path("day2/part0.png")]
    monkeypatch.setitem(model.opener.catalogue.series, name, files)
    travelling = Travelling.of(model, 1)
    image = Chosen(name, "part0.png", Path("day1"))
    task = module.Task(
        model=travelling, heatmaps=None, writers=(), reference=None, by_parts=False, root=None, here=days
    )
    found: list[Any] = []

    class Judge:
        def look(self, path: Path, **_: object) -> Any:
            found.append(travelling.series.get(path))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(module._seen(Judge(), task, module.Piece(Shard(1, 1), [(0, image)]), days))  # type: ignore[arg-type]
    assert found == [[days / file for file in files]]


def test_what_somebody_else_put_beside_the_results_stays(model: Model, days: Path) -> None:
    kept = days / "out.partial" / "precious.txt"
    kept.parent.mkdir()
    kept.write_text("x")
    with pytest.raises(ConfigError, match=r"out\.partial is where .* holds precious\.txt, which is none"):
        spread(model, [str(days / "day1")], Local(), out=days / "out", overwrite=True)
    assert kept.read_text() == "x"


def test_a_share_that_was_changed_since_is_judged_again(begun: Path, model: Model, days: Path) -> None:
    for share in begun.with_name("out.partial").iterdir():
        rows = (share / "results.jsonl").read_text()
        (share / "results.jsonl").write_text(rows.replace('"OK"', '"NG"'))
    spread(model, [str(days / "day1")], Local(), out=begun)
    assert verdicts(begun) == ["OK"] * 4
    assert not begun.with_name("out.partial").exists()


def test_a_joining_that_was_killed_between_its_files_goes_on(begun: Path, model: Model, days: Path) -> None:
    begun.mkdir()
    (begun / "results.jsonl").write_text("of a joining that was killed\n")
    with pytest.raises(ConfigError, match=r"results\.jsonl: is not of an earlier result"):
        spread(model, [str(days / "day1")], Local(), out=begun)
    (begun.with_name("out.partial") / ".joining").touch()
    spread(model, [str(days / "day1")], Local(), out=begun)
    assert verdicts(begun) == ["OK"] * 4
    assert not begun.with_name("out.partial").exists()
