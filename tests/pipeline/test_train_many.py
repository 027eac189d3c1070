"""A model for each row of a plan: wrong rows at once, failures apart, and what is finished is not trained again."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import call, picture, save

from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline import train_many as module
from anomalib_lite.pipeline.products import read
from anomalib_lite.pipeline.train_many import TrainedMany, train_many
from anomalib_lite.registry import load
from anomalib_lite.training.request import Request

HEADER = "name,detector,data,group,image.height,image.width,calibration.max_false_reject"


def row(name: str, data: str = "parts", detector: str = "gauss", rate: str = "40%") -> str:
    return f"{name},{detector},{data},part(\\d+),48,48,{rate}"


def plan_of(folder: Path, *rows: str, header: str = HEADER, name: str = "plan.csv") -> Path:
    (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder / name


@pytest.fixture
def here(parts: Path, tmp_path: Path) -> Path:
    """A folder with data for products: sound images, and files that are none."""
    (tmp_path / "parts").symlink_to(parts)
    (tmp_path / "broken").mkdir()
    for number in range(20):
        (tmp_path / f"broken/part{number}.png").write_bytes(b"no image")
    return tmp_path


@pytest.fixture
def training(
    model_path: Path, ungated_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Request], object]], None]:
    """training(before): in place of a training, which costs seconds, a model of the tests; `before` may fail."""

    def use(before: Callable[[Request], object]) -> None:
        def trained(request: Request, **more: object) -> None:
            before(request)
            shutil.rmtree(request.out, ignore_errors=True)
            strict = "calibration.max_false_reject=40%" in request.settings
            shutil.copytree(model_path if strict else ungated_path, request.out)

        monkeypatch.setattr(module, "train", trained)

    return use


def run(plan: Path, said: list[str] | None = None) -> TrainedMany:
    return train_many(plan, plan.parent / "out", say=(said if said is not None else []).append)


def test_a_broken_product_stops_no_other_and_the_summary_begins_with_it(here: Path) -> None:
    plan, said = plan_of(here, row("Gehäuse", rate="1%"), row("cup", "broken")), list[str]()
    done = run(plan, said)
    assert [(line.name, bool(line.error)) for line in done.lines] == [("cup", True), ("Gehäuse", False)]
    assert "more parts are needed for the 1 % asked for" in done.lines[1].look_at
    with (here / "out/products.csv").open(newline="", encoding="utf-8") as file:
        table = {one["name"]: one for one in csv.DictReader(file)}
    assert [one["state"] for one in table.values()] == ["failed", "trained"]
    assert float(table["Gehäuse"]["planted"]) > 0
    document = json.loads((here / "out/products.json").read_bytes())["products"]
    assert document[1]["statement"]
    assert document[1]["evidence"]
    page = (here / "out/report.html").read_text(encoding="utf-8")
    assert 'href="Geh%C3%A4use/model/report.html"' in page
    assert (here / "out/Gehäuse/model/report.html").is_file()


def test_what_is_trained_stays_and_what_failed_is_tried_again(
    here: Path, training: Callable[[Callable[[Request], object]], None]
) -> None:
    asked: list[str] = []

    def broken(request: Request) -> None:
        asked.append(request.out.parent.name)
        if request.out.parent.name == "cup":
            raise RuntimeError("shapes do not match")

    plan, said = plan_of(here, row("lid"), row("cup"), row("box")), list[str]()
    training(broken)
    assert [(line.name, line.error) for line in run(plan).failed] == [
        ("cup", "gauss failed: RuntimeError: shapes do not match")
    ]
    training(lambda request: asked.append(request.out.parent.name))
    assert not run(plan, said).failed
    assert asked == ["lid", "cup", "box", "cup"]
    assert "2 of 3 products were trained before" in said


def test_a_changed_row_is_told_of_and_trained_anew_though_it_was_interrupted(
    here: Path, training: Callable[[Callable[[Request], object]], None]
) -> None:
    said: list[str] = []

    def interrupted(request: Request) -> None:
        raise KeyboardInterrupt

    training(lambda request: None)
    first = {line.name: line.model_id for line in run(plan_of(here, row("lid"), row("cup"))).lines}
    plan = plan_of(here, row("lid", rate="30%"), row("cup"))
    training(interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(plan, said)
    assert "lid: another calibration.max_false_reject than before, so it is trained anew" in said
    training(lambda request: None)  # the older model that lies there is none of this row
    second = {line.name: line.model_id for line in run(plan).lines}
    assert second["cup"] == first["cup"]
    assert second["lid"] != first["lid"]


def test_the_files_that_a_row_names_are_part_of_it(
    parts: Path, here: Path, training: Callable[[Callable[[Request], object]], None]
) -> None:
    shutil.copytree(parts, here / "own")
    golden = save(here / "golden.png", picture(1))
    first = next((here / "own").rglob("*.png"))
    (here / "table.csv").write_text(f"image\n{first.relative_to(here).as_posix()}\n")
    plan = plan_of(
        here, row("lid", "own") + ",golden.png", row("cup") + ",", row("box", "table.csv") + ",",
        header=HEADER + ",golden",
    )  # fmt: skip
    asked: list[str] = []
    training(lambda request: asked.append(request.out.parent.name))

    def again() -> tuple[list[str], list[str]]:
        asked.clear()
        said: list[str] = []
        run(plan, said)
        return asked, [line for line in said if "another" in line]

    assert again() == (["lid", "cup", "box"], [])
    assert again() == ([], [])
    save(first, picture(77))
    os.utime(first, (1, 1))
    assert again() == (["lid", "box"], [f"{name}: another data than before, so it is trained anew"
                                        for name in ("lid", "box")])  # fmt: skip
    (here / "own/Thumbs.db").write_bytes(b"of a system")
    assert again() == ([], [])
    os.utime(golden, (1, 1))
    assert again() == (["lid"], ["lid: another golden than before, so it is trained anew"])


def test_a_plan_of_the_same_name_elsewhere_is_another(
    here: Path, training: Callable[[Callable[[Request], object]], None]
) -> None:
    training(lambda request: None)
    run(plan_of(here, row("lid")))
    (here / "other/parts").mkdir(parents=True)
    save(here / "other/parts/part1.png", picture(1))
    plan = plan_of(here / "other", row("lid"))
    with pytest.raises(ConfigError, match=r"holds the products of plan\.csv in .*, not of plan\.csv in .*other"):
        train_many(plan, here / "out", say=lambda line: None)


def test_an_older_failure_sticks_to_no_model(
    here: Path, training: Callable[[Callable[[Request], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(request: Request) -> None:
        raise DataError("the camera was off")

    training(broken)
    plan = plan_of(here, row("lid"))
    assert [line.error for line in run(plan).lines] == ["the camera was off"]
    training(lambda request: None)
    with monkeypatch.context() as patch:  # ended between the model and what is written down of it
        real = module._record

        def ended(folder: Path, **known: Any) -> None:
            if "seconds" in known:
                raise KeyboardInterrupt
            real(folder, **known)

        patch.setattr(module, "_record", ended)
        with pytest.raises(KeyboardInterrupt):
            run(plan)
    assert not run(plan).failed


def test_all_wrong_rows_are_named_before_anything_is_trained(here: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Gehäuse")
    rows = [
        row("good"), row("a/b"), row("GOOD"), row("Gehäuse"), row(decomposed), row("x", "nowhere"),
        row("y", detector="gaus"), row("z", rate="300%"), ",gauss,parts,(,48,48,", row("products.CSV"),
        row("w") + ",more", row("v", "s3://plant/v"),
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        run(plan_of(here, *rows))
    said = str(caught.value)
    assert "10 of 12 rows are wrong, and nothing was trained" in said
    assert re.findall(r"Row (\d+):", said) == [str(number) for number in range(3, 14) if number != 5]
    assert "data s3://plant/v is an address" in said
    for part in ("same folder as 'good' of row 2", "no such data", "max_false_reject", "no name", "regular expression"):
        assert part in said
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("header", "told"),
    [("name,data", "no column detector"), ("name,detector,data,colour", "unknown column colour"),
     ("name,detector,data,DATA", "twice the column data"), (HEADER, "no rows")],
)  # fmt: skip
def test_a_table_that_is_no_plan_is_refused(here: Path, header: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read(plan_of(here, header=header), load())


def test_the_folder_of_another_plan_is_left_alone(here: Path) -> None:
    run(plan_of(here, row("lid", "broken")))
    with pytest.raises(ConfigError, match=r"holds the products of plan\.csv"):
        run(plan_of(here, row("lid"), name="other.csv"))
    save(here / "full/photo.png", picture(1))
    with pytest.raises(ConfigError, match="not empty"):
        train_many(here / "plan.csv", here / "full", say=lambda line: None)


def test_a_file_in_place_of_a_products_folder_stops_no_other(here: Path) -> None:
    (here / "out").mkdir()
    plan = plan_of(here, row("cup", "broken"), row("lid", "broken"))
    run(plan)
    shutil.rmtree(here / "out/cup")
    (here / "out/cup").touch()
    lines = {line.name: line.error for line in run(plan).lines}
    assert "cannot be written" in lines["cup"]
    assert "broken" in lines["lid"]


def test_the_command_says_that_one_failed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train-many", plan_of(here, row("cup", "broken")), "--out", here / "out") == 3
    assert "1 of 1 products failed" in capsys.readouterr().err
