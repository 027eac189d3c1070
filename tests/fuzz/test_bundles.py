"""Mutated bundles: a model, or one ModelError, within bounded time and memory; nothing crashes, no command is a bug.

`make fuzz` runs it for long. A fault names its case: `fuzz.bundle_worker.case(model, base, number)` makes it again.
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

import numpy as np
import pytest
from conftest import call, save
from environments import ROOT

from fuzz.bundle_mutations import EDITS, GRAPHS, TEXTS, ZIPS
from fuzz.bundle_worker import KINDS, case

BUDGET = 900  # bundles in CI


def fuzz(model: Path, base: int, first: int, last: int) -> dict[str, Any]:
    """Load these bundles in a process of their own: what it says at its end."""
    command = [sys.executable, "-W", "error", "-m", "fuzz.bundle_worker", str(model), *map(str, (base, first, last))]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended with {done.returncode} at {facts[-1:]} of base {base}: {done.stderr[-500:]}"
    assert done.stderr == "", f"base {base}: something was written to standard error: {done.stderr[:500]}"
    faults = [fact for fact in facts if "fault" in fact]
    assert not faults, faults[:10]
    return dict(facts[-1])


def test_mutated_bundles(model_path: Path) -> None:
    done = fuzz(model_path, 0, 0, BUDGET)
    assert done["done"] == BUDGET
    for kind in KINDS:  # mutations that break everything, or nothing, would find nothing
        assert done["results"][f"{kind} refused"] > 30
        assert sum(done["results"].get(f"{kind} judged {one}", 0) for one in ("OK", "REVIEW", "NG")) > 10
    made = "; ".join(done["made"])
    assert not [one for one in (*EDITS, *TEXTS, *GRAPHS, *ZIPS) if one not in made], "every mutation is among them"


def test_a_case_is_made_again_from_its_numbers(model_path: Path) -> None:
    for number in range(3):
        assert case(model_path, 7, number) == case(model_path, 7, number)


def test_no_command_ends_as_a_bug(model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the whole of the commands: 0 or 4, and a sentence."""
    image = save(tmp_path / "a.png", np.full((48, 48, 1), 100, np.uint8))
    for number in range(45):
        name, content = case(model_path, 3, number)
        model = tmp_path / f"{number}.zip"
        model.write_bytes(content)
        commands = (
            ("verify", model), ("predict", model, image), ("export", model, "--out", tmp_path / f"{number}"),
        )  # fmt: skip
        codes = [call(*words) for words in commands]
        said = capsys.readouterr().err
        assert set(codes) <= {0, 3, 4}, (name, said)
        assert "Traceback" not in said
        model.unlink()


@pytest.mark.benchmark
def test_mutated_bundles_for_long(model_path: Path) -> None:
    """As long as FUZZ_MINUTES says, with other mutations each time."""
    end = time.monotonic() + 60 * float(os.environ.get("FUZZ_MINUTES", "30"))
    base, total = secrets.randbelow(2**31), 0
    while time.monotonic() < end:
        done = fuzz(model_path, base, total, total + 3_000)
        total += done["done"]
        sys.stderr.write(f"base {base}: {total:,} bundles, {done['results']}\n")
    assert total > 0
