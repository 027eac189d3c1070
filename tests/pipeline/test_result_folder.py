"""Where results go: nothing of an earlier run is overwritten unasked or left behind, nobody else's file is taken."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import picture, save

from anomalib_lite.cli import main
from anomalib_lite.data.samples import Folders
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline import result_folder
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.inputs import chosen
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.saving import Heatmaps


def call(*arguments: str | Path) -> int:
    """Run the command line in this process: its exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def model(model_path: Path) -> Model:
    return Model(model_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three good images and a defective one."""
    for number in range(3):
        save(tmp_path / f"in/a/good{number}.png", picture(2000 + number))
    save(tmp_path / "in/bad.png", picture(2000, defect=True))
    return tmp_path / "in"


@pytest.mark.parametrize("first", ["predict", "evaluate"])
@pytest.mark.parametrize("second", ["predict", "evaluate"])
def test_an_earlier_result_is_refused_and_replaced_without_remains(
    first: str, second: str, model: Model, model_path: Path, parts: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def run(command: str, data: Path, *more: str) -> int:
        heat = ["--heatmaps"] if command == "predict" else []
        return call(command, model_path, data, "--out", out, *heat, *more)

    assert run(first, parts if first == "evaluate" else images) == 0
    before = {name: (out / name).read_bytes() for name in files(out)}
    again = parts if second == "evaluate" else images / "a"
    assert run(second, again) == 2
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    (out / "notes.txt").write_text("mine")
    save(out / "heatmaps/a/mine.png", picture(1))
    assert run(second, again, "--overwrite") == 0
    told = {"metrics.json"} if second == "evaluate" else {f"heatmaps/good{i}.png.png" for i in range(3)}
    assert files(out) == {"results.csv", "results.jsonl", "report.html", "notes.txt", "heatmaps/a/mine.png"} | told


def test_the_message_says_what_to_do(model: Model, images: Path, tmp_path: Path) -> None:
    predict(model, [images], out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds an earlier result\. Choose another --out, or.*--overwrite"):
        predict(model, [images], out=tmp_path / "out")


def test_a_run_that_was_killed_leaves_a_result_that_can_be_replaced(model: Model, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(model, [images], out=out, heatmaps=Heatmaps.ALL, each=interrupt)
    assert files(out) == {"results.csv", "results.jsonl", "heatmaps/a/good0.png.png"}
    with (out / "results.jsonl").open("a") as file:
        file.write('{"image": "cut off')
    predict(model, [images / "bad.png"], out=out, overwrite=True)
    assert files(out) == {"results.csv", "results.jsonl", "report.html"}


def interrupt(_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["report.html", "results.jsonl", "results.csv", "metrics.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_under_the_names_of_results_are_not_touched(
    name: str, overwrite: bool, model: Model, images: Path, tmp_path: Path
) -> None:
    """Such as the journal of a watched folder, which is called results.jsonl, too."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="is not of an earlier result"):
        predict(model, [images], out=tmp_path, overwrite=overwrite)
    assert (tmp_path / name).read_text() == "mine"


def test_rows_cannot_make_it_remove_other_files(model: Model, images: Path, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", save(tmp_path / "outside.png", picture(1))
    predict(model, [images], out=out)
    (out / "heatmaps").mkdir()
    (out / "heatmaps/link").symlink_to(tmp_path)
    shown = save(out / "picture.png", picture(2))
    for name in ("../outside.png", str(outside), "heatmaps/../picture.png", "heatmaps/link/outside.png", "picture.png"):
        with (out / "results.jsonl").open("a") as file:
            file.write(json.dumps({"heatmap": name}) + "\n")
    predict(model, [images], out=out, overwrite=True)
    assert outside.exists()
    assert shown.exists()


def test_a_folder_with_other_files_is_written_into(model: Model, images: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    predict(model, [images], out=tmp_path / "out")
    assert files(tmp_path / "out") == {"results.csv", "results.jsonl", "report.html", "notes.txt"}


def test_an_earlier_result_stays_where_nothing_is_judged(model: Model, images: Path, tmp_path: Path) -> None:
    predict(model, [images], out=tmp_path / "out")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="nothing says which are good"):
        evaluate(model, images, out=tmp_path / "out", overwrite=True)
    with pytest.raises(DataError, match="no images found"):
        predict(model, [tmp_path / "nothing"], out=tmp_path / "out", overwrite=True)
    assert len(rows(tmp_path / "out")) == 4


# ---- heat maps


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--heatmaps"], 4),
        (["--heatmaps", "all"], 4),
        (["--heatmaps=ng"], 1),
        (["--heatmaps", "NG"], 1),
        (["--heatmaps", "review"], 1),
    ],
)
def test_which_images_get_a_heat_map(
    words: list[str], expected: int, model_path: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert call("predict", model_path, images, *words, "--out", out) == 0
    assert len(list((out / "heatmaps").rglob("*.png"))) == expected
    named = [row["heatmap"] for row in rows(out) if row["heatmap"]]
    assert {out / name for name in named} == set((out / "heatmaps").rglob("*.png"))


def test_what_follows_heatmaps_may_be_an_input(model_path: Path, images: Path, tmp_path: Path) -> None:
    assert call("predict", "--out", tmp_path / "out", "--heatmaps", model_path, images) == 0
    assert len(list((tmp_path / "out/heatmaps").rglob("*.png"))) == 4


def test_another_word_is_refused(
    model_path: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("predict", model_path, images, "--heatmaps=some", "--out", tmp_path / "out") == 2
    assert "--heatmaps=some: expected ng, review or all." in capsys.readouterr().err


@pytest.mark.parametrize("stem", ["x" * 248, "ä" * 124, "漢" * 82 + "xx"])
def test_a_name_that_leaves_no_room_for_a_suffix_gets_a_shorter_picture(
    stem: str, model: Model, tmp_path: Path
) -> None:
    """252 characters with its suffix, of which the file system allows 255."""
    for number, last in enumerate("ab"):
        save(tmp_path / f"in/{stem[:-1]}{last}.png", picture(2000 + number))
    done = predict(model, [tmp_path / "in"], out=tmp_path / "out", heatmaps=Heatmaps.ALL)
    assert done.measured == 2
    assert all((tmp_path / "out" / row["heatmap"]).is_file() for row in rows(tmp_path / "out"))
    assert len({row["heatmap"] for row in rows(tmp_path / "out")}) == 2


def test_a_path_that_is_too_long_below_out_gets_a_shorter_one(model: Model, tmp_path: Path) -> None:
    deep = tmp_path / "in"
    while len(str(deep)) < 3900:
        deep = deep / ("x" * 90)
    save(deep / "a.png", picture(2000))
    save(tmp_path / "in/b.png", picture(2001))
    out = tmp_path / ("o" * 200) / ("p" * 200)
    assert predict(model, [tmp_path / "in"], out=out, heatmaps=Heatmaps.ALL).measured == 2
    assert all((out / row["heatmap"]).is_file() for row in rows(out))


def test_a_picture_of_somebody_else_is_not_replaced(model: Model, images: Path, tmp_path: Path) -> None:
    mine = save(tmp_path / "out/heatmaps/bad.png.png", picture(1))
    before = mine.read_bytes()
    predict(model, [images], out=tmp_path / "out", heatmaps=Heatmaps.NG)
    assert mine.read_bytes() == before
    (row,) = [row for row in rows(tmp_path / "out") if row["heatmap"]]
    assert (tmp_path / "out" / row["heatmap"]).is_file()


# ---- inputs


def test_a_table_is_judged_row_by_row(model: Model, images: Path, tmp_path: Path) -> None:
    (tmp_path / "in/list.csv").write_text("file,comment\na/good1.png,x\nbad.png,y\n")
    table = tmp_path / "in/list.csv"
    found: list[str] = []
    predict(model, [table], columns={"image": "file"}, each=lambda one: found.append(one.image))
    assert found == [str(images / "a/good1.png"), str(images / "bad.png")]


def test_a_table_names_golden_images(train: Any, parts: Path, tmp_path: Path) -> None:
    golden = save(tmp_path / "golden.png", picture(1))
    other = save(tmp_path / "other.png", picture(2))
    train(parts / "train/good", tmp_path / "model", detector="difference", golden=[golden])
    (tmp_path / "pairs.csv").write_text("image,reference\nother.png,other.png\n")
    (tmp_path / "plain.csv").write_text("image\nother.png\n")
    model = Model(tmp_path / "model")
    scores: list[float | None] = []
    for table, reference in (("pairs", None), ("pairs", golden), ("plain", other), ("plain", None)):
        predict(model, [tmp_path / f"{table}.csv"], reference=reference, each=lambda one: scores.append(one.score))
    assert scores[:3] == [0.0, 0.0, 0.0]
    assert scores[3] != 0


def test_golden_images_of_a_table_for_a_model_that_compares_with_nothing_are_said(model: Model, images: Path) -> None:
    (images / "pairs.csv").write_text("image,reference\nbad.png,bad.png\n")
    assert "column not read: reference" in predict(model, [images / "pairs.csv"]).notes[0]


def test_patterns_are_expanded_where_the_shell_did_not(
    model: Model, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images)
    opener = model.opener

    def names(*patterns: str) -> list[str]:
        return [str(one.path) for one in chosen([Path(one) for one in patterns], opener)[0]]

    assert names("a/*.png") == ["a/good0.png", "a/good1.png", "a/good2.png"]
    assert names("**/*d.png", "*.png") == ["bad.png"]
    assert names("a/good[12].png", "bad.png") == ["a/good1.png", "a/good2.png", "bad.png"]
    assert names(str(images / "?/*0.png")) == [str(images / "a/good0.png")]
    save(images / "b[1].png", picture(1))
    assert names("b[1].png") == ["b[1].png"]
    with pytest.raises(DataError, match=r"\*\.bmp: no file matches"):
        names("*.bmp")


def test_each_image_is_judged_once(model: Model, images: Path) -> None:
    done = predict(model, [images, images / "a", images / "bad.png", images / "a/../bad.png"])
    assert sum(done.counts.values()) == 4


def test_outputs_within_an_input_are_not_judged_again(model: Model, images: Path) -> None:
    predict(model, [images], out=images / "results", heatmaps=Heatmaps.ALL)
    save(images / "heatmaps/own.png", picture(3))
    done = predict(model, [images], out=images / "again", heatmaps=Heatmaps.ALL)
    assert sum(done.counts.values()) == 5, "a folder of that name without results is one of images"
    assert done.notes[-1] == "1 folder passed over, written by anomalib-lite: heatmaps 1"
    again = predict(model, [images], out=images / "again", overwrite=True)
    assert sum(again.counts.values()) == 5
    named = predict(model, [images / "results/heatmaps/bad.png.png"])
    assert sum(named.counts.values()) == 1, "whoever names one means it"
    with pytest.raises(DataError, match=r"no images found.*written by anomalib-lite: heatmaps"):
        predict(model, [images / "results"])


# ---- rows of an evaluation, and nothing measured


def test_rows_of_an_evaluation_say_label_and_part(model: Model, parts: Path, tmp_path: Path) -> None:
    evaluate(model, parts, out=tmp_path / "out", group=r"part(\d+)")
    found = {(Path(row["image"]).name, row["label"], row["group"]) for row in rows(tmp_path / "out")}
    assert ("part30_0.png", "dent", "30") in found
    assert ("part20_0.png", "good", "20") in found
    with (tmp_path / "out/results.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"good", "dent", "hole"}
    evaluate(model, parts, out=tmp_path / "ungrouped")
    assert {row["group"] for row in rows(tmp_path / "ungrouped")} == {None}


def test_an_evaluation_that_measured_nothing_fails_with_the_reasons(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("test/good/a.png", "test/dent/b.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_bytes(b"no image")
    assert call("evaluate", model_path, tmp_path / "data") == 3
    said = capsys.readouterr()
    assert "ERROR  test/good/a.png  (" in said.err
    assert "2 images could not be measured" in said.err
    assert said.out == ""
    assert call("evaluate", model_path, tmp_path / "data", "--json") == 3
    assert json.loads(capsys.readouterr().out)["errors"]["count"] == 2


def test_strict_fails_where_one_image_could_not_be_measured(
    model_path: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(parts / "test", tmp_path / "data/test")
    (tmp_path / "data/test/dent/broken.png").write_bytes(b"no image")
    assert call("evaluate", model_path, tmp_path / "data") == 0
    assert "ERROR  test/dent/broken.png  (" in capsys.readouterr().err
    assert call("evaluate", model_path, tmp_path / "data", "--strict") == 3
    shutil.rmtree(tmp_path / "data/test/dent")
    assert call("evaluate", model_path, tmp_path / "data", "--strict") == 0


def test_limits_are_those_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encrypted file systems allow names of 143 bytes."""
    monkeypatch.setattr(os, "pathconf", lambda path, name: 143 if name == "PC_NAME_MAX" else 4096)
    name = result_folder.place(tmp_path, tmp_path / f"{'x' * 136}.png", tmp_path)
    assert len(Path(name).name) <= 143
    assert result_folder.place(tmp_path, tmp_path / "x.png", tmp_path) == "heatmaps/x.png.png"


# ---- several processes, and files of others


def test_two_processes_do_not_write_into_one_folder(
    model: Model, model_path: Path, images: Path, parts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    codes: list[int] = []

    def another(_: object) -> None:
        for command, data in (("predict", images), ("evaluate", parts)):
            codes.append(call(command, model_path, data, "--out", out, "--overwrite"))

    predict(model, [images], out=out, each=another)
    assert codes == [2] * 8
    assert len(rows(out)) == 4
    with (out / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    predict(model, [images / "bad.png"], out=out, overwrite=True)
    assert len(rows(out)) == 1


def test_a_folder_that_is_watched_gets_no_results(
    model: Model, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "watched").mkdir()
    with Watcher(model, tmp_path / "watched"), pytest.raises(ConfigError, match=r"another process|not of an earlier"):
        predict(model, [images], out=tmp_path / "watched")


def test_metrics_of_others_beside_rows_of_predict_are_not_touched(
    model: Model, images: Path, parts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(model, [images], out=out)
    (out / "metrics.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"metrics\.json: is not of an earlier result"):
        predict(model, [images], out=out, overwrite=True)
    with pytest.raises(ConfigError, match=r"metrics\.json: is not of an earlier result"):
        evaluate(model, parts, out=out, overwrite=True)
    assert (out / "metrics.json").read_text() == "mine"
    assert len(rows(out)) == 4


def test_nothing_is_written_through_links(model: Model, images: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    out = tmp_path / "out"
    predict(model, [images], out=out)
    victim.write_bytes((out / "results.csv").read_bytes())
    before = victim.read_bytes()
    (out / "results.csv").unlink()
    (out / "results.csv").symlink_to(victim)
    predict(model, [images], out=out, overwrite=True)
    assert victim.read_bytes() == before
    assert not (out / "results.csv").is_symlink()


def test_pictures_of_the_result_that_is_replaced_are_not_judged_into_its_place(
    model: Model, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(model, [images], out=out, heatmaps=Heatmaps.ALL)
    before = files(out)
    (tmp_path / "link").symlink_to(out / "heatmaps")
    for given in (out / "heatmaps", tmp_path / "link"):
        with pytest.raises(ConfigError, match=r"of the earlier result in .*out, and would go with it"):
            predict(model, [given], out=out, overwrite=True)
        with pytest.raises(ConfigError, match="would go with it"):
            evaluate(model, given, out=out, overwrite=True, folders=Folders(all_good=True))
    assert files(out) == before
