"""A Ray cluster of two node processes on this machine: what it costs beside a bare loop, and one killed in the middle.

usage: python tests/benchmarks/cluster.py MODEL [--images 20000] [--timed 2000] [--rounds 2] [--side 48]

Draws so many small images. First, with so many of them, in turn: a bare loop over `Model.look`, one node with one core,
one node with two, two nodes with one each; printed are milliseconds for each image and ratios, without the start of
nodes. Then all of them on two nodes, one of which is killed when half of the shares are done, and in one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anomalib_lite.edge.model import Model
from anomalib_lite.engines.cluster import Cluster
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.spread import spread

OF_THE_RUN = ("time", "ms")


def draw(folder: Path, number: int, side: int) -> list[Path]:
    """Files of noise on a gradient, a twentieth of them with a dark square."""
    files = []
    for one in range(number):
        random = np.random.default_rng(one)
        pixels = np.linspace(90, 150, side)[None, :] + random.normal(0, 4, (side, side))
        if one % 20 == 0:
            pixels[8:16, 8:16] = 10
        files.append(folder / f"{one // 1000:03}" / f"{one:06}.png")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(files[-1])
    return files


@contextmanager
def nodes(*cores: int) -> Iterator[tuple[Any, list[Any], Cluster]]:
    """A head without cores, and a node process with so many each."""
    from ray.cluster_utils import Cluster as Nodes

    cluster = Nodes(initialize_head=True, head_node_args={"num_cpus": 0})
    started = [cluster.add_node(num_cpus=one) for one in cores]
    try:
        with Cluster(cluster.address) as joined:
            yield cluster, started, joined
    finally:
        cluster.shutdown()


def seconds(model: Model, folder: Path, out: Path, engine: Cluster) -> float:
    """To judge a folder, from when the processes have the model."""
    spread(model, [str(next(folder.rglob("*.png")))], engine, out=out, overwrite=True)
    begun = time.perf_counter()
    spread(model, [str(folder)], engine, out=out, overwrite=True)
    return time.perf_counter() - begun


def compared(model: Model, folder: Path, out: Path, rounds: int) -> None:
    """Print milliseconds for each image and ratios, measured in turn."""
    files = sorted(folder.rglob("*.png"))
    kinds = {"one node, one core": (1,), "one node, two cores": (2,), "two nodes, one core each": (1, 1)}
    found: dict[str, list[float]] = {"bare loop": [], "predict, one process": [], **{name: [] for name in kinds}}
    for _ in range(rounds):
        begun = time.perf_counter()
        for file in files:
            model.look(file)
        found["bare loop"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        predict(model, [folder], out=out, overwrite=True)
        found["predict, one process"].append(time.perf_counter() - begun)
        for name, cores in kinds.items():
            with nodes(*cores) as (_, _, engine):
                found[name].append(seconds(model, folder, out, engine))
        print({name: round(1000 * values[-1] / len(files), 2) for name, values in found.items()}, flush=True)
    one = found["one node, one core"]
    for name in ("one node, two cores", "two nodes, one core each"):
        ratios = [alone / both for alone, both in zip(one, found[name], strict=True)]
        print(f"{name}: {statistics.median(ratios):.2f} times one core")
    over = [1000 * (ray - bare) / len(files) for ray, bare in zip(one, found["bare loop"], strict=True)]
    print(f"engine and rows: {statistics.median(over):.2f} ms an image beside the bare loop")


def killed(model: Model, folder: Path, out: Path) -> None:
    """Judge on two nodes, one of which is killed, and compare with one process."""
    with nodes(1, 1) as (cluster, (_, second), engine):

        def killing(items: Iterable[Any], label: str) -> Iterator[Any]:
            every = list(items)
            for number, item in enumerate(every):
                if number == len(every) // 2:
                    cluster.remove_node(second, allow_graceful=False)
                    print(f"a node is killed after {number} of {len(every)} shares", flush=True)
                yield item

        begun = time.perf_counter()
        spread(model, [str(folder)], engine, out=out / "many", overwrite=True, track=killing)
        print(f"judged in {time.perf_counter() - begun:.0f} s", flush=True)
    begun = time.perf_counter()
    predict(model, [folder], out=out / "one", overwrite=True)
    print(f"one process: {time.perf_counter() - begun:.0f} s", flush=True)
    one, many = (rows(out / name) for name in ("one", "many"))
    names = [row["image"] for row in many]
    print(f"{len(many):,} rows, {len(set(names)):,} images; equal to one process: {one == many}")
    assert one == many


def rows(out: Path) -> list[dict[str, Any]]:
    """Rows without what differs from run to run."""
    lines = (out / "results.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in OF_THE_RUN} for line in lines]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--timed", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", type=int, default=48)
    asked = parser.parse_args()
    model = Model(asked.model, threads=1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw(folder / "timed", asked.timed, asked.side)
        compared(model, folder / "timed", folder / "out", asked.rounds)
        draw(folder / "all", asked.images, asked.side)
        killed(model, folder / "all", folder)


if __name__ == "__main__":
    main()
