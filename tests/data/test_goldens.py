"""Golden images that a model carries: those of training rows or all, said at the training; and which were tried."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from environments import ROOT

from anomalib_lite import registry
from anomalib_lite.edge.golden.goldens import Goldens
from anomalib_lite.edge.golden.pairing import pairs
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError, ImageError
from anomalib_lite.training.plan import Plan, prepare
from anomalib_lite.training.request import Request

BOARDS = ROOT / "data_samples/board"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Boards of six designs, two of which only test rows show."""
    path = tmp_path / "pairs.csv"
    with (BOARDS / "pairs.csv").open() as read, path.open("w", newline="") as write:
        rows = list(csv.DictReader(read))
        writer = csv.DictWriter(write, list(rows[0]))
        writer.writeheader()
        for row in rows:
            tested = row["reference"].endswith(("design5.jpg", "design6.jpg")) or row["label"] != "good"
            split = "test" if tested else "train"
            files = {key: str(BOARDS / row[key]) if row[key] else "" for key in ("image", "reference", "mask")}
            writer.writerow(row | files | {"split": split})
    return path


def planned(table: Path, scratch: Path, **asked: Any) -> Plan:
    request = Request(detector="change", data=table, out=scratch / "model", **asked)
    return prepare(request, registry.load(), scratch)


def names(*designs: int) -> list[str]:
    return [f"design{number}.jpg" for number in designs]


def test_those_of_training_rows_are_carried_and_the_others_named(table: Path, tmp_path: Path) -> None:
    plan = planned(table, tmp_path)
    assert plan.goldens is not None
    assert sorted(plan.goldens.names) == names(1, 2, 3, 4)
    said = "\n".join(plan.notes())
    assert "the model carries 4 golden images: design" in said
    assert "it does not carry 2 golden images that only test rows name: design5.jpg, design6.jpg. " in said
    assert "give --carry all" in said


def test_all_are_carried_where_that_is_asked(table: Path, tmp_path: Path) -> None:
    plan = planned(table, tmp_path, carry="all")
    assert plan.goldens is not None
    assert sorted(plan.goldens.names) == names(1, 2, 3, 4, 5, 6)
    assert not [line for line in plan.notes() if "does not carry" in line]


def test_there_is_nothing_to_carry_where_nothing_is_compared(parts: Path, tmp_path: Path) -> None:
    request = Request(detector="gauss", data=parts, out=tmp_path / "model", carry="all")
    with pytest.raises(ConfigError, match=r"'gauss' compares with nothing: leave out .*--carry"):
        prepare(request, registry.load(), tmp_path)


def test_the_golden_images_that_were_tried_are_named(tmp_path: Path) -> None:
    goldens = Goldens({f"design{number}.jpg": BOARDS / f"golden/design{number}.jpg" for number in range(1, 7)})
    spec = ImageSpec(256, 256, goldens.views[0].pixels.shape[2], "uint8", 255.0)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, spec.channels), np.uint8)
    with pytest.raises(ImageError, match=r"could not be aligned .* Tried: design1\.jpg, .*, design5\.jpg and 1 more"):
        pairs(Framing(spec, align=True), noise, goldens.views)
