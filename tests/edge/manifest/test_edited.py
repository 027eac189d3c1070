"""Manifests that somebody edited, with sound hashes: refused by the key that makes no sense, with exit code 4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import call
from fuzz.bundles import contents, made, put

from anomalib_lite.edge.bundle import MANIFEST

REJECT = "calibration.thresholds.reject"
NOT_A_NUMBER, INFINITE = float("nan"), float("inf")
REFUSED: list[tuple[str, Any]] = [
    ("schema_version", True), ("schema_version", 0), ("schema_version", -1), ("schema_version", 1.0),
    (f"{REJECT}.value", 1e30), (f"{REJECT}.base", 1e30), (f"{REJECT}.tol", -1), (f"{REJECT}.tol", 1e300),
    (f"{REJECT}.bound", -3), (f"{REJECT}.bound", 1.5), (f"{REJECT}.asked", 0), (f"{REJECT}.asked", 2),
    (f"{REJECT}.allowed", -3), (f"{REJECT}.allowed", 10**9), (f"{REJECT}.missing", -3), (f"{REJECT}.without", INFINITE),
    ("calibration.confidence", 7), ("calibration.confidence", 0), ("calibration.confidence", NOT_A_NUMBER),
    ("calibration.images", -5), ("calibration.images", 10**40), ("calibration.images", 1),
    ("calibration.images_per_unit.max", -1), ("calibration.images_per_unit.median", 1e9),
    ("calibration.errors.rate", 5), ("calibration.errors.count", -1), ("calibration.holdout", 7),
    ("calibration.refused", -1), ("calibration.refused", 10**12), ("calibration.per", "lot"), ("calibration.row", 1),
    ("calibration.menu", [{"rank": 0}]), ("calibration.menu.0.rank", 10**9), ("calibration.menu.0.bound", 2),
    ("calibration.menu.0.value", 1e30), ("data.held_out.0.score", INFINITE),
    ("calibration.history", [{"thresholds": 5}]), ("calibration.history", [{"thresholds": {"reject": 5}}]),
    ("calibration.history", [{"exclusions": [5]}]), ("calibration.history", [{"statement": 5}]),
    ("calibration.history", [{"thresholds": {"reject": {"set_by": 5}}}]), ("calibration.scores", [0.0, INFINITE]),
    ("image.height", 10**9), ("image.channels", True), ("image.white", 0), ("image.white", NOT_A_NUMBER),
    ("framing.max_pixels", 10**30), ("framing.max_pixels", 0), ("framing.overlap", 10**30),
    ("framing.source", [0, 0]), ("framing.source", [-1, 5]), ("framing.roi", "model.onnx"),
    ("config.image", "x"), ("config.options", 5), ("config.score", 5),
    ("selfcheck.0.file", "../../etc/passwd"), ("selfcheck.0.file", ""), ("selfcheck.0.file", "manifest.json"),
    ("selfcheck.0.score", NOT_A_NUMBER), ("selfcheck.0.score", INFINITE), ("selfcheck.0.verdict", "PERHAPS"),
    ("selfcheck.0.verdict", "ERROR"), ("selfcheck.0.reference", "x"),
    ("reference", {"files": ["../a"]}), ("reference", {"files": [], "pattern": "("}),
    ("readers", [{"suffix": "", "package": "x", "version": "y"}]),
    ("readers", [{"suffix": ".png\n", "package": "x", "version": "y"}]),
    ("graph.inputs", []), ("graph.inputs", ["image", "image"]),
    ("graph.parity", {"frames": -1, "score": NOT_A_NUMBER, "anomaly_map": 1}),
    ("training.steps", -1), ("training.images", 10**30), ("data.images", -1), ("data.groups", 10**30),
    ("graph_sha256", "x"), ("files", {"../x": "00"}), ("files", {"": "00"}), ("exported", 5),
]  # fmt: skip
ALLOWED: list[tuple[str, Any]] = [  # strange, and nobody is misled or harmed
    ("created", "x"), ("detector.name", "\x1b[2J"), ("calibration.statement", ["\x1b[31mred"]),
    ("data.fit", {"x": "y"}), ("data.held_out", []), ("data.unreadable", [["a", "b"]]), ("config", {}),
    ("calibration.thresholds.reject.set_by", ["a\nb"]), ("weather", "sunny"), ("created", "\udc80.png"),
    ("calibration.history", [{"a": 1}]),
]  # fmt: skip


def edited(document: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    section: Any = document
    *sections, last = key.split(".")
    for name in sections:
        section = section[int(name) if isinstance(section, list) else name]
    section[int(last) if isinstance(section, list) else last] = value
    return document


def codes(model_path: Path, tmp_path: Path, key: str, value: Any) -> list[int]:
    """What commands say of a model with this value."""
    files = contents(model_path)
    model = put(tmp_path / "model", made(files, edited(json.loads(files[MANIFEST]), key, value)))
    image = next((model / "selfcheck").iterdir())
    commands = (
        ("verify", model),
        ("predict", model, image),
        ("export", model, "--out", tmp_path / "out"),
        ("bench", model, "--runs", "1", "--threads", "1"),
    )
    return [call(*words) for words in commands]


@pytest.mark.parametrize(("key", "value"), REFUSED)
def test_a_value_that_makes_no_sense_is_refused(
    key: str, value: Any, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert codes(model_path, tmp_path, key, value) == [4] * 4
    assert "bug" not in capsys.readouterr().err


@pytest.mark.parametrize(("key", "value"), ALLOWED)
def test_a_value_that_harms_nobody_is_no_bug(
    key: str, value: Any, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = codes(model_path, tmp_path, key, value)
    assert set(found) <= {0, 4}, capsys.readouterr().err


def test_edited_files_agree_where_nothing_else_is_wrong(model_path: Path, tmp_path: Path) -> None:
    assert codes(model_path, tmp_path, "created_with", "0.0.1") == [0] * 4
