"""What a test needs of its machine: without it the test skips, and fails where everything must run."""

from __future__ import annotations

import os

import pytest


def need(condition: object, reason: str) -> None:
    """Skip the test with `reason` where `condition` is false; fail instead where ANOMALIB_LITE_REQUIRE_ALL=1 (CI)."""
    if condition:
        return
    if os.environ.get("ANOMALIB_LITE_REQUIRE_ALL") == "1":
        pytest.fail(f"required here (ANOMALIB_LITE_REQUIRE_ALL=1): {reason}", pytrace=False)
    pytest.skip(reason)
