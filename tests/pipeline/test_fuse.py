"""Finished models of several views become one: a unit each, one threshold on parts, one verdict."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import PARTS, SEEN, Once, call, save, shot

from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import MANIFEST
from anomalib_lite.edge.combining import Unit
from anomalib_lite.edge.gathering import Gathering
from anomalib_lite.edge.joint import Joint, load
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import ConfigError, ErrorCode, ModelError

GROUP = r"part(\d+)"


@pytest.fixture(scope="session")
def joint_path(cameras: Path, once: Once) -> Path:
    """Both as one, from the parts that they held out. Not to be changed: copy it."""

    def make(folder: Path) -> None:
        assert call("fuse", cameras / "top", cameras / "side", "--out", folder / "joint") == 0

    return once("joint", make) / "joint"


def test_one_view_is_enough_for_a_verdict_on_the_part(joint_path: Path) -> None:
    joint = Joint(joint_path)
    good = joint.inspect_part({view: shot(view, 200) for view in SEEN}, part="200")
    assert (good.verdict, set(good.members), good.note) == ("OK", set(SEEN), "")
    for view in SEEN:
        bad = joint.inspect_part({one: [shot(one, 201, defect=one == view)] for one in SEEN}, part="201")
        assert bad.verdict == "NG"
        assert bad.members[view] == max(bad.members.values()) == bad.score
        assert [len(one.regions) > 0 for one in bad.photographs] == [one == view for one in SEEN], "those of members"


def test_a_part_that_lacks_a_view_is_an_error_unless_the_model_was_made_to_judge_it(
    joint_path: Path, cameras: Path, tmp_path: Path
) -> None:
    top = {"top": shot("top", 201, defect=True)}
    found = Joint(joint_path).inspect_part(top, part="7")
    assert (found.verdict, found.error_code) == ("ERROR", ErrorCode.INCOMPLETE_PART)
    assert found.error == "7: no photograph of 'side'"
    words = ("fuse", cameras / "top", cameras / "side", "--missing", "judged", "--out", tmp_path / "joint")
    assert call(*words) == 0
    joint = Joint(tmp_path / "joint")
    found = joint.inspect_part(top)
    assert (found.verdict, list(found.members)) == ("NG", ["top"])
    assert found.note == "judged without 'side': what only it shows was not looked for"
    assert joint.inspect_part({}).verdict == "ERROR"
    save(tmp_path / "in/part7_top.png", top["top"])
    for model, verdict in ((joint_path, "ERROR"), (tmp_path / "joint", "NG")):
        gathering = Gathering(GROUP, 2, timeout=0)
        with Watcher(Joint(model), tmp_path / "in", settle=0, gathering=gathering) as watcher:
            rows = [row for _ in range(2) for row in watcher.step()]
        assert [row["verdict"] for row in rows if "image" not in row] == [verdict]
        shutil.copy(tmp_path / f"in/{verdict.lower()}/part7_top.png", tmp_path / "in")


def test_what_could_not_be_measured_makes_a_part_an_error_unless_another_view_is_sure(joint_path: Path) -> None:
    joint = Joint(joint_path)
    torn = joint.inspect_part({"top": shot("top", 200), "side": b"no image"})
    assert (torn.verdict, torn.score) == ("ERROR", None)
    assert torn.error is not None
    assert torn.error.startswith("1 of 2 photographs could not be measured")
    assert joint.inspect_part({"top": shot("top", 200, defect=True), "side": b"no image"}).verdict == "NG"


def test_members_count_their_photographs_as_they_were_calibrated(joint_path: Path) -> None:
    joint = Joint(joint_path)
    good = [shot("side", part) for part in (210, 211)]
    found = joint.inspect_part({"top": shot("top", 200), "side": [*good, shot("side", 212, defect=True)]})
    assert found.verdict != "NG", "the median of three photographs is that of a good one"
    assert found.note == "3 photographs of side, the bound is about parts with 1"


def test_names_tell_the_view(joint_path: Path, views: Path) -> None:
    joint = Joint(joint_path)
    assert [joint.view_of(name) for name in ("top/7.png", "a_side_7.png", "stop.png")] == ["top", "side", None]
    files = [views / f"new/part100_{view}.png" for view in SEEN]
    assert joint.inspect_part(files).verdict == "OK"
    strange = joint.inspect_part([*files, views / "plain/100t.png"])
    assert strange.verdict == "ERROR"
    assert strange.error is not None
    assert "shows none of the views top, side" in strange.error
    told = joint.look(views / "top/part00.png", name="part00.png").result
    assert (told.error, told.member) == (None, "top"), "where its name tells none, its folder does"
    with pytest.raises(ConfigError, match="no view 'back' in this model: it has top, side"):
        joint.inspect_part({"back": shot("top", 1)})


def test_several_models_of_one_view_are_heard(cameras: Path, tmp_path: Path) -> None:
    """Two detectors on the same photographs, and a camera beside them."""
    words: list[str | Path] = [f"top={cameras / 'top'}", f"top={cameras / 'other'}", cameras / "side"]
    assert call("fuse", *words, "--combine", "mean", "--weights", "2,1,1", "--out", tmp_path / "joint") == 0
    joint = Joint(tmp_path / "joint")
    found = joint.inspect_part({view: shot(view, 201, defect=view == "top") for view in SEEN})
    assert list(found.members) == ["top", "other", "side"]
    said = found.members
    assert found.score == pytest.approx((2 * said["top"] + said["other"] + said["side"]) / 4)
    assert [len(one.others) for one in found.photographs] == [1, 0]


def test_detectors_of_the_same_photographs_judge_them_all(
    cameras: Path, views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("fuse", cameras / "top", cameras / "other", "--out", tmp_path / "joint") == 0
    joint = Joint(tmp_path / "joint")
    assert joint.views == ("photograph",)
    assert set(joint.inspect_part([shot("top", 200)]).members) == {"top", "other"}
    capsys.readouterr()
    assert call("predict", tmp_path / "joint", views / "top", "--group", "(.+)", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len([line for line in lines if "part" in line]) == PARTS, "each photograph for itself"


def test_a_threshold_absorbs_what_a_member_may_move_by(joint_path: Path) -> None:
    joint = Joint(joint_path)
    reject, members = joint.bundle.manifest.calibration.reject, joint.bundle.manifest.members
    moved = [joint.members[one.name].thresholds.tol / Unit.of(one.values).size for one in members]
    assert reject.tol >= max(moved)
    assert reject.value == pytest.approx(reject.base + reject.tol)


def test_the_zip_says_the_same(cameras: Path, joint_path: Path, tmp_path: Path) -> None:
    assert call("fuse", cameras / "top", cameras / "side", "--out", tmp_path / "joint.zip") == 0
    part = {view: shot(view, 201, defect=True) for view in SEEN}
    packed, folder = load(tmp_path / "joint.zip"), load(joint_path)
    assert isinstance(packed, Joint)
    assert isinstance(folder, Joint)
    assert packed.inspect_part(part).score == folder.inspect_part(part).score
    for name in SEEN:
        member = Model(joint_path / "members" / name)
        assert member.model_id == Model(cameras / name).model_id == packed.members[name].model_id


def test_new_parts_set_the_thresholds_where_they_are_given(cameras: Path, views: Path, tmp_path: Path) -> None:
    words: list[str | Path] = [
        "fuse",
        cameras / "top",
        cameras / "side",
        "--data",
        views / "good.csv",
        "--out",
        tmp_path / "joint",
    ]
    assert call(*words, "--combine", "fisher") == 0
    joint = Joint(tmp_path / "joint")
    calibration = joint.bundle.manifest.calibration
    assert calibration.n == len(joint.bundle.manifest.parts) == 6
    assert {int(part) for part in joint.bundle.manifest.parts} <= set(range(100, 112))
    assert calibration.reject.bound == pytest.approx(1 - 0.05 ** (1 / 6))
    bad = joint.inspect_part({view: shot(view, 201, defect=True) for view in SEEN})
    assert bad.verdict == "NG"


def test_predict_judges_parts(
    joint_path: Path, views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        call("predict", joint_path, views / "new", "--group", GROUP, "--out", tmp_path / "out", "--heatmaps", "ng") == 0
    )
    rows = list(csv.DictReader((tmp_path / "out/parts.csv").read_text().splitlines()))
    assert [row["part"] for row in rows] == [str(part) for part in range(100, 124)]
    assert {row["verdict"] for row in rows[12:]} == {"NG"}
    assert sum(row["verdict"] == "OK" for row in rows[:12]) > 6
    assert set(json.loads(rows[0]["members"])) == set(SEEN)
    photographs = csv.DictReader((tmp_path / "out/results.csv").read_text().splitlines())
    drawn = len(list((tmp_path / "out/heatmaps").iterdir()))
    assert drawn == sum(row["verdict"] == "NG" for row in photographs) >= 12
    report = (tmp_path / "out/report.html").read_text()
    assert "Decided once for a part, by the largest" in report
    assert all(f"{view}: Rejected, highest scores first" in report for view in SEEN)
    assert report.count('<tr><th scope="row">') == len(rows)
    assert call("predict", joint_path, views / "top", views / "side", "--group", GROUP, "--out", tmp_path / "two") == 0
    rows = list(csv.DictReader((tmp_path / "two/parts.csv").read_text().splitlines()))
    assert {row["photographs"] for row in rows} == {"2"}, "folders that were given tell the view, too"
    assert "ERROR" not in {row["verdict"] for row in rows}
    capsys.readouterr()
    assert call("predict", joint_path, views / "new") == 2
    assert "say which images show one part" in capsys.readouterr().err
    assert call("predict", joint_path, views / "good.csv", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    judged = [line for line in lines if "part" in line]
    assert [line["part"] for line in judged] == [str(part) for part in range(100, 112)]
    assert all(set(line["members"]) == set(SEEN) for line in judged), "the table names the views"


def test_evaluate_measures_parts_and_each_member_alone(
    joint_path: Path, views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluate", joint_path, views / "new.csv", "--out", tmp_path / "out")
    assert call(*words, "--json") == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads((tmp_path / "out/metrics.json").read_text())
    assert (metrics["part_auroc"], metrics["escape_rate"]["count"], metrics["good"]) == (1.0, 0, 12)
    assert all(value < 0.9 for value in metrics["alone"].values()), "each sees half of the defects"
    assert "at the side" in (tmp_path / "out/report.html").read_text()
    assert metrics["per_kind"]["at the top"]["alone"]["top"] == 1.0
    assert call(*words, "--overwrite") == 0
    assert "top alone" in capsys.readouterr().out
    assert call("evaluate", joint_path, views / "new", "--good", "new") != 0


def test_calibrate_gives_it_new_thresholds(
    joint_path: Path, views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("calibrate", joint_path, views / "good.csv", "--out", tmp_path / "again") == 0
    again = Joint(tmp_path / "again").bundle.manifest
    before = Joint(joint_path).bundle.manifest
    assert (len(again.calibration.history), again.calibration.n) == (1, 6)
    assert set(again.parts).isdisjoint(before.parts)
    assert call("calibrate", tmp_path / "again", "--row", "0") == 0
    assert Joint(tmp_path / "again").bundle.manifest.calibration.row == 0
    capsys.readouterr()
    assert call("calibrate", joint_path, views / "good.csv", "--add") == 2
    assert "--add is not for a joint model" in capsys.readouterr().err
    assert call("calibrate", joint_path) == 2


def test_verify_replays_every_member(joint_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", joint_path) == 0
    assert "all members judge as they did" in capsys.readouterr().out
    for name in ("members/top/model.onnx", "members/side/manifest.json", MANIFEST):
        model = shutil.copytree(joint_path, tmp_path / name.replace("/", "-"))
        content = bytearray((model / name).read_bytes())
        content[len(content) // 2] ^= 1
        (model / name).write_bytes(content)
        assert call("verify", model) == 4, name


def test_a_member_in_the_place_of_another_is_refused(joint_path: Path, cameras: Path, tmp_path: Path) -> None:
    model = shutil.copytree(joint_path, tmp_path / "joint")
    shutil.rmtree(model / "members/top")
    shutil.copytree(cameras / "other", model / "members/top")
    with pytest.raises(ModelError, match="was changed since the bundle was written"):
        Joint(model)


def test_what_takes_one_model_refuses_it(joint_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="is a joint model, of several models that decide together"):
        Model(joint_path)
    for words in (("export", joint_path, "--out", tmp_path / "x.zip"), ("bench", joint_path), ("serve", joint_path),
                  ("fuse", joint_path, joint_path, "--out", tmp_path / "x")):  # fmt: skip
        assert call(*words) == 4, words
        assert "joint model" in capsys.readouterr().err
    with pytest.raises(ModelError, match="one model, not a joint one"):
        Joint(joint_path / "members/top")


def test_a_manifest_that_makes_no_sense_is_refused_by_its_key(joint_path: Path, tmp_path: Path) -> None:
    document = json.loads((joint_path / MANIFEST).read_text())
    (first, second), files = document["members"], document["files"]
    selfcheck = {name: one for name, one in files.items() if not name.startswith("members/top/selfcheck")}
    for number, (change, said) in enumerate((
        ({"schema_version": 5}, "newer than 4"),
        ({"schema_version": 3}, "which older versions refuse"),
        ({"members": []}, "at least two"),
        ({"members": [first, first]}, "each named once"),
        ({"members": [first | {"name": "../top"}, second]}, "letters, digits"),
        ({"members": [first | {"values": [2, 1]}, second]}, "in ascending order"),
        ({"members": [first | {"weight": 0}, second]}, "a number above 0"),
        ({"combined": "median"}, "maximum, mean, fisher"),
        ({"pattern": "top"}, "with parentheses"),
        ({"files": selfcheck}, "lists other files"),
    )):  # fmt: skip
        model = shutil.copytree(joint_path, tmp_path / str(number))
        (model / MANIFEST).write_bytes(bundle.to_json(document | change))
        with pytest.raises(ModelError, match=said):
            load(model)


def test_watch_moves_the_photographs_of_a_part_together(joint_path: Path, views: Path, tmp_path: Path) -> None:
    for part in (100, 112):
        for view in SEEN:
            shutil.copy(views / f"new/part{part}_{view}.png", tmp_path)
    joint = Joint(joint_path)
    with pytest.raises(ConfigError, match="decides once for a part, by all views of it"):
        Watcher(joint, tmp_path)
    with Watcher(joint, tmp_path, settle=0, gathering=Gathering(GROUP, 2)) as watcher:
        rows = [row for _ in range(3) for row in watcher.step()]
    parts = {row["part"]: row for row in rows if "image" not in row}
    assert {part: row["verdict"] for part, row in parts.items()} == {"100": "OK", "112": "NG"}
    assert {path.name for path in (tmp_path / "ng").iterdir()} == {f"part112_{view}.png" for view in SEEN}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("fuse {top}", 2, "at least two models"),
        ("fuse {top} {top}", 2, "is the same model as"),
        ("fuse {top} {side} --weights 1", 2, "expected 2 numbers above 0"),
        ("fuse {top} {side} --weights 1,x", 2, "such as 2,1"),
        ("fuse {top} {side} --combine median", 2, "expected maximum or mean or fisher"),
        ("fuse {top} {side} --missing ignored", 2, "expected error or judged"),
        ("fuse {top} {side} --view top", 2, "captures nothing"),
        ("fuse {top} {side} --group (.)", 2, "give --data DATA"),
        ("fuse {top} {side} --data {data}/new --all-good", 3, "nothing says which photographs show one part"),
        ("fuse {top} {side} --data {data}/plain --group (\\d+) --all-good", 3, "show none of the views side, top"),
        ("fuse {top} {side} --data {data}/top --group (\\d+)", 3, "show none of the views"),
        ("fuse {top} {crossfitted}", 3, "is cross-fitted"),
        ("fuse {top} {export}", 3, "have other names for parts"),
    ],
)
def test_bad_input(
    words: str, code: int, said: str, cameras: Path, views: Path, crossfitted_path: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if "{export}" in words:
        assert call("export", cameras / "side", "--out", tmp_path / "export.zip", "--blind") == 0
    places = {"top": cameras / "top", "side": cameras / "side", "data": views, "crossfitted": crossfitted_path,
              "export": tmp_path / "export.zip"}  # fmt: skip
    assert call(*words.format(**places).split(), "--out", tmp_path / "joint") == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "joint").exists()


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("B{}", "no good part was measured by all members and fitted by none: 'top' 12 parts, as"),
        (None, "does not record what its calibration rests on"),
    ],
)
def test_models_of_other_parts_are_refused(
    groups: str | None, said: str, cameras: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    side = bundle.load(cameras / "side")
    record = side.manifest.data
    held_out = tuple(replace(one, group=groups.format(one.group)) for one in record.held_out) if groups else ()
    manifest = replace(side.manifest, data=replace(record, held_out=held_out))
    bundle.write(tmp_path / "other", manifest, {name: side.read(name) for name in side.manifest.files})
    assert call("fuse", cameras / "top", tmp_path / "other", "--out", tmp_path / "joint") == 3
    assert said in capsys.readouterr().err


def test_parts_that_a_member_was_fitted_on_are_left_out(
    cameras: Path, views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All 24 parts of the trainings: those that both held out are left."""
    for part in range(PARTS):
        for view in SEEN:
            save(tmp_path / f"data/{view}/part{part:02}.png", shot(view, part))
    words = ("fuse", cameras / "top", cameras / "side", "--data", tmp_path / "data", "--group", GROUP, "--all-good")
    assert call(*words, "--out", tmp_path / "joint") == 0
    assert "12 parts left out, since a member was fitted on them" in capsys.readouterr().err
    fitted = set(bundle.load(cameras / "top").manifest.data.fit.values())
    assert not fitted & Joint(tmp_path / "joint").bundle.manifest.parts.keys()
