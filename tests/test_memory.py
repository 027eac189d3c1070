"""Memory does not grow with the number of images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import picture, save
from needs import need

CODE = """
import resource, sys
from pathlib import Path
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.edge.model import Model
done = evaluate(Model(sys.argv[1]), Path(sys.argv[2]), out=Path(sys.argv[3]))
assert done.metrics["images"] == int(sys.argv[4])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_evaluating_ten_times_the_images_takes_no_more_memory(model_path: Path, tmp_path: Path) -> None:
    good = [save(tmp_path / f"good{seed}.png", picture(seed, size=200)) for seed in range(10)]
    bad = [save(tmp_path / f"bad{seed}.png", picture(seed, defect=True, size=200)) for seed in range(10)]
    dark = [picture(seed, defect=True, size=200) < 30 for seed in range(10)]
    masks = [save(tmp_path / f"mask{seed}.png", (one * 255).astype("uint8")) for seed, one in enumerate(dark)]
    peaks = []
    for count in (200, 2000):
        folder = tmp_path / str(count)
        folder.mkdir()
        rows = ["image,label,mask"]
        for number in range(count):
            source, mask = (bad, masks) if number % 2 else (good, [None] * 10)
            link = folder / f"{number}.png"
            link.hardlink_to(source[number // 2 % 10])
            rows.append(f"{link.name},{'dent' if number % 2 else 'good'},{mask[number // 2 % 10] or ''}")
        (folder / "samples.csv").write_text("\n".join(rows) + "\n")
        arguments = [str(model_path), str(folder / "samples.csv"), str(folder / "out"), str(count)]
        done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0], peaks


INSPECT = """
import os, sys
from pathlib import Path
from anomalib_lite.edge.model import Model
model, count = Model(sys.argv[1], threads=1), int(sys.argv[3])
paths = sorted(Path(sys.argv[2]).iterdir())
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
def handles():
    return len(os.listdir("/proc/self/fd"))
for number in range(count):
    model.inspect(paths[number % len(paths)])
    if number == 999:
        before = resident(), handles()
print(resident() - before[0], handles() - before[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.benchmark)])
def test_inspecting_for_long_takes_no_more_memory_and_no_file_handles(train: Any, tmp_path: Path, count: int) -> None:
    """Good, defective and damaged files of many sizes: below 5 MB after the first thousand."""
    need(Path("/proc/self/statm").is_file(), "resident memory is read from /proc")
    for seed in range(40):
        save(tmp_path / f"data/part{seed:02}.png", picture(seed, size=64))
    train(tmp_path / "data", tmp_path / "model", {"image.height": 64, "image.width": 64})
    for seed in range(40):
        save(tmp_path / f"in/{seed:02}.png", picture(seed, defect=seed % 4 == 0, size=40 + 5 * seed))
    (tmp_path / "in/text.png").write_text("no image")
    (tmp_path / "in/truncated.png").write_bytes((tmp_path / "in/00.png").read_bytes()[:500])
    arguments = [str(tmp_path / "model"), str(tmp_path / "in"), str(count)]
    done = subprocess.run([sys.executable, "-c", INSPECT, *arguments], capture_output=True, text=True, check=True)
    megabytes, handles = map(float, done.stdout.split())
    assert megabytes < 5
    assert handles == 0


def test_a_lot_keeps_little_of_each_image() -> None:
    """The short form of `benchmarks/lot_memory.py`: what is known of the places of an image, 0.5 MB, is not kept."""
    script = Path(__file__).parent / "benchmarks/lot_memory.py"
    words = [sys.executable, str(script), "30", "130", "--references", "5"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    few, many = (float(line.split()[-2]) for line in done.stdout.splitlines())
    assert many - few < 30, done.stdout
