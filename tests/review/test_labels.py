"""Labels for other tools, and back: what was decided stays what it is, whatever names are in it."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import call, picture, save
from faults import faults, full_from

from anomalib_lite.data import find
from anomalib_lite.edge import bundle
from anomalib_lite.edge.images.opener import PLAIN
from anomalib_lite.edge.regions import Region
from anomalib_lite.errors import AnomalibLiteError, ConfigError, DataError
from anomalib_lite.review.decision import Decision, Judged, Label
from anomalib_lite.review.exchange import Format, export, take_over
from anomalib_lite.review.labels import labelled
from anomalib_lite.review.log import DecisionLog
from anomalib_lite.review.teaching import teach

NASTY = '=1+1 <b>&"\u202e,;.png'  # a formula, markup, an escape of a terminal, separators
KIND = '=HYPERLINK("x");<script>'
OUTLINE = ((2.0, 2.0), (8.0, 2.0), (8.0, 6.0), (2.0, 6.0))
SAID = {
    "good.png": Decision(Label.GOOD, note="line one\nline two"),
    NASTY: Decision(Label.DEFECT, KIND, "-see <i>there</i>"),
    "unsure.png": Decision(Label.UNSURE),
    "unusable.png": Decision(Label.UNUSABLE, note="too dark"),
    "dent.png": Decision(Label.DEFECT, "dent"),
}
EACH = re.compile(r"([^/]+)$")  # each image shows another part
READ = [one for one in Format if one is not Format.FIFTYONE]


def row(path: Path, name: str, **changed: Any) -> dict[str, Any]:
    regions = [Region(2, 2, 6, 4, 24, 9.5, OUTLINE).to_json(), Region(0, 0, 4, 4, 16, 1, OUTLINE, True).to_json()]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    values = {"image": name, "sha256": sha256, "model_id": "m1", "verdict": "NG", "score": 1.5, "regions": regions}
    return values | {"reject_threshold": 1.0, "review_threshold": 0.5} | changed


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Six images, of which one is not decided on."""
    out, rows = tmp_path / "results", []
    out.mkdir()
    for number, name in enumerate([*SAID, "open.png"]):
        path = save(tmp_path / "images" / name, picture(number, size=16))
        rows.append(row(path, str(path)))
    (out / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    log = DecisionLog(out)
    for one in rows:
        if (said := SAID.get(Path(one["image"]).name)) is not None:
            log.append("Ada", Judged.of(one), said)
    return out


def decide(folder: Path, said: dict[str, Decision]) -> None:
    log = DecisionLog(folder)
    for one in labelled(folder, PLAIN):
        if (decision := said.get(Path(one.judged.image).name)) is not None:
            log.append("Ada", one.judged, decision)


def decisions(folder: Path) -> dict[str, Decision | None]:
    return {Path(one.judged.image).name: one.decision for one in DecisionLog(folder).current().values()}


@pytest.mark.parametrize("form", READ)
def test_what_is_written_is_read_again(results: Path, tmp_path: Path, form: Format) -> None:
    done = export(labelled(results, PLAIN), tmp_path / "labels", form)
    assert done.images == 6
    same = take_over(labelled(results, PLAIN), tmp_path / "labels", form, DecisionLog(results), "Ben")
    assert (same.added, same.same, same.silent, [note for note in same.notes if "image" in note]) == (0, 5, 1, [])
    (results / "decisions.jsonl").unlink()
    again = take_over(labelled(results, PLAIN), tmp_path / "labels", form, DecisionLog(results), "Ben")
    assert (again.added, again.same, again.silent) == (5, 0, 1)
    if form is Format.CVAT:  # which has no notes
        assert {name: (one.label, one.kind) for name, one in decisions(results).items() if one} == {
            name: (one.label, one.kind) for name, one in SAID.items()
        }
    else:
        assert decisions(results) == SAID


def test_a_table_holds_no_formula_and_is_a_data_set(results: Path, tmp_path: Path) -> None:
    export(labelled(results, PLAIN), tmp_path / "labels.csv", Format.CSV)
    lines = list(csv.reader(StringIO((tmp_path / "labels.csv").read_text("utf-8"))))
    assert not [cell for line in lines for cell in line if cell[:1] in ("=", "-", "+", "@")]
    found = {Path(one.name).name: one.label for one in find(tmp_path / "labels.csv", opener=PLAIN).samples}
    assert (found["good.png"], found["dent.png"], found["unsure.png"]) == ("good", "dent", None)


def test_coco_holds_polygons_boxes_and_what_is_undecided(results: Path, tmp_path: Path) -> None:
    export(labelled(results, PLAIN), tmp_path / "coco.json", Format.COCO)
    document = json.loads((tmp_path / "coco.json").read_text())
    names = {one["id"]: one["name"] for one in document["categories"]}
    files = {one["id"]: Path(one["file_name"]).name for one in document["images"]}
    assert {files[one["image_id"]]: names[one["category_id"]] for one in document["annotations"]} == {
        NASTY: KIND, "dent.png": "dent", "open.png": "undecided",
    }  # fmt: skip
    one = document["annotations"][0]
    assert (one["bbox"], one["area"], one["iscrowd"]) == ([2, 2, 6, 4], 24, 0)
    assert one["segmentation"] == [[2, 2, 8, 2, 8, 6, 2, 6]]
    assert (document["images"][0]["width"], document["images"][0]["height"]) == (16, 16)


def test_label_studio_gets_annotations_predictions_and_a_configuration(results: Path, tmp_path: Path) -> None:
    export(labelled(results, PLAIN), tmp_path / "tasks.json", Format.LABEL_STUDIO)
    tasks = {Path(one["data"]["name"]).name: one for one in json.loads((tmp_path / "tasks.json").read_text())}
    (shape,) = tasks["open.png"]["predictions"][0]["result"]
    assert shape["value"]["points"][0] == [12.5, 12.5]
    assert (shape["original_width"], shape["value"]["polygonlabels"]) == (16, ["undecided"])
    assert tasks["open.png"]["predictions"][0]["model_version"] == "m1"
    assert "annotations" not in tasks["open.png"]
    results_ = {one["from_name"]: one for one in tasks[NASTY]["annotations"][0]["result"]}
    tree = ElementTree.parse(tmp_path / "tasks.xml")
    controls = {one.get("name"): one for one in tree.iter() if one.get("toName")}
    assert set(results_) == set(controls) == {"decision", "region", "note"}
    assert KIND in [one.get("value") for one in controls["decision"]]


def test_what_other_tools_change_is_taken_over(results: Path, tmp_path: Path) -> None:
    """As they write it: without our keys, with boxes, with images under their own names."""
    images = [{"id": 7, "file_name": "images/open.png"}, {"id": 8, "file_name": "strange.png"}]
    boxes = [
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2]},
        {"image_id": 7, "category_id": 2, "bbox": [0, 0, 9, 9]},
    ]
    kinds = [{"id": 1, "name": "hole"}, {"id": 2, "name": "dent"}]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": kinds}))
    log = DecisionLog(results)
    done = take_over(labelled(results, PLAIN), tmp_path / "coco.json", Format.COCO, log, "Ben")
    assert done.added == 1 and done.notes == ["1 image not in these results: strange.png"]  # noqa: PT018
    assert decisions(results)["open.png"] == Decision(Label.DEFECT, "dent", "also hole")
    (tmp_path / "cvat.xml").write_text('<annotations><image name="open.png"><tag label="good"/></image></annotations>')
    assert take_over(labelled(results, PLAIN), tmp_path / "cvat.xml", Format.CVAT, log, "Ben").added == 1
    assert log.lines[-1].operator == "Ben"
    task = {"data": {"image": "/data/upload/1/open.png"}, "annotations": [
        {"result": [{"type": "choices", "value": {"choices": ["unsure"]}}]},
        {"was_cancelled": True, "result": []},
    ]}  # fmt: skip
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    assert take_over(labelled(results, PLAIN), tmp_path / "tasks.json", Format.LABEL_STUDIO, log, "Ben").added == 1
    assert decisions(results)["open.png"] == Decision(Label.UNSURE)


def test_names_that_several_results_have_are_not_guessed(tmp_path: Path) -> None:
    rows = [row(save(tmp_path / side / "1.png", picture(number)), f"{side}/1.png") for number, side in enumerate("ab")]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "said.csv").write_text("image,decision\n1.png,good\nx/b/1.png,unsure\n")
    done = take_over(labelled(tmp_path, PLAIN), tmp_path / "said.csv", Format.CSV, DecisionLog(tmp_path), "Ben")
    assert done.notes == ["1 image not taken over: several results are called so: 1.png"]
    assert [line.judged.image for line in DecisionLog(tmp_path).current().values()] == ["b/1.png"]


def test_fiftyone_gets_relative_boxes_and_where_images_lie(results: Path, tmp_path: Path) -> None:
    export(labelled(results, PLAIN), tmp_path / "dataset", Format.FIFTYONE)
    data, labels, said = (
        json.loads((tmp_path / "dataset" / name).read_text()) for name in ("data.json", "labels.json", "decisions.json")
    )
    (one,) = [name for name, path in data.items() if path.endswith("dent.png")]
    (shape,) = labels["labels"][one]
    assert shape["bounding_box"] == [0.125, 0.125, 0.375, 0.25]
    assert labels["classes"][shape["label"]] == said["classes"][said["labels"][one]] == "dent"
    with pytest.raises(ConfigError, match="as COCO"):
        take_over([], tmp_path, Format.FIFTYONE, DecisionLog(results), "Ben")


def test_images_that_are_gone_or_changed_are_left_out_and_said(results: Path, tmp_path: Path) -> None:
    (tmp_path / "images/dent.png").unlink()
    save(tmp_path / "images/good.png", picture(99, size=16))
    done = export(labelled(results, PLAIN), tmp_path / "coco.json", Format.COCO)
    assert done.images == 4
    assert done.notes == ["1 image left out: changed since it was judged", "1 image left out: gone since it was judged"]
    assert export(labelled(results, PLAIN), tmp_path / "all.csv", Format.CSV).images == 6
    shutil.move(tmp_path / "images", tmp_path / "elsewhere")
    with pytest.raises(DataError, match="--images"):
        export(labelled(results, PLAIN), tmp_path / "x.json", Format.COCO)
    assert export(labelled(results, PLAIN, tmp_path / "elsewhere"), tmp_path / "x.json", Format.COCO).images == 4


@pytest.mark.parametrize(
    ("form", "content", "said"),
    [
        (Format.COCO, "[]", "no list of images"),
        (Format.COCO, '{"images": [{"id": 1}]}', "lacks 'file_name'"),
        (Format.COCO, '{"images": [{"id": 1, "file_name": "a", "label": 3}]}', "3 is no text"),
        (Format.LABEL_STUDIO, "{", "Expecting"),
        (Format.LABEL_STUDIO, '[{"annotations": []}]', "lacks 'data'"),
        (Format.CVAT, "<annotations>", "no XML"),
        (Format.CVAT, "<html/>", "expected <annotations>"),
        (Format.CVAT, '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares a document type"),
        (
            Format.CVAT,
            '<annotations><image name="open.png"><tag label="good"/><tag label="dent"/></image></annotations>',
            "several classes, dent, good",
        ),
        (
            Format.CVAT,
            '<annotations><image name="open.png"><tag label="good"/>'
            '<box label="dent" xtl="1" ytl="1" xbr="2" ybr="2"/></image></annotations>',
            "is good, and 'dent' is marked",
        ),
        (Format.CSV, "image,decision\nopen.png,fine\n", "line 2: decision 'fine'"),
        (Format.CSV, "image,decision,kind\nopen.png,defect,good\n", "line 2: 'good' is no kind"),
        (Format.CSV, "image\nopen.png\n", "no column 'decision'"),
    ],
)
def test_files_that_say_nothing_sensible_are_refused_whole(
    results: Path, tmp_path: Path, form: Format, content: str, said: str
) -> None:
    before = (results / "decisions.jsonl").read_bytes()
    (tmp_path / "file").write_text(content)
    with pytest.raises(DataError, match=said):
        take_over(labelled(results, PLAIN), tmp_path / "file", form, DecisionLog(results), "Ben")
    assert (results / "decisions.jsonl").read_bytes() == before


def test_a_full_disk_leaves_no_half_file(results: Path, tmp_path: Path) -> None:
    for form in Format:
        with faults(full_from(1)), pytest.raises(AnomalibLiteError, match="No space left"):
            export(labelled(results, PLAIN), tmp_path / "out.json", form)
        assert not [path for path in tmp_path.iterdir() if path.is_file()], form


def test_decisions_are_taught_as_golden_images_known_defects_and_exclusions(
    results: Path, tmp_path: Path, model_path: Path
) -> None:
    decide(results, {"unsure.png": Decision(Label.UNUSABLE), "open.png": Decision(Label.DEFECT, "dent")})
    loaded = bundle.load(model_path).manifest
    done = teach(labelled(results, PLAIN, None, EACH), tmp_path / "taught", manifest=loaded)
    assert (done.good, done.defects, done.exclusions) == (1, 3, ())
    assert "looked at for that" in done.notes[0]
    (golden,) = find(tmp_path / "taught/golden.csv", opener=PLAIN).samples
    assert (golden.path.name, golden.label, golden.split) == ("good.png", "good", "calibrate")
    assert golden.group == "good.png"
    known = list(csv.DictReader(StringIO((tmp_path / "taught/known.csv").read_text("utf-8"))))
    assert [one["label"] for one in known] == [f"'{KIND}", "dent", "dent"]
    with pytest.raises(ConfigError, match="exists"):
        teach(labelled(results, PLAIN), tmp_path / "taught")


def test_good_images_set_thresholds_only_where_their_lot_is_decided_wholly(results: Path, tmp_path: Path) -> None:
    """A selection would make the bound too small."""
    done = teach(labelled(results, PLAIN, lot=EACH), tmp_path / "lots")
    assert (done.good, done.defects) == (1, 2)
    done = teach(labelled(results, PLAIN), tmp_path / "all")
    assert (done.golden, done.good, done.defects) == (None, 0, 2)
    assert done.notes[0].startswith("these results: 4 of 6 decided, so its good images set no threshold")
    assert teach(labelled(results, PLAIN), tmp_path / "fit", split="train").good == 1, (
        "what is learnt certifies nothing"
    )
    decide(results, {"open.png": Decision(Label.UNSURE), "unsure.png": Decision(Label.GOOD)})
    done = teach(labelled(results, PLAIN, lot=re.compile(r"(un|o)[sp][^/]*$")), tmp_path / "unsure")
    assert done.good == 2, "one of the lot `un`, one of none; the lot of what is unsure holds none"
    save(tmp_path / "images/unsure.png", picture(99, size=16))
    done = teach(labelled(results, PLAIN, lot=re.compile(r"(un|o)[sp][^/]*$")), tmp_path / "changed")
    assert (done.good, "lot un: 0 of 1 decided" in " ".join(done.notes)) == (1, False)


def test_parts_are_written_exactly_where_the_model_knows_them(results: Path, tmp_path: Path, model_path: Path) -> None:
    decide(results, {"unsure.png": Decision(Label.GOOD), "open.png": Decision(Label.GOOD)})
    loaded = bundle.load(model_path).manifest
    done = teach(labelled(results, PLAIN, None, re.compile("(good|unsure)")), tmp_path / "some", manifest=loaded)
    assert done.good == 2
    assert "1 image left out, since nothing tells which part they show: give --group REGEX" in done.notes[0]
    assert {one.group for one in find(tmp_path / "some/golden.csv", opener=PLAIN).samples} == {"good", "unsure"}
    alone = replace(loaded, data=replace(loaded.data, grouped=False))
    assert teach(labelled(results, PLAIN, None, EACH), tmp_path / "none", manifest=alone).good == 3
    assert not find(tmp_path / "none/golden.csv", opener=PLAIN).grouped


def test_a_held_out_image_that_is_not_good_is_left_out_of_the_next_calibration(
    parts: Path, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From results to a taught model, by the commands that are printed."""
    out, taught = tmp_path / "results", tmp_path / "taught"
    held_out = bundle.load(model_path).manifest.data.held_out
    assert call("predict", model_path, parts / "train/good", parts / "test", "--out", out) == 0
    log = DecisionLog(out)
    for one in labelled(out, PLAIN):
        name = Path(one.judged.image)
        if one.judged.sha256 == held_out[0].sha256:
            log.append("Ada", one.judged, Decision(Label.DEFECT, "scratch", "seen late"))
        elif name.parts[-3] == "test":
            kind = name.parts[-2]
            log.append("Ada", one.judged, Decision(Label.GOOD) if kind == "good" else Decision(Label.DEFECT, kind))
    capsys.readouterr()
    assert (
        call(
            "labels",
            "teach",
            out,
            "--model",
            model_path,
            "--out",
            taught,
            "--group",
            r"part(\d+)",
            "--session",
            "/(test)/",
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert f"exclude {held_out[0].image}  (scratch, decided by Ada on " in printed
    golden, known = taught / "golden.csv", taught / "known.csv"
    words: list[str | Path] = [
        "calibrate",
        model_path,
        golden,
        "--add",
        "--known",
        known,
        "--exclude",
        held_out[0].image,
    ]
    assert "--add --all-good --known" in printed
    assert f"--out {model_path}-taught" in printed
    told: list[str | Path] = ["--because", "scratch", "--out", tmp_path / "model"]
    assert call(*words, *told) == 3
    assert "1 known defect is OK" in capsys.readouterr().err  # the one among the images that it was calibrated on
    assert call(*words, *told, "--accept", "too faint to be seen") == 0
    manifest = bundle.load(tmp_path / "model").manifest
    assert [one.image for one in manifest.calibration.exclusions] == [held_out[0].image]
    assert len(manifest.data.held_out) == len(held_out) + 10
    assert len(manifest.known) == 11


def test_labels_are_listed_exported_and_imported_by_commands(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("labels", "list", results) == 0
    out, err = capsys.readouterr()
    assert "\u202e" not in out
    assert out.count("Ada") == 5
    assert "undecided 1" in err
    assert call("labels", "export", results, "--out", tmp_path / "labels.xml") == 0
    assert call("labels", "export", results, "--out", tmp_path / "labels.xml") == 2
    assert call("labels", "export", results, "--out", tmp_path / "labels.json") == 2
    assert "give --format" in capsys.readouterr().err
    assert call("labels", "import", results, tmp_path / "labels.xml") == 0
    assert "added 0, in force already 5, nothing said 1" in capsys.readouterr().err
    assert call("labels", "list", tmp_path) == 3
