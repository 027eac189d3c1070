"""deploy/SCALE.md has the tables that its script prints, and its plans follow from what was measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/benchmarks/throughput.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    return module


def lines(heading: tuple[str, ...]) -> list[list[str]]:
    """The cells of a table with this heading."""
    document = (ROOT / "deploy/SCALE.md").read_text(encoding="utf-8").splitlines()
    first = document.index(f"| {' | '.join(heading)} |") + 2
    end = next(place for place in range(first, len(document)) if not document[place].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in document[first:end]]


def test_tables_tell_every_detector_at_every_size(script: ModuleType) -> None:
    cases = [[name, f"{size} x {size}"] for name in script.DETECTORS for size in script.SIZES]
    assert [line[:2] for line in lines(script.RATES)] == cases
    assert [line[:2] for line in lines(script.PLANS)] == cases
    files = [[f"{w} x {h}", kind] for w, h in script.CAMERAS for kind in script.KINDS]
    assert [line[:2] for line in lines(script.FILES)] == files


def test_plans_follow_from_the_times(script: ModuleType) -> None:
    """To what the printed times are rounded."""
    for rate, plan in zip(lines(script.RATES), lines(script.PLANS), strict=True):
        decode, graph, rest = map(float, rate[3:6])
        row = script.Row(rate[0], rate[1], float(rate[2]), decode, graph, decode + graph + rest)
        told = [float(cell.replace(",", "")) for cell in plan[2:]]
        again = [float(cell.replace(",", "")) for cell in row.plans()[2:]]
        assert told == pytest.approx(again, rel=0.02, abs=0.1), rate[:2]
