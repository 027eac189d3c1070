"""Which result a file without hashes speaks of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from conftest import picture, save

from anomalib_lite.edge.images.opener import PLAIN
from anomalib_lite.review.exchange import Format, take_over
from anomalib_lite.review.labels import labelled
from anomalib_lite.review.log import DecisionLog


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        ("test/crack/005.png", False),
        ("train/good/005.png", False),
        ("good/005.png", True),
        ("/elsewhere/test/good/005.png", True),
        ("005.png", True),
        ("good\\copy.png", True),  # another name of the same image
    ],
)
def test_one_name_is_the_whole_end_of_the_other(asked: str, same: bool, tmp_path: Path) -> None:
    path = save(tmp_path / "005.png", picture(0))
    judged = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "model_id": "m1", "verdict": "NG", "score": 1.5}
    rows = [judged | {"image": name, "regions": []} for name in ("test/good/005.png", "train/good/copy.png")]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "said.csv").write_text(f"image,decision\n{asked},unsure\n")
    done = take_over(labelled(tmp_path, PLAIN), tmp_path / "said.csv", Format.CSV, DecisionLog(tmp_path), "Ben")
    assert done.added == same
    assert same or "lie in another folder" in done.notes[0]
