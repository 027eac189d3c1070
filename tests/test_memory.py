"""Memory does not grow with the number of images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import picture, save

CODE = """
import resource, sys
from pathlib import Path
from anomalib_lite import pipeline
from anomalib_lite.edge.model import Model
done = pipeline.evaluate(Model(sys.argv[1]), Path(sys.argv[2]), out=Path(sys.argv[3]))
assert done.metrics["images"] == int(sys.argv[4])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_evaluating_ten_times_the_images_takes_no_more_memory(model_path: Path, tmp_path: Path):
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
