"""Reads mutated images in a process of its own, so that a crash is seen: python -m fuzz.worker SEED FIRST LAST.

Prints a line of JSON for each fault, and one at the end with what was done.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections import Counter
from random import Random
from typing import Any

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.imaging import BYTES_PER_PIXEL, Limits
from anomalib_lite.errors import ErrorCode, ImageError
from fuzz.mutations import mutated
from fuzz.seeds import SEEDS

LIMITS = Limits(bytes=1 << 20, pixels=1 << 20)
SECONDS = 20.0  # for a file of at most a megabyte and a megapixel: far more than it takes
CODES = set(ErrorCode) - {ErrorCode.INTERNAL}


def case(base: int, number: int) -> tuple[str, bytes, bool]:
    """The n-th file: (name, content, whether rows are surely missing). The same for the same numbers."""
    random = Random(f"{base}-{number}")
    kind, name, data = SEEDS[number % len(SEEDS)]
    content, lacking = mutated(kind, data, random)
    return f"{name}#{base}-{number}", content, lacking


def faults(content: bytes, lacking: bool) -> tuple[str, list[str]]:
    """What became of a file, and what is wrong about that."""
    started, found = time.perf_counter(), []
    try:
        picture, header = imaging.read(content, LIMITS), imaging.read_header(content, LIMITS)
        result = "read"
        if picture.pixels.shape != (header.height, header.width, header.channels):
            found.append(f"{header} became {picture.pixels.shape}")
        if lacking:
            found.append("rows are missing, and it was read")
    except ImageError as error:
        result = str(error.code)
        if error.code not in CODES:
            found.append(f"code {error.code}")
    except Exception as error:  # noqa: BLE001 - any other exception is the fault that is looked for
        result, found = "raised", [f"{type(error).__name__}: {error}"]
    if time.perf_counter() - started > SECONDS:
        found.append(f"took {time.perf_counter() - started:.0f} s")
    return result, found


def resident() -> int:
    """Largest resident memory of this process so far, bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(base: int, first: int, last: int) -> None:
    warnings.simplefilter("error")
    results: Counter[str] = Counter()
    before, told = resident(), set()
    for number in range(first, last):
        name, content, lacking = case(base, number)
        tell({"at": number})
        result, found = faults(content, lacking)
        results[result] += 1
        for fault in found:
            tell({"file": name, "fault": fault})
        bound = before + 64 * 2**20 + BYTES_PER_PIXEL * LIMITS.pixels
        if resident() > bound and "memory" not in told:
            told.add("memory")
            tell({"file": name, "fault": f"{resident() - before:,} bytes were taken"})
    tell({"done": last - first, "results": dict(results)})


def tell(fact: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
