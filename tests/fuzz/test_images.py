"""Mutated images: each gets one result, ERROR where rows are missing, within bounded time and memory; nothing crashes.

`make fuzz` runs it for long. A fault names its file: `fuzz.worker.case(base, number)` makes it again.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from environments import ROOT

from anomalib_lite.cli import main
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from fuzz.seeds import SEEDS
from fuzz.worker import CODES, case

BUDGET = 20  # mutations of each seed in CI
FORMATS = {"png", "jpeg", "tiff", "webp", "bmp", "netpbm"}


def fuzz(base: int, first: int, last: int) -> dict[str, Any]:
    """Read these files in a process of their own: what it says at its end."""
    command = [sys.executable, "-W", "error", "-m", "fuzz.worker", str(base), str(first), str(last)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False)
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended with {done.returncode} at {facts[-1:]} of base {base}: {done.stderr[-500:]}"
    assert done.stderr == "", f"base {base}: something was written to standard error: {done.stderr[:500]}"
    faults = [fact for fact in facts if "fault" in fact]
    assert not faults, faults[:10]
    return dict(facts[-1])


def test_there_are_seeds_of_every_format() -> None:
    assert len(SEEDS) >= 200
    assert {kind for kind, _, _ in SEEDS} == FORMATS


def test_mutated_images() -> None:
    done = fuzz(0, 0, BUDGET * len(SEEDS))
    assert done["done"] == BUDGET * len(SEEDS)
    assert done["results"]["read"] > 0.05 * done["done"]  # mutations that break everything would find nothing
    assert {"truncated", "unreadable", "unsupported_mode", "too_large", "several_frames", "read"} <= set(
        done["results"]
    )


def test_files_that_miss_rows_are_among_them() -> None:
    cases = [case(0, number) for number in range(BUDGET * len(SEEDS))]
    lacking = [name.split("-")[0] for name, _, lacks in cases if lacks]
    assert set(lacking) == FORMATS
    assert len(lacking) > 500


def test_a_case_is_made_again_from_its_numbers() -> None:
    assert case(7, 123) == case(7, 123)
    assert case(7, 123) != case(8, 123)


def test_each_file_has_one_row_and_no_command_fails(model_path: Path, tmp_path: Path) -> None:
    """Through the whole of `predict`: a row for each file, and an exit code of its own."""
    suffix = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif", "webp": ".webp", "bmp": ".bmp", "netpbm": ".pgm"}
    folder = tmp_path / "in"
    folder.mkdir()
    lacking = set()
    for number in range(300):
        name, content, lacks = case(1, number)
        file = folder / (name.replace("#", "-") + suffix[name.split("-")[0]])
        file.write_bytes(content)
        lacking |= {file.name} if lacks else set()
    with pytest.raises(SystemExit) as exited:
        main(["predict", str(model_path), str(folder), "--out", str(tmp_path / "out"), "--heatmaps"])
    assert exited.value.code in (0, 3, None)
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert sorted(Path(row["image"]).name for row in rows) == sorted(path.name for path in folder.iterdir())
    for row in rows:
        assert (row["verdict"] == "ERROR") == (row["error_code"] is not None)
        assert row["error_code"] in CODES | {None}, row
        assert Path(row["image"]).name not in lacking or row["verdict"] == "ERROR", row


def test_a_model_gives_one_result_for_each(model_path: Path) -> None:
    model = Model(model_path)
    for number in range(0, 3 * len(SEEDS), 2):
        _, content, lacking = case(2, number)
        result = model.inspect(content)
        assert result.error_code in CODES | {None}, (number, result.error)
        assert not lacking or result.verdict is Verdict.ERROR, number


@pytest.mark.benchmark
def test_mutated_images_for_long() -> None:
    """As long as FUZZ_MINUTES says, with other mutations each time."""
    end = time.monotonic() + 60 * float(os.environ.get("FUZZ_MINUTES", "30"))
    base, total = secrets.randbelow(2**31), 0
    while time.monotonic() < end:
        done = fuzz(base, total, total + 20_000)
        total += done["done"]
        sys.stderr.write(f"base {base}: {total:,} files, {done['results']}\n")
    assert total > 0
