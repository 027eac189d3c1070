"""What the station answers: lists, results as they come, photographs, and decisions that are on disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import reports
from browsers import until
from conftest import Once, picture, save
from PIL import Image
from stations import Asking, make_results, ten_parts

from anomalib_lite.calibration.statement import percent_up
from anomalib_lite.edge import disk
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import PLAIN
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Comparison
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.monitor import monitor
from anomalib_lite.review.decision import Label
from anomalib_lite.review.log import DecisionLog
from anomalib_lite.station import app
from anomalib_lite.station.kept import Kept
from anomalib_lite.station.maps import Maps
from anomalib_lite.station.query import DECIDED, ORDERS

HOSTILE = "a/<img src=x onerror=alert(1)>\u202e=cmd()\x1b[31m\udcff.png"


@pytest.fixture(scope="module")
def model(once: Once, model_path: Path, parts: Path) -> Path:
    return ten_parts(once, model_path, parts)


@pytest.fixture(scope="module")
def made(once: Once, model: Path) -> Path:
    return once("station", lambda here: make_results(here, model))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Results of their own."""
    return Path(shutil.copytree(made / "results", tmp_path / "results"))


@pytest.fixture
def asking(folder: Path, model: Path) -> Asking:
    return Asking.at(folder, model=model)


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / "results.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def row(image: Path | str, sha256: str = "", **more: Any) -> dict[str, Any]:
    told = {"image": str(image), "sha256": sha256, "time": "2026-01-01T12:00:00+00:00", "verdict": "OK", "score": 1.0}
    return told | {"model_id": "0" * 12, "reject_threshold": 2.0, "review_threshold": 2.0, "regions": []} | more


def numbers(answer: Any) -> list[int]:
    return [one["number"] for one in answer["rows"]]


def test_a_list_is_filtered_ordered_and_answered_page_by_page(asking: Asking) -> None:
    entries = asking.station.results.entries
    first = asking.get("/api/results?verdict=NG&order=-score&count=5")
    rejected = sorted((one for one in entries if one.verdict == "NG"), key=lambda one: one.score or 0, reverse=True)
    assert first["total"] == len(rejected) > 20
    assert numbers(first) == [one.number for one in rejected[:5]]
    assert numbers(asking.get("/api/results?verdict=NG&order=-score&start=5&count=5")) == [
        one.number for one in rejected[5:10]
    ]
    assert numbers(asking.get("/api/results?text=PART007")) == [14, 15]
    assert asking.get("/api/results?lot=lot2")["total"] == 50
    middle = sorted(one.score for one in entries if one.score is not None)[100]
    assert asking.get(f"/api/results?high={middle}")["total"] == sum((one.score or 0) <= middle for one in entries)
    morning = asking.get("/api/results?since=1772438400&until=1772442000")  # 2026-03-02, 8:00 to 9:00 UTC
    assert numbers(morning) == [one for one in range(50, 100) if one % 12 < 2]
    assert len(asking.get("/api/results?count=100000")["rows"]) == 200
    assert asking.one(14, "place?text=part007")["place"] == 0
    assert asking.one(3, "place?text=part007")["place"] is None


def test_times_of_other_zones_are_one_time_line(tmp_path: Path) -> None:
    times = ("2026-01-01T09:00:00+09:00", "2026-01-01T00:00:00", "2025-12-31T19:30:00-05:00", "yesterday", 7)
    asking = Asking.at(write(tmp_path / "r", *(row(f"{at}.png", time=time) for at, time in enumerate(times))))
    assert numbers(asking.get("/api/results?order=time")) == [0, 1, 2, 3, 4]
    assert numbers(asking.get("/api/results?since=1767225600&until=1767225600")) == [0, 1]


def test_an_answer_does_not_grow_with_the_results(tmp_path: Path) -> None:
    outline = [[float(at), float(at)] for at in range(300)]
    region = {"x": 0, "y": 0, "width": 9, "height": 9, "area": 9, "peak": 1, "outline": outline}
    write(tmp_path / "r", *(row(f"{at}.png", score=at, regions=[region]) for at in range(500)))
    asking = Asking.at(tmp_path / "r")
    answer = asking.get("/api/results?order=-score&count=100")
    assert (answer["total"], numbers(answer)[0]) == (500, 499)
    assert len(answer.body) < 30_000
    assert len(asking.get("/api/state").body) < 2_000
    assert max(map(len, (repr(one) for one in asking.station.results.entries))) < 400  # no row stays in memory
    assert len(asking.one(499)["regions"][0]) == 300


def test_results_appear_as_they_come_and_a_file_written_anew_is_another_one(folder: Path, asking: Asking) -> None:
    assert asking.get("/api/state")["rows"] == 200
    with (folder / "results.jsonl").open("a") as file:
        file.write(json.dumps(row("new.png", part="p")) + "\n")
        file.write('{"part": "p", "verdict": "OK"}\nbroken\n[1]\n{"image": "ha')
    state = asking.get("/api/state")
    assert (state["rows"], state["broken"]) == (201, 2)  # the verdict on a part is no photograph; half a line waits
    assert asking.one(200)["image"] == "new.png"
    with (folder / "results.jsonl").open("a") as file:
        file.write('lf.png", "verdict": "fine", "score": NaN}\n')
    assert asking.get("/api/state")["rows"] == 202
    assert asking.one(201)["score"] is None
    assert asking.one(201)["verdict"] == "ERROR"  # never OK, where no verdict is known
    (folder / "results.jsonl").write_text(json.dumps(row("other.png")) + "\n")
    before = asking.station.results.generation
    assert asking.get("/api/state")["generation"] == before + 1
    assert asking.get(f"/api/results/{before}/0").status == 404
    assert asking.one(0)["image"] == "other.png"
    beside, first, second, third = folder / "another", *(row("o" * 300, score=score) for score in (1.0, 2.0, 3.0))
    (folder / "results.jsonl").write_text(json.dumps(first) + "\n")
    before = asking.get("/api/state")["generation"]
    beside.write_text(f"{json.dumps(second)}\n{json.dumps(third)}\n")  # begins alike, and is longer
    beside.replace(folder / "results.jsonl")
    assert asking.get("/api/state")["generation"] == before + 1
    assert [entry.score for entry in asking.station.results.entries] == [2.0, 3.0]
    (folder / "results.jsonl").unlink()
    assert asking.get("/api/state")["rows"] == 0


def test_no_address_of_a_picture_is_that_of_another_station(tmp_path: Path) -> None:
    """A browser keeps pictures, and the next folder is reviewed at the same address."""
    stations = [Asking.at(write(tmp_path / name, row("a.png"))) for name in ("lot1", "lot2", "lot3")]
    generations = [asking.get("/api/state")["generation"] for asking in stations]
    assert len(set(generations)) == 3
    assert max(generations) < 2**53 - 2**20  # which the page counts exactly, however often a file is written anew


def test_a_folder_that_is_watched_shows_photographs_where_they_were_moved(tmp_path: Path, model_path: Path) -> None:
    judged = Model(model_path).inspect(save(tmp_path / "w/ok/a.png", picture(1)), name="a.png").row()
    asking = Asking.at(write(tmp_path / "w", judged | {"file": "1", "moved_to": "ok/a.png"}), model=model_path)
    assert asking.one(0, "thumb").status == asking.one(0, "heat").status == 200


def test_photographs_that_are_gone_or_changed_are_told_and_not_shown(tmp_path: Path, model_path: Path) -> None:
    paths = [save(tmp_path / f"{at}.png", picture(at)) for at in range(3)]
    rows = [Model(model_path).inspect(path).row() for path in paths]
    (tmp_path / "note.txt").write_text("secret")
    os.mkfifo(tmp_path / "pipe.png")
    rows += [row(tmp_path / "pipe.png"), row("a" * 5000 + ".png"), row("/dev/zero")]
    rows += [row("/etc/passwd"), row(tmp_path / "note.txt"), row("null\0byte.png"), row("nowhere#3.png"), row(HOSTILE)]
    paths[0].unlink()
    save(paths[1], picture(99))
    asking = Asking.at(write(tmp_path / "r", *rows), model=model_path)
    whys = [asking.one(number)["picture"]["why"] for number in range(len(rows))]
    assert whys == ["gone", "changed", "", "unread", "gone", "unread", "unread", "unread", "gone", "gone", "gone"]
    for number in (0, 1, *range(3, len(rows))):
        for which in ("thumb", "whole", "heat"):
            answer = asking.one(number, which)
            assert (answer.status, b"secret" in answer.body) == (404, False)
    assert asking.one(len(rows) - 1)["image"] == "a/<img src=x onerror=alert(1)>\\u202e=cmd()\\x1b[31m\\udcff.png"


def test_the_photograph_that_was_judged_is_found_behind_another_of_its_name(tmp_path: Path) -> None:
    judged = save(tmp_path / "data/a.png", picture(1))
    sha256 = hashlib.sha256(judged.read_bytes()).hexdigest()
    for folder, other in (("changed", picture(2)), ("unread", None)):
        here = write(tmp_path / folder, row("a.png", sha256, moved_to="ok/a.png"))
        if other is None:
            (here / "ok").mkdir()
            (here / "ok/a.png").write_text("no image")
        else:
            save(here / "ok/a.png", other)
        assert Asking.at(here).one(0)["picture"]["why"] == folder
        assert Asking.at(here, data=tmp_path / "data").one(0, "whole").status == 200


def test_results_of_another_model_get_no_heat_map(tmp_path: Path, made: Path, ungated_path: Path) -> None:
    asking = Asking.at(made / "results", model=ungated_path)
    assert asking.get("/api/state")["model"]["own"] == 0
    assert asking.one(0)["maps"] == "other_model"
    assert (asking.one(0, "heat").status, asking.one(0, "heat")["why"]) == (404, "other_model")
    assert Asking.at(made / "results").one(0)["maps"] == "no_model"


@pytest.mark.parametrize(
    ("pixels", "black", "white"),
    [
        (np.array([[[0], [255]]], np.uint8), 0, 255),
        (np.array([[[0], [900]]], np.uint16), 0, 1023),
        (np.array([[[5], [4000]]], np.uint16), 0, 4095),
        (np.array([[[0], [60_000]]], np.uint16), 0, 65_535),
    ],
)
def test_numbers_of_pixels_are_scaled_by_one_rule(
    tmp_path: Path, pixels: np.ndarray, black: float, white: float
) -> None:
    path = save(tmp_path / "a.png", pixels)
    asking = Asking.at(write(tmp_path / "r", row(path, PLAIN.read(path).sha256)))
    told = asking.one(0)["picture"]
    assert (told["black"], told["white"], told["dtype"]) == (black, white, str(pixels.dtype))
    shown = np.asarray(Image.open(BytesIO(asking.one(0, "whole").body)))
    assert shown[0, 1, 0] == round(255 * float(pixels.max()) / white)


def test_a_photograph_of_8_megapixels_and_16_bits_is_shown_at_its_size(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((2500, 3300, 1), 3000, np.uint16))
    asking = Asking.at(write(tmp_path / "r", row(path, PLAIN.read(path).sha256)))
    assert asking.one(0)["picture"]["width"] == 3300
    whole = asking.one(0, "whole")
    assert whole.header("content-type") == "image/jpeg"
    assert Image.open(BytesIO(whole.body)).size == (3300, 2500)
    assert max(Image.open(BytesIO(asking.one(0, "thumb").body)).size) == 240


def test_ground_truth_is_that_of_the_data_set_that_was_evaluated(tmp_path: Path, model_path: Path, parts: Path) -> None:
    evaluate(Model(model_path), parts, out=tmp_path / "e", group=r"part(\d+)")
    asking = Asking.at(tmp_path / "e", model=model_path)
    found = asking.get("/api/results?kind=hole")
    assert found["total"] == 5
    one = asking.one(numbers(found)[0])
    assert (one["kind"], one["truth"], one["picture"]["why"]) == ("hole", True, "")
    drawn = np.asarray(Image.open(BytesIO(asking.one(one["number"], "truth").body)))
    mask = np.asarray(Image.open(parts / one["image"].replace("test", "ground_truth").replace(".png", "_mask.png")))
    assert ((drawn[..., 3] > 0) == (mask > 0)).all()


def test_a_model_that_compares_shows_golden_and_aligned_image(asking: Asking) -> None:
    made = reports.calibration()
    found = reports.result(reports.row("a.png", "crack", 9.0, made), made)
    golden, aligned = np.full((64, 64, 1), 200, np.uint8), np.full((32, 32, 1), 90, np.uint8)
    assert found.anomaly_map is not None
    compared = Comparison(golden, aligned, found.anomaly_map)
    object.__setattr__(found, "comparison", compared)
    object.__setattr__(found, "map_thresholds", (1.0, 2.0))
    model = asking.station.model
    spec = SimpleNamespace(framing=SimpleNamespace(spec=SimpleNamespace(white=255.0, black=0.0)))
    fake = SimpleNamespace(model_id=asking.station.results.entries[0].model_id, members={"": spec}, **{
        "look": lambda path, name: SimpleNamespace(result=found), "bundle": getattr(model, "bundle", None),
        "framing": spec.framing})  # fmt: skip
    asking.station.maps = Maps(fake, asking.station.pictures)  # type: ignore[arg-type]
    told = asking.one(0, "maps")
    assert told["frame"] == [64, 64]
    assert len(told["placed"]) == len(found.regions) > 0
    assert np.asarray(Image.open(BytesIO(asking.one(0, "golden").body)))[0, 0, 0] == 200
    assert Image.open(BytesIO(asking.one(0, "aligned").body)).size == (64, 64)
    assert Image.open(BytesIO(asking.one(0, "difference").body)).mode == "RGBA"


def test_a_decision_is_on_disk_when_it_is_answered_and_can_be_taken_back(folder: Path, asking: Asking) -> None:
    note = "<b>=1+1</b>\n\u202e\x1b[2J"
    assert asking.decide(0, "defect", "dent", note)["line"] == 1
    assert asking.decide(1, "unsure", operator="Grace")["line"] == 2
    lines = DecisionLog(folder).refresh()
    assert [(line.operator, line.decision.label) for line in lines if line.decision] == [
        ("Ada", Label.DEFECT), ("Grace", Label.UNSURE),
    ]  # fmt: skip
    assert lines[0].decision is not None
    assert lines[0].decision.note == note
    state = asking.get("/api/state")
    assert (state["decisions"], state["decided"]) == (2, 2)
    told = asking.one(0)
    assert told["decision"] == {"label": "defect", "kind": "dent", "line": 1}
    assert told["history"][0]["note"] == "<b>=1+1</b>\\n\\u202e\\x1b[2J"
    assert numbers(asking.get("/api/results?decided=defect")) == [0]
    assert asking.get("/api/results?decided=no")["total"] == 198
    assert asking.post("/api/undo", {"operator": "", "line": 1})["line"] == 3
    assert asking.one(0)["decision"] is None
    again = asking.post("/api/undo", {"operator": "", "line": 1})
    assert (again.status, "cannot be taken back" in again["error"]) == (409, True)


@pytest.mark.parametrize(
    ("label", "kind", "note", "operator", "said"),
    [
        ("defect", "good", "", "", "no kind of defect"),
        ("good", "dent", "", "", "Leave it out"),
        ("good", "", "n" * 3000, "", "letters"),
        ("good", "", "", "\u202eEve", "cannot be seen"),
    ],
)
def test_what_is_no_decision_is_refused(
    folder: Path, asking: Asking, label: str, kind: str, note: str, operator: str, said: str
) -> None:
    answer = asking.decide(0, label, kind, note, operator)
    assert (answer.status, said in answer["error"]) == (409, True)
    assert not DecisionLog(folder).refresh()


def test_two_stations_on_one_folder_see_each_other(folder: Path, asking: Asking) -> None:
    other = Asking.at(folder, operator="Grace")
    assert asking.decide(5, "good")["line"] == 1
    assert other.decide(6, "good")["line"] == 2
    for station in (asking, other):
        assert station.get("/api/state")["decided"] == 2
    assert [one["operator"] for one in asking.one(6)["history"]] == ["Grace"]


def test_a_decision_that_comes_while_others_are_read_is_seen_at_the_next_look(
    folder: Path, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, log = Asking.at(folder), asking.station.log
    current = log.current

    def meanwhile() -> Any:
        found = current()
        monkeypatch.setattr(log, "current", current)
        assert other.decide(11, "unsure").status == 200
        log.refresh()  # as another request of this station does
        return found

    monkeypatch.setattr(log, "current", meanwhile)
    assert asking.decide(10, "good").status == 200
    assert asking.get("/api/results?decided=yes")["total"] == 1
    assert asking.get("/api/state")["decisions"] == 2
    assert numbers(asking.get("/api/results?decided=yes")) == [10, 11]
    assert asking.one(11)["decision"]["label"] == "unsure"


def test_a_full_disk_and_a_broken_log_are_told_and_nothing_is_ticked(
    folder: Path, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.decide(0, "good")
    with monkeypatch.context() as patch:

        def full(*arguments: Any, **options: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(disk, "append", full)
        answer = asking.decide(1, "good")
        assert (answer.status, "does not count" in answer["error"]) == (409, True)
    assert asking.get("/api/state")["decisions"] == 1
    log = folder / "decisions.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"good"', b'"unsure"'))
    later = Asking.at(folder)
    later.station.log.path.write_bytes(log.read_bytes() + log.read_bytes())
    problem = later.get("/api/state")["problem"]
    assert "line 2" in problem
    assert later.decide(2, "good").status == 409
    assert later.get("/api/results")["total"] == 200  # what there is can be looked at all the same


def test_every_row_of_the_menu_is_told_by_what_it_would_say_of_the_results(asking: Asking) -> None:
    asking.decide(0, "good")  # it was NG
    asking.decide(1, "defect", "dull")  # and this one OK
    menu = asking.get("/api/operating").json()
    rows, entries = menu["rows"], asking.station.results.entries
    assert [row["rank"] for row in rows] == [0, 1]
    assert [row["taken"] for row in rows] == [True, False]
    assert asking.station.model is not None
    points = asking.station.model.bundle.manifest.calibration.menu
    assert [row["bound"] for row in rows] == [percent_up(point.bound) for point in points]  # never less than it is
    assert menu["groups"] == {"good": 1, "defect": 1, "open": 198}
    for row in rows:
        above = [one.number for one in entries if one.score is not None and one.score > row["threshold"]]
        assert row["rejected"] == {"good": int(0 in above), "defect": int(1 in above), "open": len({*above} - {0, 1})}
    assert set(menu["panels"]) == {"good", "defect", "open"}


def test_a_row_is_used_by_a_new_model_and_the_old_one_stays(folder: Path, model: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(model, tmp_path / "part"))
    asking, before = Asking.at(folder, model=mine), (mine / "manifest.json").read_bytes()
    said = {"operator": "Grace", "row": 1, "because": "fewer escapes", "accept": ""}
    assert asking.post("/api/operating/use", said | {"because": " "}).status == 400
    assert asking.post("/api/operating/use", said | {"row": 7}).status == 400
    assert asking.post("/api/operating/use", said | {"row": True}).status == 400
    written = asking.post("/api/operating/use", said)
    assert (written["name"], written["was"]) == ("part-row-1", asking.station.model and asking.station.model.model_id)
    assert (mine / "manifest.json").read_bytes() == before
    made = Model(tmp_path / "part-row-1").bundle.manifest
    assert (made.calibration.row, made.choices[-1].operator, made.choices[-1].because) == (1, "Grace", "fewer escapes")
    assert Asking.at(folder, model=tmp_path / "part-row-1").get("/api/operating")["choices"][0]["operator"] == "Grace"
    assert Asking.at(folder).get("/api/operating").status == 400


def taught(asking: Asking, accept: str = "") -> Any:
    """What came of a calibration that was started from the page."""
    assert asking.post("/api/teach/calibrate", {"operator": "Grace", "accept": accept}).status == 200
    return until(lambda: (job := asking.get("/api/teach")["job"])["state"] != "running" and job)


def test_what_is_decided_becomes_thresholds_and_verdicts_change_as_announced(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    asking = Asking.at(folder, model=Path(shutil.copytree(model, tmp_path / "part")), session=r"lot(\d)")
    asking.get("/api/state")
    assert asking.post("/api/teach/tables", {"split": "calibrate"}).status == 409  # nothing is decided
    lot = asking.station.results.entries[:50]
    rejected = sorted((one for one in lot if one.verdict == "NG"), key=lambda one: one.score or 0)
    good = [one.number for one in lot if one.verdict != "NG"] + [rejected[1].number]  # the last one after all
    bad = [one.number for one in rejected if one.number not in good]
    for number in good:
        asking.decide(number, "good")
    asking.decide(bad[0], "unsure")
    for number in bad[1:]:
        asking.decide(number, "defect", "dent")
    written = asking.post("/api/teach/tables", {"split": "calibrate"})
    assert (written["good"], "lot 0: 49 of 50 decided" in written["notes"][0]) == (0, True)
    asking.decide(bad[0], "unusable")
    counts = {"good": len(good), "defect": len(bad) - 1, "unsure": 0, "unusable": 1}
    assert asking.get("/api/teach")["counts"] == counts
    job = taught(asking)
    assert (job["state"], job["model"]) == ("done", "part-taught")
    made = Model(tmp_path / "part-taught")
    assert made.bundle.manifest.calibration.n == 10 + len({number // 2 for number in good})  # parts
    assert [one.kind for one in made.bundle.manifest.known] == ["dent"] * (len(bad) - 1)
    drawn = lot[:40]  # the others look like these
    now = {one.number: made.inspect(one.image).verdict.value for one in drawn}
    changed = [(one.verdict, now[one.number]) for one in drawn if one.verdict != now[one.number]]
    assert changed
    assert {(one["was"], one["is"]): one["count"] for one in job["changes"]} == {
        pair: 5 * changed.count(pair)
        for pair in set(changed)  # each is there five times
    }
    asking.decide(good[3], "defect", "dull")  # which the model does not see
    refused = taught(asking)
    assert (refused["state"], "1 known defect is OK" in refused["error"]) == ("failed", True)
    asking.decide(good[4], "defect", "dull")  # meanwhile, by somebody else
    refused = taught(asking, "nobody can see it")  # which was said of one
    assert (refused["state"], "2 known defects are OK" in refused["error"]) == ("failed", True)
    done = taught(asking, "nobody can see it")
    assert done["state"] == "done"
    assert "goes on from part-taught" in " ".join(done["notes"])
    first, second = (Model(tmp_path / name).bundle.manifest for name in ("part-taught", "part-taught-2"))
    assert second.choices[-1].because == "nobody can see it"
    assert len(second.calibration.history) == len(first.calibration.history) + 1  # each repetition is paid for
    asking.decide(good[3], "good")  # a slip
    assert "1 known defect is OK" in taught(asking)["error"]  # the other one
    back = taught(asking, "nobody can see it")
    assert back["state"] == "done", back
    assert "1 image no known defect any more" in " ".join(back["notes"])
    third = Model(tmp_path / "part-taught-3").bundle.manifest
    assert [one.image for one in second.known if one not in third.known] == [lot[good[3]].image]
    assert "1 known defect taken back" in third.choices[-1].what
    assert third.choices[-1].operator == "Grace"
    assert len(third.calibration.exclusions) == len(second.calibration.exclusions) - 1  # it counts again
    assert third.calibration.images == second.calibration.images + 1


def test_tables_for_a_training_are_written_beside_the_results(folder: Path) -> None:
    asking = Asking.at(folder)
    asking.decide(1, "good")
    asking.decide(0, "defect", "dent")
    assert asking.post("/api/teach/tables", {"split": "../../etc"}).status == 400
    written = asking.post("/api/teach/tables", {"split": "train"})
    assert (written["folder"], written["good"], written["defects"]) == ("taught", 1, 1)
    assert re.match(r"anomalib-lite train DETECTOR \S+golden.csv --known \S+known.csv", written["command"])
    assert {path.name for path in (folder / "taught").iterdir()} == {"golden.csv", "known.csv"}
    assert asking.post("/api/teach/tables", {"split": "train"})["folder"] == "taught-2"
    assert asking.post("/api/teach/calibrate", {"operator": "", "accept": ""}).status == 400  # there is no model


def test_the_trend_is_that_of_monitor_and_says_since_when(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    scores = [*random.normal(1, 0.1, 60), *random.normal(1.6, 0.1, 40)]
    times = [f"2026-01-0{1 + at // 50}T{at % 24:02}:30:00+00:00" for at in range(100)]
    rows = [row(f"lot{at // 50}/{at}.png", score=scores[at], time=times[at]) for at in range(100)]
    asking = Asking.at(write(tmp_path / "r", *rows, row("x.png", score=None, verdict="ERROR", time="never")))
    told, expected = asking.get("/api/trend?by=day"), monitor(tmp_path / "r").drift
    assert expected.alarm is not None
    assert told["parts"] == 100
    assert told["value"] == expected.value
    assert (told["alarm"]["at"], told["alarm"]["since"]) == (expected.alarm.at, expected.alarm.since)
    assert told["alarm"]["number"] == expected.alarm.since - 1
    assert 55 <= told["alarm"]["since"] <= 65
    assert [bar["counts"]["OK"] for bar in told["bars"]] == [50, 50]
    assert [bar["lot"] for bar in asking.get("/api/trend?by=lot")["bars"]] == ["lot0", "lot1", ""]
    shifted = asking.get("/api/trend?by=shift&offset=120")["bars"]  # shifts begin at 6, 14 and 22, where the browser is
    assert {(bar["when"] + 7200) / 3600 % 24 for bar in shifted} == {6, 14, 22}
    for wrong in ("by=year", "offset=x", "offset=--5", "offset=-", "offset=", "offset=²", "offset=10000"):
        assert asking.get(f"/api/trend?{wrong}").status == 400, wrong
    assert asking.get("/api/trend?offset=-720").status == 200
    with (tmp_path / "r/results.jsonl").open("a") as file:
        file.write(json.dumps(row("later.png", score=1.6)) + "\n")
    asking.get("/api/state")
    assert asking.get("/api/trend")["parts"] == 101


def test_a_protocol_has_the_decisions_of_its_lot_and_what_vouches_for_them(folder: Path, asking: Asking) -> None:
    asking.decide(60, "good", note="<i>fine</i>")
    asking.decide(0, "defect", "dent")
    told = asking.get("/api/protocol?lot=lot1")
    assert told["results"]["images"] == sum(told["results"]["verdicts"].values()) == 50
    assert told["results"]["parts"] == 25
    assert [(one["line"], one["label"], one["note"]) for one in told["decisions"]["listed"]] == [
        (1, "good", "<i>fine</i>")
    ]
    log = DecisionLog(folder)
    log.refresh()
    assert told["decisions"]["digest"] == log.digest
    assert asking.get("/api/protocol")["decisions"]["counts"] == {"good": 1, "defect": 1}
    assert asking.station.model is not None
    statement = asking.station.model.bundle.manifest.calibration.statement
    assert told["card"]["statement"] == list(statement)
    assert told["card"]["facts"]["model"] == asking.station.model.model_id
    assert Asking.at(folder).get("/api/protocol")["card"] is None


def test_a_station_that_only_reads_decides_nothing(folder: Path) -> None:
    asking = Asking.at(folder, read_only=True)
    assert asking.get("/api/state")["readOnly"]
    assert asking.decide(0, "good").status == asking.post("/api/undo", {"operator": "", "line": 1}).status == 403
    assert asking.post("/api/operating/use", {"operator": "", "row": 1, "because": "x", "accept": ""}).status == 403
    assert not (folder / "decisions.jsonl").exists()


def test_every_text_is_there_in_both_languages() -> None:
    files = app.static_files()
    table = json.loads(files["words.json"])
    assert len(files["words.json"].splitlines()) == len(table) + 2  # no key twice
    for key, texts in table.items():
        assert set(texts) == {"en", "de"}, key
        assert all(text.strip() for text in texts.values()), key
        holes = [sorted(re.findall(r"\{\w+\}", text)) for text in texts.values()]
        assert holes[0] == holes[1], key
    scripts = {name: content.decode() for name, content in files.items() if name.endswith(".js")}
    used = {key for text in scripts.values() for key in re.findall(r"\bt\(\s*\"([\w.-]+)\"", text)}
    used |= {f"label.{label}" for label in Label} | {f"decided.{one}" for one in DECIDED}
    used |= {f"order.{one}" for one in ORDERS}
    used |= {f"why.{one}" for one in ("gone", "changed", "unread", "unmeasured", "other_model", "no_model", "none")}
    assert not used - set(table)
    begun = {begin for text in scripts.values() for begin in re.findall(r"`([\w.]+\.)\$\{", text)}
    begun |= {key for text in scripts.values() for key in re.findall(r"\"([\w.-]+)\"", text)} & set(table)
    assert not [key for key in table if key not in used | begun and not any(key.startswith(one) for one in begun)]
    assert all(f".{verdict}" in files["style.css"].decode() for verdict in Verdict)


def test_pictures_that_are_kept_are_bounded() -> None:
    kept, made = Kept(10), list[int]()

    def make(number: int) -> bytes:
        made.append(number)
        return bytes(4)

    for number in (1, 2, 1, 3, 2, 1):
        assert kept.get(number, partial(make, number)) == bytes(4)
    assert made == [1, 2, 3, 2, 1]  # the one that was longest not asked for made room
    assert kept.get("large", lambda: bytes(11)) == bytes(11)
