"""Every bundled detector keeps the whole contract: the checks that third parties run on theirs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest

from anomalib_lite.hookspecs import PROJECT
from anomalib_lite.testing import parametrize_with_checks

# Options that train in seconds on images of 96 x 128; everything else as it is shipped.
SMALL: dict[str, dict[str, Any]] = {
    "autopaint": {"widths": [8, 16]},
    "change": {},
    "draem": {},
    "dte": {"widths": [8, 16], "members": 2},
    "fusion": {"members": ["placed", "contrast"]},  # of the tests
    "inpainting": {"cells": [4, 8], "widths": [8, 16]},
    "logic": {"words": 16},
    "musc": {"images": 8},
    "invariants": {},
    "neighbours": {"gallery": 200},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:what each member counts")  # the kit has few parts
@parametrize_with_checks(SMALL, options=SMALL)
def test_the_contract_is_kept(check: Callable[[], None]) -> None:
    check()


def test_no_bundled_detector_is_left_out() -> None:
    points = [point for point in entry_points(group=PROJECT) if point.module.startswith(f"{PROJECT}_")]
    bundled = {point.name for point in points if hasattr(point.load(), "register_detectors")}
    assert bundled == set(SMALL)
