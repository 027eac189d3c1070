"""Work grows with the number of images, and not with its square: measured by the ratio of ten times as many."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from anomalib_lite.calibration import Exclusion, ScoredImage, calibrate
from anomalib_lite.config import Rates
from anomalib_lite.data import Folders, Sample, find, folds, goldens, split_for_calibration, to_judge
from anomalib_lite.data.copies import near_copies
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.destinations import free_place
from anomalib_lite.edge.images.opener import PLAIN
from anomalib_lite.edge.results import COLUMNS
from anomalib_lite.metrics import Evaluation
from anomalib_lite.pipeline import result_folder
from anomalib_lite.pipeline.inputs import chosen

Work = Callable[[], object]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def images(root: Path, n: int) -> Path:
    return touch(root, *(f"day{number // 100}/a{number}.png" for number in range(n)))


def layout(root: Path, n: int) -> Path:
    names = [(f"train/good/a{i}.png", f"test/k/a{i}.png", f"ground_truth/k/a{i}_mask.png") for i in range(n // 3)]
    return touch(root, *(name for three in names for name in three))


def table(root: Path, n: int) -> Path:
    touch(root, *(f"a{number}.png" for number in range(n)))
    rows = "".join(f"a{i}.png,good,p{i // 2},{'train' if i % 2 else 'test'}\n" for i in range(n))
    (root / "table.csv").write_text("image,label,group,split\n" + rows)
    return root / "table.csv"


def samples(n: int) -> list[Sample]:
    return [Sample(Path(f"/x/a{number}.png"), f"a{number}", "good", group=f"p{number // 2}") for number in range(n)]


def splits(n: int) -> object:
    return split_for_calibration(samples(n), 0.3, 0), folds(samples(n), 5, 0)


def copies(n: int) -> object:
    return near_copies(samples(n), list(np.random.default_rng(0).normal(size=(n, 256)).astype(np.float16)))


def goldens_of(n: int) -> object:
    files = [Path(f"/x/{number}.png") for number in range(n)]
    return goldens.carriage(files[: n // 2], files)


def calibration(n: int) -> object:
    scores = [ScoredImage(f"a{number}", f"p{number // 2}", float(number), 1.0) for number in range(n)]
    left_out = [Exclusion(f"a{number}", "dirty") for number in range(n // 2)]
    return calibrate(scores, Rates.of(0.01, 0.95, None), grouped=True, exclusions=left_out)


def evaluation(n: int) -> object:
    counted = Evaluation(grouped=True)
    for number in range(n):
        label, verdict = ("good", Verdict.OK) if number % 2 else (f"kind{number % 11}", Verdict.NG)
        counted.add(label, f"p{number // 3}", verdict, float(number * 7919 % n), None, None, None, ms=1.0)
    return counted.metrics()


def results(root: Path, n: int) -> Work:
    touch(root, *(f"heatmaps/a{number}.png" for number in range(n)))
    (root / "results.csv").write_text(",".join(COLUMNS) + ",heatmap\n")
    rows = (json.dumps({"heatmap": f"heatmaps/a{number}.png"}) + "\n" for number in range(n))
    (root / "results.jsonl").write_text("".join(rows))

    def work() -> None:
        with result_folder.taken(root, overwrite=True):
            pass

    return work


def one_name(root: Path, n: int) -> Work:
    def work() -> None:
        for _ in range(n // 10):
            touch(root, free_place(root, Verdict.OK, "image.png"))

    return work


CASES: dict[str, Callable[[Path, int], Work]] = {  # prepare, then what is measured
    "folders": lambda root, n: partial(find, images(root, n), folders=Folders(all_good=True)),
    "layout": lambda root, n: partial(find, layout(root, n)),
    "table": lambda root, n: partial(find, table(root, n)),
    "masks passed over": lambda root, n: partial(to_judge, layout(root, n)),
    "many inputs": lambda root, n: partial(chosen, sorted(images(root, n).rglob("*.png")), PLAIN),
    "splits": lambda root, n: partial(splits, n),
    "copies": lambda root, n: partial(copies, n),
    "golden images": lambda root, n: partial(goldens_of, n),
    "calibration": lambda root, n: partial(calibration, n),
    "evaluation": lambda root, n: partial(evaluation, n),
    "results replaced": results,
    "one name": one_name,
}


@pytest.mark.benchmark
@pytest.mark.parametrize("case", CASES)
def test_ten_times_as_many_take_about_ten_times_as_long(case: str, tmp_path: Path) -> None:
    """What grows with the square takes a hundred times as long."""
    seconds = []
    for n in (2_000, 20_000):
        work = CASES[case](tmp_path / str(n), n)
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    assert seconds[1] < 30 * max(seconds[0], 0.01)
