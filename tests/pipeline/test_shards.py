"""Shares of one work, judged apart and joined: the rows of one run, or a reason by name why not."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from conftest import call, picture, save
from hypothesis import given
from hypothesis import strategies as st

from anomalib_lite.data.finding import images_below
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import ResultWriter
from anomalib_lite.errors import AnomalibLiteError, ConfigError, DataError
from anomalib_lite.pipeline.inputs import Chosen
from anomalib_lite.pipeline.merge import merge
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.result_folder import POSITION
from anomalib_lite.pipeline.saving import Heatmaps
from anomalib_lite.pipeline.shards import Record, Shard, Work

OF_THE_RUN = ("time", "ms")
GROUP = r"part(\d+)"
COUNT = 3

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def image(name: str, part: str | None = None, root: str = "/data") -> Chosen:
    return Chosen(Path(root) / name, name, Path(root), part=part)


@given(st.lists(names, unique=True, max_size=40), st.integers(1, 50), st.randoms())
def test_each_image_falls_to_one_share_wherever_it_lies(found: list[str], count: int, order: random.Random) -> None:
    images = [image(name) for name in found]
    shares = [{one.name for _, one in Shard(index, count).of(images)} for index in range(1, count + 1)]
    assert sum(map(len, shares)) == len(images)
    assert set().union(*shares) == set(found)
    elsewhere = [image(unicodedata.normalize("NFD", name), root="/mnt/other") for name in found]
    order.shuffle(elsewhere)
    again = {unicodedata.normalize("NFC", one.name) for _, one in Shard(1, count).of(elsewhere)}
    assert again == {unicodedata.normalize("NFC", name) for name in shares[0]}


@given(st.lists(st.tuples(names, st.sampled_from("abc")), max_size=30), st.integers(1, 9))
def test_photographs_of_a_part_and_slices_of_a_file_stay_together(found: list[tuple[str, str]], count: int) -> None:
    every = [image(name, part) for name, part in found] + [image(f"scan.nii.gz#{number}") for number in range(9)]
    for index in range(1, count + 1):
        mine = [one for _, one in Shard(index, count).of(every)]
        for key in ("a", "b", "c"):
            assert sum(one.part == key for one in mine) in (0, sum(one.part == key for one in every))
        assert sum(one.part is None for one in mine) in (0, 9)


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "a/b", "-1/3", "1/0", "1/1000000"])
def test_a_share_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 3/10"):
        Shard.parse(text)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of two photographs each, and a file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    for part in range(8):
        for shot in range(2):
            name = f"{'ab'[part % 2]}/part{part:02}_{shot}.png"
            save(folder / name, picture(700 + 2 * part + shot, defect=part % 3 == 0))
    (folder / "a/part99_0.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def model(ungated_path: Path) -> Model:
    return Model(ungated_path, threads=1)


@pytest.fixture(scope="module")
def whole(model: Model, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run."""
    out = tmp_path_factory.mktemp("whole") / "out"
    predict(model, [images], out=out, heatmaps=Heatmaps.ALL, group=GROUP)
    return out


@pytest.fixture(scope="module")
def judged(model: Model, images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The results of each share."""
    root = tmp_path_factory.mktemp("shares")
    for index in range(1, COUNT + 1):
        predict(model, [images], out=root / str(index), heatmaps=Heatmaps.ALL, group=GROUP, shard=Shard(index, COUNT))
    return [root / str(index) for index in range(1, COUNT + 1)]


@pytest.fixture
def shares(judged: list[Path], tmp_path: Path) -> list[Path]:
    """Copies to change."""
    return [Path(shutil.copytree(one, tmp_path / "shares" / one.name)) for one in judged]


def rows(out: Path) -> list[dict[str, Any]]:
    lines = (out / "results.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in OF_THE_RUN} for line in lines]


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return [{key: one[key] for key in one if key not in OF_THE_RUN} for one in csv.DictReader(opened)]


def test_shares_in_any_order_give_the_results_of_one_run(whole: Path, shares: list[Path], tmp_path: Path) -> None:
    random.Random(1).shuffle(shares)
    done = merge(shares, out=tmp_path / "out")
    assert sum(done.counts.values()) == len(rows(whole)) == 17
    assert done.parts.total() == 9
    assert rows(tmp_path / "out") == rows(whole)
    assert table(tmp_path / "out/results.csv") == table(whole / "results.csv")
    assert (tmp_path / "out/parts.csv").read_text() == (whole / "parts.csv").read_text()
    for folder in (whole, tmp_path / "out"):
        assert len(list((folder / "heatmaps").rglob("*.png"))) == 16
    for one in whole.rglob("*.png"):
        assert one.read_bytes() == (tmp_path / "out" / one.relative_to(whole)).read_bytes()


def test_with_the_model_there_is_a_report_on_all_shares(
    model: Model, whole: Path, shares: list[Path], tmp_path: Path
) -> None:
    merge(shares, out=tmp_path / "out", model=model)
    page, before = ((folder / "report.html").read_text() for folder in (tmp_path / "out", whole))
    assert page.count("data:image/webp") == before.count("data:image/webp") > 3
    (tile,) = [line for line in before.splitlines() if "OK, of 17 images" in line]
    assert tile in page
    with pytest.raises(ConfigError, match="judged these shares: give that"):
        merge(shares, out=tmp_path / "other", model=Model(replace(model.bundle, model_id="0")))
    assert not (tmp_path / "other").exists()


def test_what_was_merged_is_replaced_on_demand_alone(shares: list[Path], tmp_path: Path) -> None:
    merge(shares, out=tmp_path / "out")
    before = rows(tmp_path / "out")
    with pytest.raises(ConfigError, match="--overwrite"):
        merge(shares, out=tmp_path / "out")
    merge(shares[::-1], out=tmp_path / "out", overwrite=True)
    assert rows(tmp_path / "out") == before


def test_a_share_that_is_judged_again_is_the_same(
    shares: list[Path], model: Model, images: Path, whole: Path, tmp_path: Path
) -> None:
    predict(model, [images], out=shares[1], heatmaps=Heatmaps.ALL, group=GROUP, shard=Shard(2, COUNT), overwrite=True)
    merge(shares, out=tmp_path / "out")
    assert rows(tmp_path / "out") == rows(whole)


def test_more_shares_than_images(model: Model, images: Path, tmp_path: Path) -> None:
    one = images / "a/part00_0.png"
    for index in (1, 2, 3):
        predict(model, [one], out=tmp_path / str(index), shard=Shard(index, 3))
    done = merge([tmp_path / str(index) for index in (1, 2, 3)], out=tmp_path / "out")
    assert sum(done.counts.values()) == 1


def _other_model(folder: Path) -> None:
    Record.write(replace(Record.read(folder), model_id="0123456789ab"), folder)


def _other_images(folder: Path) -> None:
    Record.write(replace(Record.read(folder), inputs="0" * 64), folder)


def _other_group(folder: Path) -> None:
    Record.write(replace(Record.read(folder), options={"group": "(x)", "columns": {}, "reference": None}), folder)


def _other_version(folder: Path) -> None:
    Record.write(replace(Record.read(folder), version="0.0.1"), folder)


def _unfinished(folder: Path) -> None:
    (folder / "shard.json").unlink()


def _damaged(folder: Path) -> None:
    (folder / "shard.json").write_text("{")


def _deep(folder: Path) -> None:
    (folder / "shard.json").write_text("[" * 100_000)


def _a_third_of_two(folder: Path) -> None:
    Record.write(replace(Record.read(folder), index=COUNT + 1), folder)


def _of_an_older_version(folder: Path) -> None:
    record = json.loads((folder / "shard.json").read_text())
    record.pop("files")
    (folder / "shard.json").write_text(json.dumps(record))


def seal(folder: Path) -> None:
    """Let a share say that what lies there is what was judged."""
    Record.write(replace(Record.read(folder), files={}), folder)


def change(folder: Path, **values: Any) -> None:
    """Change the last row of a share."""
    *others, last = (folder / "results.jsonl").read_text().splitlines()
    (folder / "results.jsonl").write_text("\n".join([*others, json.dumps(json.loads(last) | values)]) + "\n")


def _cut(folder: Path) -> None:
    file = folder / "results.jsonl"
    file.write_bytes(file.read_bytes()[:-20])


def _a_row_less(folder: Path) -> None:
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join(lines[1:]))


def _a_row_twice(folder: Path) -> None:
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join([lines[0], *lines[:-1]]))


def _no_parts(folder: Path) -> None:
    (folder / "parts.csv").unlink()


def _outside(folder: Path) -> None:
    file = folder / "results.jsonl"
    first, *others = file.read_text().splitlines(keepends=True)
    file.write_text("".join([json.dumps(json.loads(first) | {"heatmap": "../../3/results.csv"}) + "\n", *others]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_model, "another model"),
        (_other_images, "another images"),
        (_other_group, "another option group"),
        (_other_version, "another version"),
        (_unfinished, "no finished share"),
        (_damaged, "Run this share again"),
        (_deep, "Run this share again"),
        (_a_third_of_two, "values that no share has"),
        (_of_an_older_version, "Judge this share again"),
        (_cut, "is no row"),
        (_a_row_less, "Run this share again|results were changed"),
        (_a_row_twice, "results were changed"),
        (_outside, "lies outside"),
        (_no_parts, "results were changed"),
    ],
)
def test_a_share_that_is_not_of_this_work_is_named(
    change: Callable[[Path], None], said: str, shares: list[Path], tmp_path: Path
) -> None:
    change(shares[1])
    if change in (_cut, _a_row_less, _a_row_twice, _outside, _no_parts):
        with pytest.raises(DataError, match="results were changed since this share was judged") as raised:
            merge(shares, out=tmp_path / "out")
        assert str(shares[1]) in str(raised.value)
        seal(shares[1])
    with pytest.raises(DataError, match=said) as raised:
        merge(shares, out=tmp_path / "out")
    assert str(shares[1]) in str(raised.value) or said == "results were changed"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"verdict": "FAIL"}, {"verdict": None}, {"score": float("nan")}, {"position": "3"}, {"position": None},
        {"heatmap": 5}, {"heatmap": "heatmaps/gone.png"}, {"part": 5}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_row_that_says_what_none_says_is_refused_before_anything_is_written(
    values: dict[str, Any], shares: list[Path], tmp_path: Path
) -> None:
    change(shares[1], **values)
    seal(shares[1])
    with pytest.raises(DataError, match=str(shares[1])):
        merge(shares, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_verdict_that_was_edited_is_refused(shares: list[Path], tmp_path: Path) -> None:
    folder = next(one for one in shares if any(row["verdict"] == "NG" for row in rows(one)))
    table = folder / "results.jsonl"
    table.write_text(table.read_text().replace('"verdict": "NG"', '"verdict": "OK"'))
    with pytest.raises(DataError, match=f"{table}: results were changed since this share was judged"):
        merge(shares, out=tmp_path / "out")


def test_no_share_is_replaced_by_what_is_merged(shares: list[Path], whole: Path, tmp_path: Path) -> None:
    for out in (shares[0], shares[1] / ".." / shares[2].name, shares[1] / "heatmaps"):
        with pytest.raises(ConfigError, match="choose a folder beside the shares"):
            merge(shares, out=out, overwrite=True)
    merge(shares, out=tmp_path / "out")
    assert rows(tmp_path / "out") == rows(whole)


def test_what_was_cut_while_it_was_joined_is_no_result(
    shares: list[Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(shutil, "copyfile", stop)
    with pytest.raises(Killed):
        merge(shares, out=tmp_path / "out")
    monkeypatch.undo()
    assert not list((tmp_path / "out").glob("*.csv"))
    merge(shares, out=tmp_path / "out")  # the same command goes on
    assert rows(tmp_path / "out") == rows(whole)


def test_parts_whose_names_look_alike_in_a_table_keep_their_verdicts(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    parts = ["=a", "'=a", "c\rr", os.fsdecode(b"b\xff"), "é"]
    for number, name in enumerate(parts):
        save(folder / "x.png", picture(900 + number, defect=name == "'=a"))
        (folder / "x.png").rename(folder / f"{name}.png")
    predict(model, [folder], out=tmp_path / "whole", group=r"(?s)^(.+)\.png")
    for index in (1, 2):
        predict(model, [folder], out=tmp_path / str(index), group=r"(?s)^(.+)\.png", shard=Shard(index, 2))
    done = merge([tmp_path / "2", tmp_path / "1"], out=tmp_path / "out")
    assert done.parts.total() == len(parts)
    for name in ("parts.csv", "results.csv"):
        assert [row.get("part") for row in table(tmp_path / "out" / name)] == [
            row.get("part") for row in table(tmp_path / "whole" / name)
        ]
    assert (tmp_path / "out/parts.csv").read_bytes() == (tmp_path / "whole/parts.csv").read_bytes()


def test_the_same_letters_are_the_same_work_and_other_work_is_not(tmp_path: Path) -> None:
    golden = [tmp_path / side / "golden.png" for side in "ab"]
    for number, file in enumerate(golden):
        file.parent.mkdir()
        file.write_bytes(bytes([number]))

    def said(form: Literal["NFC", "NFD"] = "NFC", reference: Path | None = None, **values: Any) -> list[object]:
        names = [unicodedata.normalize(form, name) for name in ("zé.png", "zf.png")]
        images = [replace(image(name, name[:-4]), **values) for name in names]
        return list(Work("model", images, reference=reference).record(Shard(1, 2), 1).of_the_work().values())

    assert said() == said("NFD")
    works = [
        said(), said(product="a"), said(product="b"), said(view="top"), said(reference=golden[0]),
        said(reference=golden[1]),
    ]  # fmt: skip
    tables = [Work("model", [replace(image("a.png"), reference=file)]).record(Shard(1, 2), 1).inputs for file in golden]
    assert len({json.dumps(one) for one in works}) == len(works)
    assert len(set(tables)) == 2


def test_images_have_one_order_however_a_system_splits_letters(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        for name in ("zé", "zf", "za", "zz"):
            save(tmp_path / form / f"{unicodedata.normalize(form, name)}.png", picture(1))
    both = [
        [unicodedata.normalize("NFC", name) for name in images_below(tmp_path / form)[0]] for form in ("NFC", "NFD")
    ]
    assert both[0] == both[1]


def test_a_share_without_its_table_is_named(shares: list[Path], tmp_path: Path) -> None:
    (shares[0] / "results.csv").unlink()
    with pytest.raises(DataError, match=r"1/results\.csv: cannot be read"):
        merge(shares, out=tmp_path / "out")


def test_missing_and_double_shares_are_named_at_once(shares: list[Path], tmp_path: Path) -> None:
    shutil.copytree(shares[0], tmp_path / "copy")
    with pytest.raises(DataError, match=r"copy and .*1 are the same share, 1 of 3; missing of 3 shares: 2"):
        merge([shares[0], tmp_path / "copy", shares[2]], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_thousand_shares_in_random_order(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # a thousand take long
    template = json.loads((whole / "results.jsonl").read_text().splitlines()[1]) | {"heatmap": None}
    template.pop("part")
    everything = [image(f"{number:05}.png") for number in range(3000)]
    folders = []
    for index in range(1, 1001):
        mine = Shard(index, 1000).of(everything)
        folders.append(tmp_path / "shares" / str(index))
        with ResultWriter(folders[-1], ("heatmap", POSITION)) as writer:
            for place, one in mine:
                writer.append(template | {"image": one.name, POSITION: place})
        Work("model", everything).record(Shard(index, 1000), len(mine)).write(folders[-1])
    random.Random(0).shuffle(folders)
    merge(folders, out=tmp_path / "out")
    assert [row["image"] for row in rows(tmp_path / "out")] == [one.name for one in everything]


def test_from_the_command_line(
    ungated_path: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[str | Path] = ["predict", ungated_path, images, "--group", GROUP]
    assert call(*words, "--shard", "1/2") == ConfigError.exit_code
    assert "--shard needs a folder" in capsys.readouterr().err
    for index in (1, 2):
        assert call(*words, "--shard", f"{index}/2", "--out", tmp_path / str(index)) == 0
    assert call("merge", tmp_path / "1", "--out", tmp_path / "all") == DataError.exit_code
    assert "missing of 2 shares: 2" in capsys.readouterr().err
    assert call("merge", tmp_path / "2", tmp_path / "1", "--out", tmp_path / "all") == 0
    assert "ERROR 1" in capsys.readouterr().err
    with pytest.raises(AnomalibLiteError):
        merge([], out=tmp_path / "none")
