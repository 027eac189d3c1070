"""Several processes judge as one does: in order, to the bit, and none of them takes the run with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deadly
import pytest
from conftest import picture, save

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.engines import room
from anomalib_lite.errors import ModelError
from anomalib_lite.pipeline import workers
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.saving import Heatmaps
from anomalib_lite.pipeline.workers import AHEAD, Asked, Workers, number

OF_THE_RUN = ("time", "ms")
NUMBER = 12


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and defective images, and one that is none."""
    folder = tmp_path_factory.mktemp("images")
    for index in range(NUMBER):
        save(folder / f"part{index:02}.png", picture(900 + index, defect=index % 3 == 0))
    (folder / "part99.png").write_bytes(b"no image")
    return folder


def rows(out: Path) -> list[dict[str, Any]]:
    lines = (out / "results.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in OF_THE_RUN} for line in lines]


def test_rows_and_pictures_are_those_of_one_process(model_path: Path, images: Path, tmp_path: Path) -> None:
    model = Model(model_path, threads=1)
    for count in (1, 2):
        predict(model, [images], out=tmp_path / str(count), heatmaps=Heatmaps.ALL, workers=count)
    assert len(rows(tmp_path / "1")) == NUMBER + 1
    assert rows(tmp_path / "1") == rows(tmp_path / "2")
    drawn = [sorted((tmp_path / str(count) / "heatmaps").rglob("*.png")) for count in (1, 2)]
    assert len(drawn[0]) == NUMBER
    assert [one.read_bytes() for one in drawn[0]] == [one.read_bytes() for one in drawn[1]]


def test_figures_are_those_of_one_process(ungated_path: Path, parts: Path) -> None:
    model = Model(ungated_path, threads=1)
    alone, together = (evaluate(model, parts, group=r"part(\d+)", workers=count) for count in (1, 2))
    assert alone.metrics["pixel_ap"] is not None
    assert {k: v for k, v in alone.metrics.items() if "latency" not in k} == {
        k: v for k, v in together.metrics.items() if "latency" not in k
    }


def test_an_image_that_kills_its_process_costs_its_own_row_alone(
    ungated_path: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_look", deadly.look)
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images/part03.png").rename(tmp_path / "images/part03_poison.png")
    (tmp_path / "images/part05.png").rename(tmp_path / "images/part05_once.png")
    model = Model(ungated_path, threads=1)
    done = predict(model, [tmp_path / "images"], out=tmp_path / "out", workers=2)
    assert done.counts[Verdict.ERROR] == 2  # and part99, which is no image
    found = {Path(row["image"]).name: row for row in rows(tmp_path / "out")}
    assert list(found) == sorted(found)
    assert "died" in found["part03_poison.png"]["error"]
    assert found["part05_once.png"]["score"] == model.inspect(images / "part05.png").score
    assert {len(found), sum(row["score"] is not None for row in found.values())} == {NUMBER + 1, NUMBER - 1}


def test_a_process_that_dies_while_it_loads_the_model_is_started_again(
    ungated_path: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_load", deadly.load)
    shutil.copytree(ungated_path, tmp_path / "model")
    done = predict(Model(tmp_path / "model", threads=1), [images / "part01.png", images / "part02.png"], workers=2)
    assert (tmp_path / "model.seen").exists()
    assert done.counts[Verdict.ERROR] == 0


def test_few_images_are_read_ahead(ungated_path: Path, images: Path) -> None:
    taken = 0

    def endless() -> Iterator[Asked]:
        nonlocal taken
        while True:
            taken += 1
            yield Asked(images / "part01.png", "part01.png")

    with Workers(Model(ungated_path, threads=1), 2, whole=False) as judging:
        verdicts = judging.look(endless())
        seen = [next(verdicts) for _ in range(20)]
        assert taken <= 20 + 2 * AHEAD
    assert {(one.result.anomaly_map is None, one.picture) for one in seen} == {(True, None)}


def test_another_model_under_the_same_name_is_refused(
    ungated_path: Path, model_path: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(ungated_path, tmp_path / "model")
    model = Model(tmp_path / "model", threads=1)
    shutil.rmtree(tmp_path / "model")
    shutil.copytree(model_path, tmp_path / "model")
    with pytest.raises(ModelError, match="replaced"):
        predict(model, [images], workers=2)


def test_processes_end_with_the_one_that_started_them(ungated_path: Path, images: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(f"""
import os, signal
from pathlib import Path
from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.workers import Asked, Workers
if __name__ == "__main__":
    with Workers(Model({str(ungated_path)!r}, threads=1), 2) as judging:
        next(judging.look([Asked(Path({str(images / "part01.png")!r}), "one")] * 9))
        print(*[pid for lane in judging._lanes for pid in lane._processes], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    started = [int(pid) for pid in done.stdout.split()]
    assert len(started) == 2, done.stderr
    until = time.monotonic() + 60
    while any(map(runs, started)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(runs, started))


def runs(process: int) -> bool:
    """Whether it does; one that has ended may stay in the table of processes."""
    try:
        return "zombie" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_processes_pay_for_many_images_on_free_cores(ungated_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 8)
    monkeypatch.setattr(workers, "_fitting", lambda: 5)
    one, three = Model(ungated_path, threads=1), Model(ungated_path, threads=3)
    assert [number(images, one) for images in (1, 199, 200, 10_000)] == [1, 1, 2, 5]
    assert number(10_000, three) == 2
    assert [number(images, one, 12) for images in (0, 2, 99)] == [1, 2, 12]
    monkeypatch.setattr(one.runtime, "provider", "cuda")
    assert number(10_000, one) == 1


def test_limits_of_a_container_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = workers._fitting()
    monkeypatch.setattr(room, "CONTAINER", tmp_path)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert room.cores() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert room.cores() >= 1
    (tmp_path / "memory.max").write_text("1000000")
    (tmp_path / "memory.current").write_text("900000")
    assert workers._fitting() == 0 <= free
