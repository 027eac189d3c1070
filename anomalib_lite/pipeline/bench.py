"""How fast a model is on this machine: from file bytes to verdict, and what of it is decoding and the bare graph."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime

from anomalib_lite.edge import disk
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.images.kept import NPY
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import carried
from anomalib_lite.errors import DataError
from anomalib_lite.pipeline.inputs import expanded
from anomalib_lite.version import __version__

Inputs: TypeAlias = tuple[FileBytes, FileBytes | None]  # an image, and its golden image where the model compares

WARM_UP = 5
START = """
import json, sys, time
started = time.perf_counter()
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import carried
imported = time.perf_counter()
model = Model(sys.argv[1], threads=1)
loaded = time.perf_counter()
result = model.inspect(open(sys.argv[2], "rb").read(), reference=sys.argv[3] if len(sys.argv) > 3 else None)
judged = time.perf_counter()
assert result.score is not None, result.error
told = {"import_s": imported - started, "load_s": loaded - imported, "first_verdict_s": judged - loaded}
try:
    for line in open("/proc/self/status"):
        name = {"VmRSS": "resident_mb", "VmHWM": "peak_mb"}.get(line.partition(":")[0])
        if name:
            told[name] = int(line.split()[1]) * 1024 / 1e6
except OSError:
    pass
print(json.dumps(told))
"""


def bench(
    model: Path,
    images: Sequence[Path],
    *,
    runs: int = 100,
    threads: Sequence[int] = (),
    readers: Readers = NO_READERS,
) -> dict[str, Any]:
    """Measure a model.

    Args:
        model: The bundle.
        images: Files to measure with, or patterns such as *.png; default: the bundle's self-check images.
        runs: Inspections for each number of threads.
        threads: Numbers of threads; default: 1, 2, 4, ... up to the processor's.
        readers: For file types that the host does not read itself.

    Returns:
        For `json.dumps`: a fresh process' start (seconds, MB of 10^6 bytes), times in milliseconds, the machine.

    Raises:
        DataError: There are no images, or one cannot be measured.
    """
    loaded = Model(model, readers=readers)
    contents = _contents(loaded, images)
    return {
        "model_id": loaded.model_id,
        "detector": loaded.bundle.manifest.detector.name,
        "version": __version__,
        "machine": _machine(),
        "images": len(contents),
        "runs": runs,
        "start": _start(loaded, model, contents),
        "threads": {
            str(count): _timed(Model(model, threads=count, readers=readers), contents, runs)
            for count in threads or _counts()
        },
    }


def _contents(model: Model, images: Sequence[Path]) -> list[Inputs]:
    """Images in memory, and golden images; each is measured once to know that it can be."""
    listed = model.bundle.manifest.selfcheck
    images = [path for one in images for path in expanded(one)]
    if unusable := [path for path in images if not path.is_file()]:
        raise DataError(f"{unusable[0]}: no such file: give image files to measure with.")
    chosen: list[Inputs] = [(FileBytes(path.name, path.read_bytes()), None) for path in images]
    chosen = chosen or [carried(model.bundle, one) for one in listed]
    if not chosen:
        raise DataError(f"{model.bundle.path}: carries no self-check images: give images to measure with.")
    for content, reference in chosen:
        result = model.inspect(content, reference=reference)
        if result.score is None:
            raise DataError(f"an image cannot be measured: {result.error}. Give images that the model takes.")
    return chosen


def _timed(model: Model, contents: Sequence[Inputs], runs: int) -> dict[str, Any]:
    """Percentiles of the whole, of decoding alone and of the graph alone, taken in turn so that a busy moment hits all.

    `overhead` is what is ours: the median whole over the median of decoding plus graph, less 1.
    """
    prepared = []
    for content, reference in contents:
        picture = model.intake.read(content)
        goldens = model.intake.candidates(picture, None, reference)
        prepared.append((content, reference, list(model.runtime.feeds(picture.pixels, goldens))))
    whole, decoding, graph = [], [], []
    for content, reference, feeds in islice(cycle(prepared), WARM_UP + runs):
        files = [one for one in (content, reference) if one is not None]
        whole.append(_ms(lambda: model.inspect(content, reference=reference)))  # noqa: B023 - called at once
        decoding.append(_ms(lambda: [model.intake.read(one) for one in files]))  # noqa: B023
        graph.append(_ms(lambda: [model.runtime.run(feed) for feed in feeds]))  # noqa: B023
    parts = {"total_ms": whole, "decode_ms": decoding, "graph_ms": graph}
    measured: dict[str, Any] = {name: _percentiles(times[WARM_UP:]) for name, times in parts.items()}
    bare = measured["decode_ms"]["p50"] + measured["graph_ms"]["p50"]
    return measured | {"overhead": round(measured["total_ms"]["p50"] / bare - 1, 4)}


def _ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def _percentiles(times: Iterable[float]) -> dict[str, float]:
    values = np.percentile(list(times), [50, 95, 99])
    return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}


def _start(model: Model, path: Path, contents: Sequence[Inputs]) -> dict[str, float] | None:
    """A fresh process with one thread: seconds to import, load and judge first; its memory then, where it is told.

    None where files need a plugin's reader, or are of a kind that bundles alone have.
    """
    files = [one for one in contents[0] if one is not None]
    if any(model.opener.suffix(one.name) or one.name.endswith(NPY) for one in files):
        return None
    with disk.scratch() as folder:
        paths = [folder / str(number) for number, _ in enumerate(files)]
        for target, one in zip(paths, files, strict=True):
            target.write_bytes(one.content)
        command = [sys.executable, "-c", START, str(path), *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: round(value, 3) for name, value in json.loads(done.stdout).items()}


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _counts() -> list[int]:
    """1, 2, 4, ... and all cores."""
    cores = os.cpu_count() or 1
    return sorted({*(2**power for power in range(cores.bit_length()) if 2**power <= cores), cores})
