"""How many times faster several processes judge images than one with the same threads, in turn in one run.

usage: python tests/benchmarks/workers.py MODEL IMAGES [--workers 2] [--rounds 3] [--times 4]

Each round judges all images so many times with one process and with several, with a thread each; their start is left
out, and told beside. Printed are the ratios of the rounds and their median.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.inputs import chosen
from anomalib_lite.pipeline.workers import Asked, Workers


def seconds(judging: Workers, images: list[Asked]) -> float:
    """To judge these images."""
    begun = time.perf_counter()
    count = sum(1 for _ in judging.look(images))
    assert count == len(images)
    return time.perf_counter() - begun


def main() -> None:
    """Measure in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=4)
    asked = parser.parse_args()
    model = Model(asked.model, threads=1)
    images = [Asked(one.path, one.name) for one in chosen(asked.images, model.opener)[0]] * asked.times
    begun = time.perf_counter()
    with Workers(model, asked.workers) as several, Workers(model, 1) as one:
        print(f"{asked.workers} processes start in {time.perf_counter() - begun:.1f} s; {len(images)} images")
        ratios = []
        for _ in range(asked.rounds):
            alone, together = seconds(one, images), seconds(several, images)
            ratios.append(alone / together)
            print(f"{1000 * alone / len(images):.1f} ms an image, {1000 * together / len(images):.1f}", flush=True)
    print(f"ratios {', '.join(f'{one:.2f}' for one in ratios)}; median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
