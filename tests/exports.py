"""One table of operators for all exports of a process: torch builds it anew for each, in as long as all the rest takes.

What is exported is the same, byte for byte: nobody adds to the table.
"""

from __future__ import annotations

from functools import cache

import pytest
from torch.onnx._internal.exporter._registration import ONNXRegistry


def share_operators(patch: pytest.MonkeyPatch) -> None:
    """Let every export of this process take the table that the first one builds."""
    patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
