"""Images that EXIF turns, and masks that were drawn without the turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, picture
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.data import Sample, check_masks, find
from anomalib_lite.data.turning import drawn_unturned, said_of
from anomalib_lite.edge.images import imaging

TURNS = (2, 3, 4, 5, 6, 7, 8)
BACK = {6: 8, 8: 6}  # what undoes a quarter turn; all others undo themselves


def layout(root: Path, orientation: int, *, upright: bool, number: int = 8, width: int = 48) -> Path:
    """Defective images that a camera stored turned, their masks drawn on the upright or on the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for part in range(number):
        pixels = picture(100 * part, defect=True, size=48, channels=3)[:, :width]
        pixels[:, :3] = 200  # no two corners are alike
        mask: NDArray[np.bool_] = np.logical_and.reduce(pixels < 30, axis=2)
        stored = imaging.turned(pixels, BACK.get(orientation, orientation))
        drawn = mask if upright else imaging.turned(mask, BACK.get(orientation, orientation))
        for folder, name, image in (
            ("test/dent", f"p{part}.png", stored),
            ("ground_truth/dent", f"p{part}.png", drawn),
        ):
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = Image.fromarray(image.astype(np.uint8) * 255 if image.dtype == bool else image)
            shown.save(path, exif=exif) if folder == "test/dent" else shown.save(path)
    return root


def checked(root: Path) -> list[Sample]:
    samples, _ = check_masks(find(root).samples)
    return samples


@pytest.mark.parametrize("orientation", TURNS)
def test_masks_drawn_on_stored_pixels_are_told_by_what_they_mark(tmp_path: Path, orientation: int) -> None:
    unfit, said = drawn_unturned(checked(layout(tmp_path, orientation, upright=False)))
    assert set(unfit.values()) == {orientation}
    assert len(unfit) >= 7
    assert "fit better on the image as it is stored" in said
    assert "Turn these masks" in said


@pytest.mark.parametrize("orientation", [1, *TURNS])
def test_masks_drawn_on_upright_images_are_not(tmp_path: Path, orientation: int) -> None:
    assert drawn_unturned(checked(layout(tmp_path, orientation, upright=True))) == ({}, "")


def test_of_few_images_nothing_is_concluded(tmp_path: Path) -> None:
    assert drawn_unturned(checked(layout(tmp_path, 3, upright=False, number=3))) == ({}, "")


def test_turned_images_are_counted_by_their_turn() -> None:
    (said,) = said_of([1, 3, 3, 6, 1])
    assert said.startswith("3 images turned upright")
    assert "by 180 degrees 2, by 90 degrees to the right 1" in said
    assert said_of([1, 1]) == []


@pytest.mark.parametrize(("orientation", "way"), [(3, "by 180 degrees 8"), (6, "by 90 degrees to the right 8")])
def test_the_check_says_both(tmp_path: Path, orientation: int, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    call("data", "check", layout(tmp_path, orientation, upright=False))
    said = capsys.readouterr().out
    assert f"8 images turned upright, as the EXIF orientation says ({way})" in said
    assert "warning: the masks of 8 of 8 images that EXIF turns fit better on the image as it is stored" in said


def test_where_the_sizes_tell_the_message_says_what_was_not_done(
    tmp_path: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("evaluate", model_path, layout(tmp_path, 6, upright=False, width=30)) == 3
    said = capsys.readouterr().err
    assert "p0.png is 48 x 30, as test/dent/p0.png is stored, and its EXIF orientation turns it to 30 x 48" in said
    assert "turn the mask likewise" in said


@pytest.mark.parametrize("upright", [True, False])
def test_an_evaluation_gives_the_figures_that_fit(
    tmp_path: Path, train: Any, upright: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in range(12):
        pixels = picture(5000 + part, channels=3)
        pixels[:, :3] = 200
        (tmp_path / "good").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"good/part{part}.png")
    train(tmp_path / "good", tmp_path / "model")
    layout(tmp_path / "data", 3, upright=upright)
    assert call("evaluate", tmp_path / "model", tmp_path / "data", "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().err
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    told = [warning for warning in metrics["warnings"] if "EXIF" in warning]
    if upright:
        assert metrics["pixel_auroc"] > 0.95
        assert not told
    else:
        assert metrics["pixel_auroc"] < 0.8
        assert float(told[0].split()[-1]) > 0.95
        assert told[0] in printed
