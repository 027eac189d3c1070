"""The tab Data of the station: the region of interest as a mask that a training takes, counts, and near copies."""

from __future__ import annotations

import errno
import itertools
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import until
from conftest import Once, picture, save
from PIL import Image
from stations import Asking, make_results, ten_parts

from anomalib_lite import config as configuration
from anomalib_lite.config import Config
from anomalib_lite.edge import disk
from anomalib_lite.edge.images.opener import PLAIN
from anomalib_lite.errors import ConfigError
from anomalib_lite.station.drawn import Shape, drawn
from anomalib_lite.training.sizing import read_region

SQUARE = [[8, 8], [40, 8], [40, 40], [8, 40]]


@pytest.fixture(scope="module")
def model(once: Once, model_path: Path, parts: Path) -> Path:
    return ten_parts(once, model_path, parts)


@pytest.fixture
def folder(once: Once, model: Path, tmp_path: Path) -> Path:
    """Results of their own."""
    made = once("station", lambda here: make_results(here, model))
    return Path(shutil.copytree(made / "results", tmp_path / "results"))


def shape(points: Any = SQUARE, *, inspect: Any = True, radius: Any = 0) -> dict[str, Any]:
    return {"inspect": inspect, "radius": radius, "points": points}


def post(asking: Asking, *shapes: Any, replaces: int = 0, number: int = 0) -> Any:
    address = f"/api/results/{asking.station.results.generation}/{number}/roi"
    return asking.post(address, {"shapes": list(shapes), "replaces": replaces})


def region(command: str) -> Any:
    """The region that a training has by a command that the page shows."""
    words = shlex.split(command)
    merged = configuration.load(None, [words[words.index("--set") + 1]])
    made = configuration.validate(Config, merged | {"detector": "any"}, where="", help_command="")
    return read_region(made.image.roi)


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder


def row(image: Path | str, sha256: str, **more: Any) -> dict[str, Any]:
    return {"image": str(image), "sha256": sha256, "verdict": "OK", "score": 1.0, "model_id": "0" * 12} | more


def within(points: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """By the even-odd rule, places one by one."""
    odd = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, 0), strict=True):
        crosses = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            odd ^= crosses & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return odd


def near(points: np.ndarray, radius: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Within a radius of a line through points, places one by one."""
    far = np.full(x.shape, np.inf)
    for start, end in itertools.pairwise(points):
        way = end - start
        share = np.clip(((x - start[0]) * way[0] + (y - start[1]) * way[1]) / (way @ way), 0, 1)
        far = np.minimum(far, np.hypot(x - start[0] - share * way[0], y - start[1] - share * way[1]))
    return far <= radius


@pytest.mark.parametrize("seed", range(12))
def test_a_pixel_is_inside_a_shape_where_its_middle_is(seed: int) -> None:
    random = np.random.default_rng(seed)
    points, radius = random.uniform(-15, 75, (int(random.integers(3, 8)), 2)), float(random.uniform(0.6, 14))
    y, x = np.mgrid[:50, :60] + 0.5
    corners = tuple((float(a), float(b)) for a, b in points)
    assert (drawn([Shape(True, 0, corners)], 50, 60) == within(points, x, y)).all()
    stroke = near(points, radius, x, y)
    assert (drawn([Shape(True, radius, corners)], 50, 60) == stroke).all()
    both = drawn([Shape(True, 0, corners), Shape(False, radius, corners[:2])], 50, 60)
    assert (both == within(points, x, y) & ~near(points[:2], radius, x, y)).all()
    assert (drawn([Shape(False, radius, corners)], 50, 60) == ~stroke).all()  # left out first: all else is inspected


def test_one_touch_of_the_brush_is_a_disc() -> None:
    y, x = np.mgrid[:30, :30] + 0.5
    assert (drawn([Shape(True, 6.0, ((15.0, 15.0),))], 30, 30) == (np.hypot(x - 15, y - 15) <= 6)).all()


@pytest.mark.parametrize("place", ["results", "line: 2 #a 'b'"])
def test_the_mask_that_is_saved_is_the_region_that_a_training_takes(folder: Path, model: Path, place: str) -> None:
    folder = folder.rename(folder.with_name(place))
    asking = Asking.at(folder, model=model)
    saved = post(asking, shape(), shape([[20.0, 20.0], [30.0, 30.0]], inspect=False, radius=2.5))
    assert (saved.status, saved["name"], saved["folder"]) == (200, "roi.png", "roi-masks")
    photograph = PLAIN.read(Path(asking.station.results.entries[0].image)).pixels
    assert (saved["height"], saved["width"]) == photograph.shape[:2]
    mask = Image.open(folder / "roi-masks/roi.png")
    assert (mask.mode, mask.size, set(np.unique(np.asarray(mask)))) == ("L", photograph.shape[1::-1], {0, 255})
    taken = region(saved["command"])
    assert not taken.notes
    assert (taken.inside == (np.asarray(mask) == 255)).all()
    assert taken.inside[9, 9]
    assert not taken.inside[25, 25]
    assert not taken.inside[50:].any()
    assert taken.inside.mean() == pytest.approx(saved["share"])
    words = shlex.split(saved["command"])
    assert words[:3] == ["anomalib-lite", "train", asking.station.model.bundle.manifest.detector.name]  # type: ignore[union-attr]
    assert words[words.index("--out") + 1] == str(model.parent / "model-roi")


def test_a_mask_is_overwritten_only_where_that_one_is_named(folder: Path) -> None:
    asking = Asking.at(folder)
    assert asking.get("/api/data/masks")["masks"] == []
    for name in ("roi.png", "roi-2.png"):
        assert post(asking, shape())["name"] == name
    first, second = ((folder / "roi-masks" / name).read_bytes() for name in ("roi.png", "roi-2.png"))
    (folder / "roi-masks/other.png").write_bytes(b"mine")
    assert [one["number"] for one in asking.get("/api/data/masks")["masks"]] == [1, 2]
    assert post(asking, shape(inspect=False), replaces=2)["name"] == "roi-2.png"
    assert (folder / "roi-masks/roi.png").read_bytes() == first
    assert (folder / "roi-masks/roi-2.png").read_bytes() != second
    for number in (3, -1, 10**30):
        assert post(asking, shape(), replaces=number).status == 409
    assert "DETECTOR DATA --out MODEL" in post(asking, shape())["command"]
    names = {path.name for path in (folder / "roi-masks").iterdir()}
    assert names == {"roi.png", "roi-2.png", "roi-3.png", "other.png"}


@pytest.mark.parametrize(
    "given",
    [
        {}, [], "../../etc/passwd", shape("8,8"), shape(SQUARE[:2]), shape([], radius=3), shape([[1, 2, 3]] * 3),
        shape([[1, "2"]] * 3), shape([[1, 10**400]] * 3), shape([[0, 2e5]] * 3), shape([[True, 1]] * 3),
        shape(radius=-1), shape(radius=501), shape(radius="3"), shape(inspect=1), shape() | {"path": "/etc/passwd"},
    ],
)  # fmt: skip
def test_what_is_no_shape_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="a shape has"):
        Shape.of(given)


def test_nothing_is_written_where_nothing_can_be_inspected_or_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking.at(folder)
    everything = [[-9, -9], [999, -9], [999, 999], [-9, 999]]
    for shapes, said in (
        ([], "everything"), ([shape(everything)], "everything"), ([shape(everything, inspect=False)], "nothing"),
        ([shape([[-9, -9], [-5, -9], [-5, -5]])], "nothing"),
    ):  # fmt: skip
        answer = post(asking, *shapes)
        assert (answer.status, f"{said} is inspected" in answer["error"]) == (409, True)
    assert post(asking, shape(), number=9999).status == 404
    assert post(asking, {"inspect": True}).status == 400
    assert not (folder / "roi-masks").exists()

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "write", full)
        answer = post(asking, shape())
    assert (answer.status, "No space left" in answer["error"]) == (409, True)
    assert not list((folder / "roi-masks").iterdir())
    (folder / "roi-masks").rmdir()
    (folder / "roi-masks").write_text("a file")
    assert "cannot be written" in post(asking, shape())["error"]
    (folder / "roi-masks").unlink()
    (folder / "roi-masks").symlink_to(folder.parent)
    assert post(asking, shape()).status == 409
    assert not (folder.parent / "roi.png").exists()
    assert post(Asking.at(folder, read_only=True), shape()).status == 403


def test_a_photograph_that_is_gone_or_changed_has_no_mask(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture(1))
    asking = Asking.at(write(tmp_path / "r", row(path, "0" * 64), row(tmp_path / "b.png", "0" * 64)))
    assert [post(asking, shape(), number=number)["why"] for number in (0, 1)] == ["changed", "gone"]


def test_what_the_results_are_of_is_counted_by_kind_and_part(folder: Path, model: Path) -> None:
    with (folder / "results.jsonl").open("a") as file:
        file.write(json.dumps(row("third.png", "1" * 64, part="007", label="good", score=None, verdict="ERROR")) + "\n")
    asking = Asking.at(folder, model=model)
    entries = asking.station.results.entries
    rejected = next(one.number for one in entries if one.verdict == "NG")
    fine = [one.number for one in entries[:40] if one.verdict == "OK"][:20]
    asking.decide(rejected, "defect", "dent")
    for number in fine:
        asking.decide(number, "good")
    told = asking.get("/api/data").json()
    decided = {name: [one for one in entries if asking.station.label(one) == name] for name in ("good", "defect")}
    kinds = {one["kind"]: one for one in told["kinds"]}
    assert list(kinds) == ["good", "dent", ""]
    assert kinds["dent"]["images"] == len(decided["defect"])
    assert kinds["good"]["images"] == len(decided["good"]) + 1
    assert kinds["good"]["parts"] == len({one.part for one in decided["good"]} | {"007"})
    assert kinds["good"]["verdicts"]["ERROR"] == 1
    assert sum(one["images"] for one in told["kinds"]) == len(entries) == 201
    assert (told["parts"]["of"], told["parts"]["usual"], told["parts"]["others"]) == (100, 2, 1)
    first = told["parts"]["listed"][0]
    assert (first["part"], first["images"]) == ("007", 3)
    assert sum(count for _, count in first["kinds"]) == 3
    scores = sorted((entries[number].score or 0.0 for number in fine), reverse=True)
    assert [one["score"] for one in told["highest"]] == scores[:12]  # copies count once
    assert all(entries[one["number"]].score == one["score"] for one in told["highest"])


def test_near_copies_under_other_parts_are_found_and_what_resizing_loses_is_told(
    tmp_path: Path, model_path: Path
) -> None:
    plain = [picture(seed) for seed in range(8)]
    brighter = [np.minimum(one.astype(int) + 2, 255).astype(np.uint8) for one in plain]
    large = np.kron(plain[7], np.ones((4, 4, 1), np.uint8))
    images = [*plain[:7], large, brighter[0], plain[1], brighter[2]]
    paths = [save(tmp_path / f"{number}.png", image) for number, image in enumerate(images)]
    parts = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p2"]  # the last is of the part it looks like
    rows = [row(path, PLAIN.read(path).sha256, part=part) for path, part in zip(paths, parts, strict=True)]
    rows += [rows[3], row(tmp_path / "gone.png", "0" * 64), row(paths[4], "1" * 64)]  # judged again; gone; changed
    asking = Asking.at(write(tmp_path / "r", *rows), model=model_path)
    assert asking.post("/api/data/look", {"path": "/"}).status == 400
    assert asking.post("/api/data/look", {}).status == 200
    job = until(lambda: (told := asking.get("/api/data")["job"])["state"] != "running" and told)
    assert job["state"] == "done", job
    assert (job["photographs"], job["lost"], job["of"]) == (11, 2, 2)
    assert sorted(tuple(one["numbers"]) for one in job["sets"]) == [(0, 8), (1, 9)]
    (smaller,) = job["smaller"]
    assert f"images of up to {large.shape[1]} x {large.shape[0]} are made smaller" in smaller
    assert Asking.at(tmp_path / "r", read_only=True).post("/api/data/look", {}).status == 403


def test_of_several_files_of_a_name_the_look_takes_the_one_that_was_judged(tmp_path: Path) -> None:
    judged = save(tmp_path / "elsewhere/a.png", picture(1))
    folder = write(tmp_path / "r", row("a.png", PLAIN.read(judged).sha256, moved_to="ok/a.png"))
    save(folder / "ok/a.png", picture(2))
    judged.rename(folder / "a.png")
    asking = Asking.at(folder)
    assert asking.post("/api/data/look", {}).status == 200
    job = until(lambda: (told := asking.get("/api/data")["job"])["state"] != "running" and told)
    assert (job["photographs"], job["lost"]) == (1, 0)


def test_millimetres_are_written_into_a_model_beside_the_old_one(folder: Path, model: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(model, tmp_path / "part"))
    asking = Asking.at(folder, model=mine)
    scale = asking.get("/api/data")["scale"]
    assert (scale["mm"], scale["area"], scale["model"]) == (0.0, 0.0, True)
    merged = {"regions.mm_per_pixel=0.05", "regions.min_area_mm2=0.5"}  # as the page adds them to the command
    made = configuration.validate(
        Config, configuration.load(None, merged) | {"detector": "any"}, where="", help_command=""
    )
    assert made.regions.least_pixels == pytest.approx(200)
    said = {"operator": "", "mm": "0.05", "area": "0.5", "because": "drawing 7"}
    wrongs: list[dict[str, Any]] = [
        {"mm": mm} for mm in ("0", "-0", "nan", "inf", "1e-200", "1e-6", "1001", "1e200", "1e999", "wide", 0.05)
    ]
    wrongs += [{"area": "-1"}, {"area": "nan"}, {"area": "1e300"}, {"because": " "}]
    for wrong in wrongs:
        assert asking.post("/api/data/scale", said | wrong).status == 400, wrong
    written = asking.post("/api/data/scale", said)
    assert (written.status, written["name"]) == (200, "part-scale")
    again = Asking.at(folder, model=tmp_path / "part-scale")
    scale = again.get("/api/data")["scale"]
    assert (scale["mm"], scale["area"]) == (0.05, pytest.approx(0.5))
    assert "train" in shlex.split(scale["command"])
    assert Asking.at(folder).post("/api/data/scale", said).status == 400
