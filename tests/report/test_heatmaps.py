"""Heat maps as files: of any size, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reports
from conftest import picture
from needs import need
from PIL import Image

from anomalib_lite.edge import drawing
from anomalib_lite.edge.golden.alignment import Alignment
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.regions import Region
from anomalib_lite.edge.runtime import Comparison
from anomalib_lite.report import heatmaps
from anomalib_lite.report.gallery import Gallery


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_the_same_in_bands_of_any_height(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (70, 90, channels)).astype(np.uint8)
    anomaly_map = random.normal(0, 2, (12, 12)).astype(np.float32)

    def drawn() -> list[np.ndarray]:
        overlay = drawing.overlay(pixels, anomaly_map, -1, 2, (), 255)
        return [overlay, drawing.heat_map(anomaly_map, 70, 90, -1, 2), drawing.plain(pixels, 255)]

    whole = drawn()
    for band in (1, 90 * 7, 90 * 70):
        monkeypatch.setattr(drawing, "BAND", band)
        for one, other in zip(whole, drawn(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_very_large_image_is_drawn_smaller_with_its_outline_in_place(
    ungated_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(ungated_path)
    seen = model.look(np.ascontiguousarray(np.kron(picture(1, defect=True), np.ones((5, 4, 1), np.uint8))))
    assert seen.result.regions
    assert seen.pixels is not None
    drawn = []
    for name, limit in (("large", 10_000_000), ("small", 10_000)):
        monkeypatch.setattr(heatmaps, "PICTURE", limit)
        heatmaps.write_heatmap(model, seen.result, seen.pixels, tmp_path / name)
        drawn.append(np.asarray(Image.open(next(tmp_path.glob(f"{name}*")))))
    large, small = drawn
    assert large.shape == (240, 192, 3)
    assert small.shape[0] * small.shape[1] <= 10_000
    assert small.shape[0] / small.shape[1] == pytest.approx(240 / 192, rel=0.05)
    white = [np.argwhere(one.min(axis=2) == 255).mean(axis=0) / one.shape[:2] for one in drawn]
    np.testing.assert_allclose(white[0], white[1], atol=0.05)  # the white outline


DRAW = """
import resource, sys
from pathlib import Path
import numpy as np
from anomalib_lite.edge.model import Model
from anomalib_lite.report.heatmaps import write_heatmap
model = Model(sys.argv[1])
pixels = np.full((4000, 4000, 1), 120, np.uint8)
pixels[1000:1500, 1000:1500] = 10
seen = model.look(pixels)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_heatmap(model, seen.result, seen.pixels, Path(sys.argv[2]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
"""


@pytest.mark.slow
def test_a_heat_map_of_sixteen_megapixels_takes_little_memory(ungated_path: Path, tmp_path: Path) -> None:
    """It took 65 bytes for each pixel."""
    need(sys.platform == "linux", "ru_maxrss is in kilobytes on Linux alone")
    command = [sys.executable, "-c", DRAW, str(ungated_path), str(tmp_path / "drawn.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 25 * 16


def test_of_a_model_that_compares_outlines_lie_on_the_aligned_picture_too() -> None:
    golden = np.full((64, 96, 1), 100, np.uint8)
    moved = np.array([[1, 0, 20], [0, 1, -8], [0, 0, 1]], float)  # from the inspected image to the golden one
    alignment = Alignment(golden, np.ones((64, 96), bool), moved, 0.0, 0, 1.0, (64, 96))
    comparison = Comparison(golden, golden, np.zeros((64, 96), np.float32), alignment)
    box = ((10.0, 30.0), (22.0, 30.0), (22.0, 38.0), (10.0, 38.0))
    region = Region(10, 30, 12, 8, 96, 1, box, fallback=True)
    (placed,) = drawing.placed([region], comparison)
    assert placed.outline == ((30, 22), (42, 22), (42, 30), (30, 30))
    drawn = drawing.side_by_side(comparison, 0, 1, 255.0, regions=[placed])
    panels = [drawn[:, start : start + 96] for start in (0, 100, 200)]
    assert (panels[0] == 100).all()
    for panel in panels[1:]:
        rows, columns = np.nonzero((panel != 100).any(2))
        assert (abs(rows.min() - 22), abs(rows.max() - 30), abs(columns.min() - 30), abs(columns.max() - 42)) <= (
            2,
        ) * 4

    gallery = Gallery(0, 1, 255.0)
    made = reports.calibration()
    result = replace(
        reports.result(reports.row("one.png", None, 9.0, made), made), regions=(region,), comparison=comparison,
        anomaly_map=np.zeros((50, 70), np.float32), seen=0.995,
    )  # fmt: skip
    gallery.consider(result, None, np.full((50, 70, 1), 100, np.uint8))
    ((picture,),) = (section.pictures for section in gallery.sections())
    assert (picture.panel, picture.step, picture.width, picture.seen) == (96, 100, 3 * 100 + 70, 0.995)
