"""How well the rules of `fuse` tell defective parts from good ones, beside each member alone: from rows that exist.

    anomalib-lite fuse MODEL MODEL --out JOINT
    anomalib-lite evaluate MODEL DATA --out EVALUATION        of each member
    python tests/benchmarks/fuse_rules.py JOINT NAME=EVALUATION NAME=EVALUATION

NAME is that of a member. Images that a member could not measure are left out of all. The units are those of JOINT.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

from anomalib_lite.edge import bundle, combining
from anomalib_lite.edge.bundle import JointBundle
from anomalib_lite.edge.manifest import COMBINED
from anomalib_lite.edge.parts import joined
from anomalib_lite.metrics.bootstrap import auroc_interval
from anomalib_lite.metrics.scores import auroc

Rows = Mapping[str, Mapping[str, str]]  # image -> its row


def rows(evaluation: Path) -> Rows:
    with (evaluation / "results.csv").open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def main(joint: JointBundle, evaluated: Mapping[str, Rows]) -> None:
    first = next(iter(evaluated.values()))
    images = [name for name in first if all(known.get(name, {}).get("score") for known in evaluated.values())]
    parts: dict[str, list[str]] = {}
    for name in images:
        parts.setdefault(first[name]["group"], []).append(name)
    defective = {part: any(first[name]["label"] != "good" for name in shots) for part, shots in parts.items()}
    scores = {
        member: {
            part: joined(
                [float(known[name]["score"]) for name in shots], joint.members[member].manifest.calibration.joining
            )
            for part, shots in parts.items()
        }
        for member, known in evaluated.items()
    }
    print(f"{len(parts) - sum(defective.values())} good parts, {sum(defective.values())} defective; AUROC")
    for member, own in scores.items():
        tell(member, own, defective)
    members = joint.manifest.members
    for rule in COMBINED:
        told = {
            part: combining.numbers(rule, {name: own[part] for name, own in scores.items()}, members) for part in parts
        }
        tell(rule, {part: combining.joined(rule, said, members) for part, said in told.items()}, defective)


def tell(what: str, scores: Mapping[str, float], defective: Mapping[str, bool]) -> None:
    halves = [[part for part in scores if defective[part] is side] for side in (False, True)]
    good, bad = ([scores[part] for part in half] for half in halves)
    interval = auroc_interval((good, halves[0]), (bad, halves[1]))
    between = f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-"
    print(f"{what:<16} {auroc(good, bad):.3f}  ({between})")


if __name__ == "__main__":
    loaded = bundle.load_any(Path(sys.argv[1]))
    assert isinstance(loaded, JointBundle)
    main(loaded, {name: rows(Path(path)) for name, _, path in (word.partition("=") for word in sys.argv[2:])})
