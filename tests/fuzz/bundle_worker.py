"""Loads mutated bundles in a process of its own, and judges an image where one loads: arguments MODEL SEED FIRST LAST.

Prints a line of JSON for each fault, and one at the end with what was done.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import onnxruntime

from anomalib_lite.edge.bundle import cost
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError, ModelError
from fuzz.bundle_mutations import mutated
from fuzz.bundles import contents
from fuzz.worker import resident, tell

KINDS = ("manifest", "graph", "zip")
SECONDS = 20.0  # far more than it takes within these budgets
MEMORY, WORK = 2**27, 2 * 10**9  # in place of those of `cost`, so that what is counted wrongly shows
ROOM = 2**28  # for the files of a bundle, and for all that has nothing to do with it


@cache
def seed(model: Path) -> dict[str, bytes]:
    return contents(model)


def case(model: Path, base: int, number: int) -> tuple[str, bytes]:
    """The n-th bundle, a zip, and what it is called. The same for the same numbers and the same model."""
    random = Random(f"{base}-{number}")
    kind = KINDS[number % len(KINDS)]
    done, content = mutated(kind, seed(model), random)
    return f"{kind}#{base}-{number}: {done}", content


def faults(path: Path) -> tuple[str, list[str]]:
    """What became of a bundle, and what is wrong about that."""
    started, found = time.perf_counter(), []
    try:
        model = Model(path, threads=1)
        spec = model.bundle.manifest.image
        noise = np.random.default_rng(0).normal(0, 4, (spec.height, spec.width, spec.channels))
        image = (np.linspace(90, 150, spec.width)[:, None] + noise).astype(spec.dtype)  # as the model was trained on
        result = model.inspect(image)
        said = f"judged {result.verdict.value}"
        if result.error_code == "internal" and "ONNXRuntime" not in str(result.error):
            found.append(str(result.error))
    except ModelError:
        said = "refused"
    except ConfigError as error:  # of an option that the manifest, and not the user, chose
        said, found = "refused as a configuration", [str(error)]
    except Exception as error:  # noqa: BLE001 - any other exception is the fault that is looked for
        said, found = "raised", [f"{type(error).__name__}: {error}"]
    if time.perf_counter() - started > SECONDS:
        found.append(f"took {time.perf_counter() - started:.0f} s")
    return said, found


def main(model: Path, base: int, first: int, last: int) -> None:
    warnings.simplefilter("error")
    onnxruntime.set_default_logger_severity(4)
    cost.MAX_MEMORY, cost.MAX_WORK = MEMORY, WORK
    results, made = Counter[str](), set[str]()
    before, told = resident(), False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.zip"
        for number in range(first, last):
            warnings.simplefilter("ignore")
            name, content = case(model, base, number)
            warnings.simplefilter("error")
            path.write_bytes(content)
            made.add(name.partition(": ")[2])
            tell({"at": number})
            said, found = faults(path)
            results[f"{name.partition('#')[0]} {said}"] += 1
            for fault in found:
                tell({"file": name, "fault": fault})
            if resident() > before + MEMORY + ROOM and not told:
                told = True
                tell({"file": name, "fault": f"{resident() - before:,} bytes were taken"})
    tell({"done": last - first, "results": dict(results), "made": sorted(made)})


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
