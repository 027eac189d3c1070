"""What kills the process that judges an image, by its name. In a module of its own: processes import it to find it."""

from __future__ import annotations

import os
from pathlib import Path

from anomalib_lite.edge.model import Seen
from anomalib_lite.pipeline import workers

POISON, ONCE = "poison", "once"
judge, begin = workers._look, workers._load


def look(one: workers.Asked) -> Seen:
    """Die at an image that is called so: each time, or the first time."""
    if POISON in one.name:
        os._exit(9)
    if ONCE in one.name:
        seen = Path(f"{one.path}.seen")
        if not seen.exists():
            seen.touch()
            os._exit(9)
    return judge(one)


def load(loading: workers.Loading) -> None:
    """Die the first time that anybody loads this model."""
    seen = Path(f"{loading.path}.seen")
    if not seen.exists():
        seen.touch()
        os._exit(9)
    begin(loading)
