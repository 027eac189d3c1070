"""What passes the gate, without features and with them, before any detector: wrong scenes, good and defective images.

python tests/benchmarks/gate_alone.py tiles/samples.csv --product cells/images
python tests/benchmarks/gate_alone.py tiles/samples.csv --product cells/images --parts 8 --seeds 4 --images 20
python tests/benchmarks/gate_alone.py data_samples/part --group 'part(\\d+)' --product tiles/images --parts 8
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from scenes import slice_of_a_head, wrong_scenes  # noqa: E402
from wrong_scenes import pictures  # noqa: E402

from anomalib_lite.config import GateConfig  # noqa: E402
from anomalib_lite.data import Sample, Survey, find, groups, look, split_for_calibration, survey  # noqa: E402
from anomalib_lite.edge.gate import Gate  # noqa: E402
from anomalib_lite.edge.images import imaging  # noqa: E402
from anomalib_lite.edge.images.framing import Framing  # noqa: E402
from anomalib_lite.edge.intake import Intake  # noqa: E402
from anomalib_lite.edge.manifest import ImageSpec  # noqa: E402
from anomalib_lite.edge.runtime import Glance  # noqa: E402
from anomalib_lite.training import gate_features  # noqa: E402
from anomalib_lite.training.gating import learnt  # noqa: E402


def gates(fit: Sequence[Sample], found: Survey, spec: ImageSpec) -> dict[str, Gate]:
    """That of the statistics, and that with features."""
    record = learnt(GateConfig(), fit, found, Framing(spec), compares=False)
    seen = gate_features.learnt(GateConfig(), fit, Intake(Framing(spec)))
    assert seen is not None, "too few parts, or the weights are not installed"
    with_features = replace(record, limits={**record.limits, "features": (0.0, seen.limit)})
    return {"without": Gate(record, spec), "with": Gate(with_features, spec, Glance(seen.graph, spec))}


def split(usable: Sequence[Sample], parts: int | None, seed: int) -> tuple[list[Sample], list[Sample]]:
    """The images of so many parts, or of 70 % of them; and of the others."""
    if parts is None:
        fit, others = split_for_calibration(usable, 0.3, seed)
        return list(fit), list(others)
    chosen = sorted(groups(usable))
    random.Random(seed).shuffle(chosen)
    fit = [one for one in usable if one.group in chosen[:parts]]
    return fit, [one for one in usable if one.group not in chosen[:parts]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--group", default=None)
    parser.add_argument("--product", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=50)
    asked = parser.parse_args()
    dataset = find(asked.data, group=asked.group)
    found = survey(*look([one for one in dataset.samples if one.is_good and one.split != "test"]), copies=False)
    bad = [imaging.read(one.path).pixels for one in dataset.samples if one.is_good is False]
    products = pictures(asked.product, asked.images)
    channels = imaging.read(found.usable[0].path).pixels.shape[2]
    spec = ImageSpec(256, 256, channels, "uint8", 255.0)
    passed, number = Counter[tuple[str, str]](), Counter[str]()

    def count(what: str, pixels: Any, both: dict[str, Gate]) -> None:
        number[what] += 1
        for name, gate in both.items():
            passed[what, name] += gate.objection(pixels) is None

    for seed in range(asked.seeds):
        fit, others = split(found.usable, asked.parts, seed)
        both, noise = gates(fit, found, spec), np.random.default_rng(seed)
        for sample in others:
            count("good", imaging.read(sample.path).pixels, both)
        for pixels in bad:
            count("defective", pixels, both)
        for index, sample in enumerate(others[:: max(1, len(others) // asked.images)][: asked.images]):
            scenes = (products[index % len(products)], slice_of_a_head(noise))
            for what, pixels in wrong_scenes(imaging.read(sample.path).pixels, noise, *scenes).items():
                count(what, pixels, both)
    print(f"{'passes the gate':24} {'of':>6} {'without features':>18} {'with them':>10}")
    for what, of in number.items():
        print(f"{what:24} {of:6} {passed[what, 'without']:18} {passed[what, 'with']:10}")


if __name__ == "__main__":
    main()
