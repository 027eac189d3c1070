"""What a hundred products cost as one set, beside a hundred single models: disk, loading, memory, time of an image.

    python tests/benchmarks/model_set.py MODEL OTHER IMAGE [--products 100]

MODEL and OTHER are models of the same detector, made with the same options on images of one size. The products are
copies of MODEL of which what it has learnt is moved a little, so that no two are the same. Both ways run in a process
of their own, one after the other, with one thread: load all, judge IMAGE by each product once (heads are loaded then),
and once more for the time of an image. Memory is what the process has resident beyond that of an empty one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from anomalib_lite.edge import Model, ModelSet, bundle
from anomalib_lite.edge.bundle import GRAPH
from anomalib_lite.pipeline.bundle_set import bundle_set

PAGE = 4096


def main() -> None:
    """Make products, measure both ways, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--products", type=int, default=100)
    parser.add_argument("--measure", choices=("single", "set"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measured(asked.measure, asked.model, asked.image)))
        return
    with TemporaryDirectory() as folder:
        singles = products(asked.model, asked.other, Path(folder) / "single", asked.products)
        started = time.perf_counter()
        bundle_set([("", path) for path in singles], Path(folder) / "set")
        print(f"bundle-set of {asked.products} models: {time.perf_counter() - started:.0f} s")
        found = {how: run(how, Path(folder) / how, asked.image) for how in ("single", "set")}
    assert found["single"].pop("scores") == found["set"].pop("scores"), "judged otherwise"
    print(f"{'':28}{asked.products} models     one set   ratio")
    for what, before in found["single"].items():
        after = found["set"][what]
        print(f"{what:28}{before:>10,.1f}  {after:>10,.1f}  {before / after:>6.1f}")


def products(model: Path, other: Path, folder: Path, number: int) -> list[Path]:
    """Copies of a model of which what it has learnt, which another one has otherwise, is moved a little."""
    loaded = bundle.load(model)
    foreign = {one.name: one for one in onnx.load_from_string(bundle.load(other).graph).graph.initializer}
    files = {
        name: loaded.read(name) for name in loaded.manifest.files if name not in ("weights.safetensors", "report.html")
    }
    paths = []
    folder.mkdir()
    for place in range(number):
        graph, random = onnx.load_from_string(loaded.graph), np.random.default_rng(place)
        for one in graph.graph.initializer:
            values = numpy_helper.to_array(one)
            learnt = one.name not in foreign or numpy_helper.to_array(foreign[one.name]).tobytes() != values.tobytes()
            if learnt and values.ndim > 1 and values.dtype == np.float32:
                moved = values * (1 + 1e-3 * random.standard_normal(values.shape))
                one.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), one.name))
        paths.append(folder / f"product{place:03}")
        bundle.write(paths[-1], replace(loaded.manifest, selfcheck=()), files | {GRAPH: graph.SerializeToString()})
    return paths


def run(how: str, folder: Path, image: Path) -> dict[str, Any]:
    """What `measured` finds in a process of its own."""
    words: Sequence[str | Path] = (sys.executable, __file__, folder, folder, image, "--measure", how)
    done = subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"on disk, MB": size / 2**20, **json.loads(done.stdout)}


def measured(how: str, folder: Path, image: Path) -> dict[str, Any]:
    """Seconds to load, memory, milliseconds of an image; and what each product scores it."""
    empty, started = resident(), time.perf_counter()
    if how == "single":
        models = [Model(path, threads=1) for path in sorted(folder.iterdir())]
    else:
        joined = ModelSet(folder, threads=1)
        models = [joined.product(name) for name in sorted(joined.products)]
    loading, loaded = time.perf_counter() - started, resident() - empty
    scores = [model.inspect(image).score for model in models]
    ready, used, cpu = time.perf_counter() - started, resident() - empty, time.process_time()
    for model in models:
        model.inspect(image)
    each = 1000 * (time.process_time() - cpu) / len(models)
    return {"loading, s": loading, "until each has judged, s": ready, "memory once loaded, MB": loaded / 2**20,
            "memory once all have judged, MB": used / 2**20, "an image, ms": each, "scores": scores}  # fmt: skip


def resident() -> int:
    """Bytes of this process in memory."""
    return PAGE * int(Path("/proc/self/statm").read_text().split()[1])


if __name__ == "__main__":
    main()
