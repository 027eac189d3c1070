"""Two stations decide on one folder and are killed at random moments: is every confirmed decision in the log?

usage: python tests/benchmarks/killed_stations.py FOLDER [--kills 100] [--seed 0] [--decisions 0]

With --decisions, both make as many, nobody is killed, and what each confirmed is printed.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

from anomalib_lite.review.audit import audit
from anomalib_lite.review.decision import Decision, Judged, Label
from anomalib_lite.review.log import DecisionLog

ROW = {"sha256": "", "model_id": "m", "verdict": "NG", "score": 1.0, "reject_threshold": 1.0, "review_threshold": 1.0}


def station(folder: Path, name: str, until: int) -> Iterator[str]:
    """Decide, again and again; the name of each image once its decision is confirmed."""
    log = DecisionLog(folder)
    for number in range(until):
        log.append(name, Judged.of(ROW | {"image": f"{name}-{number}"}), Decision(Label.GOOD, "", "n" * 500))
        yield f"{name}-{number}"


def confirmed(folder: Path, kills: int, seed: int, decisions: int) -> set[str]:
    """What two stations confirmed before they were killed, time and again; or until they were done."""
    moments, fork = random.Random(seed), get_context("fork")

    def tell(name: str, pipe: int) -> None:
        for image in station(folder, name, decisions or 1_000_000):
            os.write(pipe, f"{image}\n".encode())  # the tick: behind the fsync, and whole

    read, write = os.pipe()
    with os.fdopen(read, "rb") as ticks:
        for number in range(max(kills, 1)):
            both = [fork.Process(target=tell, args=(f"{name}{number}", write)) for name in "ab"]
            for one in both:
                one.start()
            if kills:
                time.sleep(0.005 + moments.random() * 0.03)
            for one in moments.sample(both, 2):
                if kills:
                    one.kill()
                one.join()
        os.close(write)
        return set(ticks.read().decode().split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, value in (("kills", 100), ("seed", 0), ("decisions", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    kills = 0 if asked.decisions else asked.kills
    ticks = confirmed(asked.folder, kills, asked.seed, asked.decisions)
    done = audit(asked.folder)
    lost = ticks - {line.judged.image for line in done.lines}
    aside = asked.folder / "decisions.jsonl.torn"
    torn = aside.read_bytes().count(b"\n") if aside.exists() else 0
    print(f"kills {2 * kills}, confirmed {len(ticks)}, in the log {len(done.lines)}, lost {len(lost)}, torn {torn}")


if __name__ == "__main__":
    main()
